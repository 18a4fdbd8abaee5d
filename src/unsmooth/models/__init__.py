"""Architectures, one a file; every forward returns logits (N, K), of scenes (N, K, H, W).

Options are those of the classes in `unsmooth.config.specs.architectures`; `in_channels`, `in_features`, `embedding`
and `num_classes` come from the dataset. An option that does not fit the inputs raises ValueError.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor, nn

from unsmooth.config.specs.architectures import Architecture
from unsmooth.models.libraries import timm_preprocessing
from unsmooth.models.weights import load_pretrained
from unsmooth.registry import resolve


def make_model(
    architecture: Mapping[str, Any],
    input_shape: Sequence[int],
    num_classes: int,
    embedding: Tensor | None = None,
    pretrained: Path | None = None,
) -> nn.Module:
    """Build the network that an experiment file describes, with fresh weights from torch's global generator.

    Args:
        architecture: `kind` and its options.
        input_shape: (C, H, W) of an image, (D,) of a vector or (T,) of a token sequence.
        num_classes: K.
        embedding: (V, D) float32 frozen token vectors; only for architectures that read tokens.
        pretrained: file of the weights that its `backbone`, or all of it, takes instead.

    Returns:
        A module from inputs (N, *input_shape) to logits (N, K), or (N, K, H, W) of scenes.

    Raises:
        ValueError: tokens without an embedding, or an option that does not fit the inputs or the number of classes.
        WeightsError: the pretrained weights cannot be read or are not those of this architecture.
    """
    spec = TypeAdapter(Architecture).validate_python(dict(architecture))
    options = spec.model_dump(exclude={"kind", "pretrained", "preprocessing"}) | {"num_classes": num_classes}
    match spec.inputs:
        case "images" | "scenes":
            options["in_channels"] = input_shape[0]
        case "vectors":
            options["in_features"] = input_shape[0]
        case "tokens":
            if embedding is None:
                raise ValueError(f"architecture {spec.kind} reads tokens and needs their embedding, got None")
            options["embedding"] = embedding
    if spec.kind == "timm":
        options["image_size"] = own_preprocessing(architecture).get("image_size", input_shape[1])
    model: nn.Module = resolve(spec.target)(**options)
    if pretrained is not None:
        load_pretrained(model, pretrained, backbone=getattr(spec, "backbone", ""))
    return model


def trained_model(
    weights: Path,
    architecture: Mapping[str, Any],
    input_shape: Sequence[int],
    num_classes: int,
    embedding: Tensor | None = None,
) -> nn.Module:
    """Build the network of a trained cell with its `weights`, a safetensors file; the rest is as for `make_model`."""
    model = make_model(architecture, input_shape, num_classes, embedding)
    model.load_state_dict(load_file(weights))
    return model


def own_preprocessing(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ImageManifest` that this architecture needs for test images instead of the dataset's."""
    if architecture.get("preprocessing", "dataset") == "dataset":
        return {}
    return timm_preprocessing(architecture["name"])
