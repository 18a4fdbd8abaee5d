"""Architectures, one a file; every forward returns logits (N, K), of scenes (N, K, H, W)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from unsmooth.specs import Architecture, resolve

__all__ = ["make_model"]


def make_model(
    architecture: Mapping[str, Any], input_shape: Sequence[int], num_classes: int, embedding: Tensor | None = None
) -> nn.Module:
    """Build the network that an experiment file describes, with fresh weights from torch's global generator.

    Args:
        architecture: `kind` and its options.
        input_shape: (C, H, W) of an image, (D,) of a vector or (T,) of a token sequence.
        num_classes: K.
        embedding: (V, D) float32 frozen token vectors, for architectures that read tokens; the others ignore it.

    Returns:
        A module from inputs (N, *input_shape) to logits (N, K), or (N, K, H, W) of scenes.

    Raises:
        ValueError: tokens without an embedding, or an option that does not fit the inputs or the number of classes.
    """
    spec = TypeAdapter(Architecture).validate_python(dict(architecture))
    options = spec.model_dump(exclude={"kind", "pretrained"}) | {"num_classes": num_classes}
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
        options["image_size"] = input_shape[1]
    return resolve(spec.target)(**options)
