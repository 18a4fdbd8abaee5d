import math

import numpy as np
import pytest
from scipy.stats import binom

from unsmooth.metrics import certificates, certified_threshold

DRAWS = 2000
DELTA = 0.1
# Error probability by rank from the top, u in [0, 1]; the target of 0.1 is crossed somewhere or missed by little.
PROFILES = {
    "monotone": lambda u: 0.6 * u**2,
    "wrong head": lambda u: np.where(u < 0.05, 0.5, 0.4 * u**2),
    "wrong head and waves": lambda u: np.clip(0.11 + 0.3 * np.cos(25 * u) * (1 - u) ** 2, 0, 1),
    "bad everywhere by a little": lambda u: np.full_like(u, 0.105),
    "good and then bad": lambda u: np.where(u < 0.3, 0.02, 0.5),
}


RANKS = (np.arange(200_000) + 0.5) / 200_000


def failure_rate(profile, n, levels=None):
    """Share of draws whose certified threshold has a true risk above the target."""
    rng = np.random.default_rng(n)
    u = rng.random((DRAWS, n))
    errors = rng.random((DRAWS, n)) < profile(u)
    confidence = -u if levels is None else -np.ceil(u * levels) / levels
    results = [certified_threshold(*draw, risk=0.1, delta=DELTA) for draw in zip(confidence, errors, strict=True)]
    accepted = np.array([-result.threshold for result in results if result.feasible])
    # Selective risk of accepting the most confident fraction, by the midpoint rule.
    risk = np.interp(accepted, RANKS + 0.5 / len(RANKS), np.cumsum(profile(RANKS)) / np.arange(1, len(RANKS) + 1))
    return np.count_nonzero(risk > 0.1 + 1e-9) / DRAWS


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    ("n", "levels"),
    [
        *[(25, None), (60, 7), (200, None), (200, 7)],
        *(pytest.param(1000, levels, marks=pytest.mark.slow) for levels in (None, 7)),
    ],
)
def test_true_risk_exceeds_the_target_no_more_often_than_delta(name, n, levels):
    tolerance = binom.ppf(0.999, DRAWS, DELTA) / DRAWS

    assert failure_rate(PROFILES[name], n, levels) <= tolerance


def test_the_simulation_sees_a_broken_guarantee():
    # The threshold of the largest coverage with an empirical risk at most the target fails far more often.
    rng = np.random.default_rng(0)
    u = rng.random((200, 200))
    risks = np.cumsum(rng.random((200, 200)) < PROFILES["monotone"](np.sort(u)), axis=1) / np.arange(1, 201)
    last = 199 - np.argmax(risks[:, ::-1] <= 0.1, axis=1)
    accepted = np.take_along_axis(np.sort(u), last[:, None], axis=1)

    assert np.mean(0.2 * accepted**2 > 0.1) > 0.3  # the true risk of "monotone" is 0.2 u^2


def test_a_useful_confidence_is_certified_close_to_the_best_coverage():
    rng = np.random.default_rng(1)
    profile = PROFILES["monotone"]  # risk 0.2 u^2: the target 0.1 allows coverage 0.707
    u = rng.random(10_000)
    result = certified_threshold(-u, rng.random(10_000) < profile(u), risk=0.1, delta=0.05)

    assert 0.65 < result.coverage < 0.707
    assert result.empirical_risk < result.bound <= 0.1


def test_result_describes_what_the_threshold_accepts():
    rng = np.random.default_rng(2)
    confidence = np.round(rng.random(3000), 2)
    errors = rng.random(3000) < 0.3 * (1 - confidence)
    result = certified_threshold(confidence, errors, risk=0.1, delta=0.05)
    accepted = confidence >= result.threshold

    assert result.feasible
    assert (result.accepted, result.n, result.coverage) == (accepted.sum(), 3000, accepted.mean())
    assert result.empirical_risk == errors[accepted].mean()


def test_full_coverage_is_certified_when_the_whole_set_is_good_enough():
    result = certified_threshold(np.arange(1000), np.arange(1000) == 3, risk=0.05, delta=0.05)

    assert (result.coverage, result.threshold) == (1.0, 0.0)


def test_a_constant_confidence_is_certified_or_refused_as_a_whole():
    good = certified_threshold(np.zeros(1000), np.arange(1000) < 10, risk=0.05, delta=0.05)
    bad = certified_threshold(np.zeros(1000), np.arange(1000) < 60, risk=0.05, delta=0.05)

    assert (good.feasible, good.coverage) == (True, 1.0)
    assert not bad.feasible


@pytest.mark.parametrize("n", [0, 1, 20])
def test_too_few_samples_are_infeasible(n):
    result = certified_threshold(np.arange(n), np.zeros(n, bool), risk=0.05, delta=0.05)

    assert not result.feasible
    assert (result.threshold, result.coverage, result.n, result.accepted) == (math.inf, 0.0, n, 0)
    assert math.isnan(result.empirical_risk) and math.isnan(result.bound)


def test_sample_order_does_not_matter():
    rng = np.random.default_rng(3)
    confidence = rng.integers(0, 30, 2000)
    errors = rng.random(2000) < 0.3 * (1 - confidence / 30)
    order = rng.permutation(2000)

    first = certified_threshold(confidence, errors, risk=0.1, delta=0.05)
    assert certified_threshold(confidence[order], errors[order], risk=0.1, delta=0.05) == first


def test_levels_of_the_chains_add_up_to_delta():
    for n in (2, 3, 100, 5000, 10**6):
        assert sum(level for _, level in certificates._chains(n, 0.05)) == pytest.approx(0.05)


def test_the_walk_is_the_same_in_blocks(monkeypatch):
    rng = np.random.default_rng(4)
    u = rng.random(1000)
    data = -u, rng.random(1000) < 0.5 * u**2
    expected = certified_threshold(*data, risk=0.1, delta=0.05)
    monkeypatch.setattr(certificates, "_BLOCK", 7)

    assert certified_threshold(*data, risk=0.1, delta=0.05) == expected


@pytest.mark.parametrize(("name", "value"), [("risk", 0), ("risk", 1), ("delta", 0), ("delta", "five")])
def test_arguments_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be in \(0, 1\), got {value!r}"):
        certified_threshold([1], [0], **({"risk": 0.1, "delta": 0.1} | {name: value}))
