"""Targets, "module:name", that jobs import for a dataset, an architecture, a training or scores."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unsmooth.config.specs.architectures import ARCHITECTURES
from unsmooth.config.specs.datasets import DATASETS
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.scores import SCORES
from unsmooth.runtime.code import is_defined


def dataset_target(dataset: Mapping[str, Any]) -> str:
    """Return the function that builds a dataset, given by its `kind` and options."""
    return DATASETS[dataset["kind"]].target


def architecture_target(architecture: Mapping[str, Any]) -> str:
    """Return the class or function of an architecture, given by its `kind` and options."""
    return ARCHITECTURES[architecture["kind"]].target


def training_targets(training: Mapping[str, Any]) -> list[str]:
    """Return loss and architecture of an `Experiment.training`, and the architecture of its teacher."""
    networks = [training, *([training["teacher"]] if "teacher" in training else [])]
    architectures = {architecture_target(network["architecture"]) for network in networks}
    return sorted({LOSSES[training["loss"]["kind"]].target, *architectures})


def undefined_targets(experiment: Any) -> Iterator[str]:  # noqa: ANN401 - one of the kinds of experiment
    """Yield a phrase for each dataset, architecture and loss of an experiment whose class or function is missing."""
    named = {}
    if experiment.has_models:
        named[f"dataset {experiment.dataset.kind!r}"] = experiment.dataset.target
        named |= {f"architecture {each.kind!r}": each.target for each in experiment.architectures.values()}
    if experiment.trained:
        named |= {f"loss {each.kind!r}": each.entry.target for each in experiment.losses.values()}
    for what, target in named.items():
        if not is_defined(target):
            yield f"{what} is registered as {target!r}, which is not defined; expected module:name"


def score_targets(scores: Iterable[str]) -> list[str]:
    """Return the functions that compute and fit scores, and MSP, their fallback."""
    return sorted({target for name in {"msp", *scores} for target in SCORES[name].targets})


def score_entries(scores: Iterable[str]) -> dict[str, Any]:
    """Return the fitted parameters and defaults of scores in the registry."""
    return {name: {"fitted": [*SCORES[name].fitted], "defaults": SCORES[name].defaults} for name in scores}
