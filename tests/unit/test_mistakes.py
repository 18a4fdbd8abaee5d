"""Arguments that are not what they are taken for, at every function that takes logits with their targets."""

import numpy as np
import pandas as pd
import pytest
import torch

from unsmooth import SelectiveClassifier, diagnose, fit_score

GENERATOR = np.random.default_rng(0)
TARGETS = GENERATOR.integers(0, 4, 60)
LOGITS = GENERATOR.normal(size=(60, 4)) + 2 * np.eye(4)[TARGETS]


def fit(logits, targets):
    return fit_score("max_logit_pnorm", logits, targets)


def classify(logits, targets):
    return SelectiveClassifier(params={"p": 5}, max_risk=0.5).fit(logits, targets)


@pytest.fixture(params=[fit, classify, diagnose])
def function(request):
    return request.param


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (TARGETS, LOGITS, r"logits must have shape \(N, K\), got \(60,\)"),
        (LOGITS.T, TARGETS, "expected a row for each sample: transpose the logits"),
        (LOGITS, TARGETS + 1, "the targets seem to count from 1, so subtract 1"),
        (LOGITS, np.where(TARGETS == 0, -100, TARGETS), "targets are -100, which seems to mean ignored samples"),
        (LOGITS, TARGETS.astype(str), "targets must hold real numbers, got dtype <U21 of ndarray"),
        (LOGITS, pd.Series([None, *TARGETS[1:]], dtype="Int64"), "targets"),
        (np.ma.masked_greater(LOGITS, 3), TARGETS, "logits: row .* has a logit that is NaN"),
        (np.column_stack([LOGITS, TARGETS]), TARGETS, "logits: column 4 holds the targets; leave it out"),
        (torch.tensor(np.column_stack([TARGETS, LOGITS])), TARGETS, "logits: column 0 holds the targets"),
        (pd.DataFrame(LOGITS).assign(name="x"), TARGETS, "got dtype object of DataFrame, column 'name'"),
        ((LOGITS, TARGETS), TARGETS, "logits must hold rows of equal length, got tuple"),
        ("test.npz", TARGETS, "logits must hold real numbers, got dtype <U8 of str"),
    ],
)
def test_what_are_no_logits_or_targets_are_named(function, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        function(logits, targets)


def test_forgotten_name_of_a_score_is_told():
    with pytest.raises(TypeError, match="the name of a score must be a text such as 'msp', got ndarray"):
        fit_score(LOGITS, TARGETS)


def test_one_score_to_compare_needs_no_list():
    one, listed = (diagnose(LOGITS, TARGETS, scores=scores, replicates=20) for scores in ("energy", ["energy"]))

    assert [score.score for score in one.scores] == [score.score for score in listed.scores] == ["msp", "energy"]
