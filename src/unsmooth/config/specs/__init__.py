"""Validated parts of an experiment: datasets, architectures, losses and recipes, with types and ranges.

The class of a dataset or an architecture holds its `kind`, its options in YAML, and its function as "module:name",
imported on use, so that reading a configuration never imports torch. A new class joins the union at the end of its
module. The classes of losses follow from `unsmooth.registry.losses`.
"""

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
from unsmooth.registry import resolve

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
