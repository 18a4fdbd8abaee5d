import math
from inspect import signature

import numpy as np
import pytest

from unsmooth.scores import FittedScore, available_scores, find_score
from unsmooth.scores.thresholds import acceptance_rule, threshold_value

PARAMS = {
    "msp_temperature": {"temperature": 1.7},
    "msp_pnorm": {"p": 3, "temperature": 0.1},
    "bk": {"alpha": 1.0, "beta": 0.5},
    "ets": {"temperature": 2.0, "weight": 0.3},
    "hts": {"weight": -0.4, "bias": 0.5},
}
ON_LOG_SCALE = ("lda", "j_score")
LOGITS = np.random.default_rng(0).normal(size=(50, 4)) * 3


def fitted(name):
    return FittedScore(name, {**find_score(name).defaults, **PARAMS.get(name, {})})


@pytest.mark.parametrize("name", available_scores())
def test_every_score_of_logits_has_a_rule_in_words(name):
    rule = acceptance_rule(fitted(name), 1.5)

    assert rule.startswith("accept when ") and "{" not in rule


@pytest.mark.parametrize("name", [name for name in available_scores() if name not in ON_LOG_SCALE])
def test_threshold_is_in_the_natural_unit_of_the_score(name):
    score, entry = fitted(name), find_score(name)
    values = np.array([threshold_value(score, value) for value in score(LOGITS)])
    scale = {"scale": "natural"} if "scale" in signature(entry.function).parameters else {}
    natural = entry.function(LOGITS, **score.params, **scale)

    assert values == pytest.approx(-natural if "at most" in acceptance_rule(score, 1.5) else natural)


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(1.56445, "0.791"), (-math.log(0.001), "0.9990"), (-math.log(1.3e-5), "0.999987"), (100.0, "1 - 10^-43.43")],
)
def test_probabilities_near_one_keep_the_digits_that_matter(threshold, text):
    assert acceptance_rule(FittedScore("msp"), threshold) == f"accept when the largest probability is at least {text}"


def test_a_score_that_fell_back_has_the_rule_of_msp():
    fell_back = FittedScore("max_logit_pnorm", {"p": 3}, fell_back=True, reason="worse")

    assert acceptance_rule(fell_back, 1.0) == acceptance_rule(FittedScore("msp"), 1.0)


def test_an_infeasible_threshold_accepts_nothing():
    assert acceptance_rule(FittedScore("msp"), math.inf) == "accept nothing"
    assert math.isnan(threshold_value(FittedScore("msp"), math.inf))
