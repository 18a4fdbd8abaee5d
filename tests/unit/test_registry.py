"""Registries: each entry names what exists, and everything that follows from entries covers them all."""

import inspect
import subprocess
import sys

import pytest
from pydantic import TypeAdapter
from workflow.paper_experiments.conftest import EXPERIMENTS, SMALL

from unsmooth.config.loading import load_experiment
from unsmooth.config.specs.architectures import ARCHITECTURES
from unsmooth.config.specs.datasets import DATASETS
from unsmooth.config.specs.losses import Loss
from unsmooth.losses import make_loss
from unsmooth.losses.base import ClassificationLoss
from unsmooth.registry import by_name, resolve
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.scores import SCORE_LABELS, SCORES, score_label
from unsmooth.runtime.targets import score_entries, score_targets, training_targets
from unsmooth.tables.labels import KINDS, Losses, scores_in_order

SPECS = TypeAdapter(Loss)
TAUGHT = {"distillation": {"teacher": "ce"}}


def strength(kind):
    """A strength in the range of a loss; none where it has none."""
    return {} if LOSSES[kind].alpha is None else {"alpha": 0.5}


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_is_a_class_that_takes_its_parameters(kind):
    entry = LOSSES[kind]
    loss = resolve(entry.target)

    assert issubclass(loss, ClassificationLoss)
    assert set(entry.params) <= set(inspect.signature(loss).parameters)
    defaults = {name: parameter.default for name, parameter in entry.params.items()}
    assert isinstance(make_loss(kind, **strength(kind), **defaults, num_classes=3), loss)


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_can_be_named_in_an_experiment_with_the_defaults_and_label_of_its_entry(kind):
    entry, strengths = LOSSES[kind], {key: [value] for key, value in strength(kind).items()}
    spec = SPECS.validate_python({"kind": kind, **strengths, **TAUGHT.get(kind, {})})

    assert {name: getattr(spec, name) for name in entry.params} == {
        name: parameter.default for name, parameter in entry.params.items()
    }
    assert spec.label == entry.label and spec.alphas == strengths.get("alpha", [0.0])


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_is_called_by_its_label_in_tables(kind):
    text = KINDS.label(kind, 0.5)

    assert text == LOSSES[kind].label + (" 0.5" if LOSSES[kind].alpha else "")


@pytest.mark.parametrize("name", SCORES)
def test_every_score_names_functions_and_their_parameters(name):
    entry = SCORES[name]

    assert all(callable(resolve(target)) for target in entry.targets)
    assert bool(entry.fit) == bool(entry.fitted)
    assert {*entry.fitted, *entry.defaults} <= set(inspect.signature(entry.function).parameters)
    assert set(entry.targets) <= set(score_targets([name])) and name in score_entries([name])


@pytest.mark.parametrize("kind", DATASETS)
def test_every_dataset_names_a_function_that_takes_its_options(kind):
    entry = DATASETS[kind]
    parameters = inspect.signature(resolve(entry.target)).parameters

    assert entry.model_fields.keys() - {"kind", "complete"} <= parameters.keys()
    assert ("sources" in parameters) == bool(entry.model_construct().sources) == (entry.samples is not None)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_names_a_class_or_function_that_takes_its_options(kind):
    entry = ARCHITECTURES[kind]

    options = entry.model_fields.keys() - {"kind", "pretrained", "preprocessing"}
    assert options <= inspect.signature(resolve(entry.target)).parameters.keys()


def test_every_published_dataset_runs_from_download_to_tables_on_a_miniature():
    files = [EXPERIMENTS / f"{name}.yaml" for name in SMALL]

    published = {kind for kind, entry in DATASETS.items() if entry.samples is not None}
    assert {load_experiment(file).dataset.kind for file in files} == published


def test_two_entries_of_one_name_are_refused():
    with pytest.raises(ValueError, match="the registry has two entries called 'ls'; rename one"):
        by_name([LOSSES["ls"], LOSSES["ce"], LOSSES["ls"]])


def test_labels_and_names_are_unique():
    labels = [entry.label for entry in LOSSES.values()]

    assert len(set(labels)) == len(labels) and len(set(SCORE_LABELS.values())) == len(SCORE_LABELS)
    assert all(name == entry.name for registry in (LOSSES, SCORES) for name, entry in registry.items())


def test_a_score_that_the_registry_does_not_know_is_shown_last_under_its_name():
    assert scores_in_order(["new", "energy", "msp"]) == ["msp", "energy", "new"]
    assert score_label("new") == "new"


def test_the_label_of_an_experiment_replaces_that_of_the_registry():
    losses = Losses.of([{"key": "wide", "kind": "mbls", "label": "Wide margin"}, {"key": "base", "kind": "ce"}])

    assert [losses.label("wide", 0.1), losses.label("base", 0.0), losses.label("other", 2.0)] == [
        "Wide margin 0.1",
        "CE",
        "other 2",
    ]


def test_the_baseline_is_the_first_loss_of_kind_ce_whatever_its_key():
    losses = Losses.of([{"key": "soft", "kind": "ls"}, {"key": "plain", "kind": "ce"}, {"key": "mixup", "kind": "ce"}])

    assert (losses.baseline, losses.smoothed) == ("plain", ["soft"])
    assert Losses.of([{"key": "soft", "kind": "ls"}]).baseline == ""


def test_code_of_a_training_is_that_of_its_loss():
    training = {"architecture": {"kind": "mlp"}, "loss": {"kind": "focal", "alpha": 3.0}}

    assert "unsmooth.losses.focal:FocalLoss" in training_targets(training)


def test_registries_import_neither_torch_nor_pydantic():
    code = (
        "import sys, unsmooth.registry.losses, unsmooth.registry.scores; print({'torch', 'pydantic'} & {*sys.modules})"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "set()"
