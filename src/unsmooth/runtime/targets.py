"""Code that jobs import by name: the targets, "module:name", of a dataset, an architecture or a training."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from unsmooth.config.specs import Architecture, Dataset
from unsmooth.registry.losses import LOSSES

__all__ = ["architecture_target", "dataset_target", "training_targets"]

DATASETS: TypeAdapter[Any] = TypeAdapter(Dataset)
ARCHITECTURES: TypeAdapter[Any] = TypeAdapter(Architecture)


def dataset_target(dataset: Mapping[str, Any]) -> str:
    """Return the function that builds a dataset, given by its `kind` and options."""
    return DATASETS.validate_python(dict(dataset)).target


def architecture_target(architecture: Mapping[str, Any]) -> str:
    """Return the class or function of an architecture, given by its `kind` and options."""
    return ARCHITECTURES.validate_python(dict(architecture)).target


def training_targets(training: Mapping[str, Any]) -> list[str]:
    """Return what decides a training beside the script: loss and architecture, and the architecture of its teacher.

    Args:
        training: see `unsmooth.config.kinds.Experiment.training`.
    """
    networks = [training, *([training["teacher"]] if "teacher" in training else [])]
    architectures = {architecture_target(network["architecture"]) for network in networks}
    return sorted({LOSSES[training["loss"]["kind"]].target, *architectures})
