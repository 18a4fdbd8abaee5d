"""Architectures, one a file; every forward returns logits (N, K)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from unsmooth.specs import Architecture, resolve

__all__ = ["make_model"]


def make_model(architecture: Mapping[str, Any], input_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Build the network that an experiment file describes, with fresh weights from torch's global generator.

    Args:
        architecture: `kind` and its options.
        input_shape: (C, H, W) of an image or (D,) of a vector.
        num_classes: K.

    Returns:
        A module from inputs (N, *input_shape) to logits (N, K).
    """
    spec = TypeAdapter(Architecture).validate_python(dict(architecture))
    size = {"in_channels" if spec.inputs == "images" else "in_features": input_shape[0]}
    return resolve(spec.target)(**spec.model_dump(exclude={"kind"}), **size, num_classes=num_classes)
