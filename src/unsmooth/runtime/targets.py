"""Code that jobs import by name: the targets, "module:name", of a dataset, an architecture, a training or scores."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from unsmooth.config.specs import Architecture, Dataset
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.scores import SCORES

__all__ = ["architecture_target", "dataset_target", "score_entries", "score_targets", "training_targets"]

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


def score_targets(scores: Iterable[str]) -> list[str]:
    """Return what computes and fits scores, and MSP, to which fitted ones fall back."""
    return sorted({target for name in {"msp", *scores} for target in SCORES[name].targets})


def score_entries(scores: Iterable[str]) -> dict[str, Any]:
    """Return what the registry decides of the values of scores: which parameters are fitted, and the defaults."""
    return {name: {"fitted": [*SCORES[name].fitted], "defaults": SCORES[name].defaults} for name in scores}
