"""Logits from elsewhere become those of a cell, with a record of what they were, or are refused by file."""

import numpy as np
import pytest
from import_logits import import_logits
from scipy.special import log_softmax, softmax
from score import score

from unsmooth.logits.logits_file import LogitsFileError, read_logits

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 4, 60)
LOGITS = RNG.normal(size=(60, 4)) + 2 * np.eye(4)[TARGETS]
CELL = {"experiment": "foreign", "loss": "ce", "alpha": 0.0, "seed": 0}


@pytest.fixture
def imported(tmp_path):
    """The logits file that becomes of arrays saved as `name`."""

    def imported(name="ce.npz", split="test", compared=None, **arrays):
        output = tmp_path / name.removesuffix(".npz") / f"{split}.safetensors"
        np.savez(tmp_path / name, **arrays)
        import_logits(tmp_path / name, CELL, output, compared)
        return output

    return imported


@pytest.mark.parametrize(
    ("values", "form", "note"),
    [
        (LOGITS, "logits", None),
        (softmax(LOGITS, 1), "probabilities", "softmax outputs"),
        (100 * softmax(LOGITS, 1), "probabilities", "sum to 100"),
        (log_softmax(LOGITS, 1), "log-probabilities", "log-probabilities"),
    ],
)
def test_form_and_notes_of_the_file_are_recorded(imported, values, form, note):
    file = read_logits(imported(logits=values, targets=TARGETS))

    np.testing.assert_allclose(softmax(file.logits, 1), softmax(LOGITS, 1), rtol=1e-5)
    assert file.metadata["form"] == form
    assert note is None or any(note in told for told in file.metadata["notes"])


def test_each_split_of_a_file_that_holds_several_is_imported(imported):
    arrays = {f"{what}_{split}": values[part] for split, part in (("val", slice(40)), ("test", slice(40, 60)))
              for what, values in (("logits", LOGITS), ("targets", TARGETS))}  # fmt: skip

    assert [read_logits(imported(split=split, **arrays)).num_samples for split in ("val", "test")] == [40, 20]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.eye(4)[TARGETS], "predicted classes"),
        (softmax(40 * LOGITS, 1).astype("f2").astype("f4"), "probability of zero"),
        (np.where(np.arange(4) == (TARGETS[:, None] + 1) % 4, -np.inf, LOGITS), "row 0: logit of class . is -inf"),
    ],
)
def test_file_without_a_logit_for_every_class_is_refused_by_name(imported, values, message):
    with pytest.raises(LogitsFileError, match=rf"ce\.npz: .*{message}"):
        imported(logits=values, targets=TARGETS)


def test_cells_with_other_targets_are_refused_naming_both_files_and_the_first_row(imported):
    first = imported(logits=LOGITS, targets=TARGETS)
    order = np.r_[:5, RNG.permutation(np.arange(5, 60))]
    row = int((TARGETS[order] != TARGETS).argmax())
    with pytest.raises(LogitsFileError, match=rf"ls\.npz: row {row}: target ., but . in .*ce\.npz"):
        imported("ls.npz", compared=first, logits=LOGITS[order], targets=TARGETS[order])
    with pytest.raises(LogitsFileError, match=r"short\.npz: 50 targets, but 60 in .*ce\.npz"):
        imported("short.npz", compared=first, logits=LOGITS[:50], targets=TARGETS[:50])
    with pytest.raises(LogitsFileError, match=r"wide\.npz: 5 classes, but 4 in .*ce\.npz; expected losses of the same"):
        imported("wide.npz", compared=first, logits=np.c_[LOGITS, LOGITS[:, :1] - 1], targets=TARGETS)
    assert imported("same.npz", compared=first, logits=-LOGITS, targets=TARGETS).exists()


def test_logits_of_validation_are_no_test(imported, tmp_path):
    val, test = (imported(split=split, logits=LOGITS, targets=TARGETS) for split in ("val", "test"))

    with pytest.raises(
        ValueError, match=r"100 % of the rows of .*ce.npz are also in .*ce.npz; what fits and what tests"
    ):
        score(val, test, ["msp"], *(tmp_path / name for name in ("scores", "fitted", "sweep", "operating")))
