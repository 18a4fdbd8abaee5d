"""What an experiment can be made of: datasets, architectures, losses and recipes, with types and ranges.

Each class here is one line of a registry: its `kind`, the options a YAML file may set, and the function that the
kind stands for, written "module:name" and imported only when it is used, so that reading a configuration never
imports torch. To add a dataset, an architecture or a loss, add its class, and put it into the union at the end of its
module.
"""

from importlib import import_module
from typing import Any

from unsmooth.config.specs.architectures import Architecture
from unsmooth.config.specs.base import Spec
from unsmooth.config.specs.datasets import Dataset
from unsmooth.config.specs.losses import Loss
from unsmooth.config.specs.recipes import (
    FOR_IMAGE_FILES,
    Adam,
    AdamW,
    Augmentation,
    Constant,
    Cosine,
    CutMix,
    GradientClip,
    MixUp,
    MultiStep,
    OneCycle,
    Polynomial,
    Recipe,
    Sam,
    Sgd,
    Warmup,
)

__all__ = [
    "FOR_IMAGE_FILES",
    "Adam",
    "AdamW",
    "Architecture",
    "Augmentation",
    "Constant",
    "Cosine",
    "CutMix",
    "Dataset",
    "GradientClip",
    "Loss",
    "MixUp",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "Recipe",
    "Sam",
    "Sgd",
    "Spec",
    "Warmup",
    "resolve",
]


def resolve(target: str) -> Any:
    """Import what "module:name" names."""
    module, name = target.split(":")
    return getattr(import_module(module), name)
