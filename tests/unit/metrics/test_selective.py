import dataclasses
import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from unsmooth import metrics
from unsmooth.metrics import (
    UndefinedMetricWarning,
    achievable_aurc,
    augrc,
    aurc,
    aurc_conventions,
    coverage_at_risk,
    eaurc,
    failure_auroc,
    failure_fpr95,
    naurc,
    optimal_aurc,
    risk_at_coverage,
    risk_coverage_curve,
    selective_gap,
    selective_metrics,
    selective_summary,
)
from unsmooth.metrics.balanced import balanced_augrc, balanced_aurc, balanced_risk_coverage
from unsmooth.metrics.detection import ap_errors, ap_successes
from unsmooth.metrics.operating import sac, selective_gap_terms
from unsmooth.metrics.selective import eaugrc, partial_aurc

# Every metric of one (confidence, errors) pair, for the invariances.
REGISTRY = {
    **{f"aurc_{name}": lambda c, e, name=name, **k: aurc(c, e, convention=name, **k) for name in metrics.CONVENTIONS},
    "eaurc": eaurc,
    "naurc": naurc,
    "augrc": augrc,
    "eaugrc": eaugrc,
    "achievable_aurc": achievable_aurc,
    "partial_aurc": lambda c, e, **k: partial_aurc(c, e, coverage=(0.2, 0.8), **k),
    "failure_auroc": failure_auroc,
    "failure_fpr95": failure_fpr95,
    "ap_errors": ap_errors,
    "ap_successes": ap_successes,
    "coverage_at_risk": lambda c, e, **k: coverage_at_risk(c, e, risk=0.3, **k),
    "risk_at_coverage": lambda c, e, **k: risk_at_coverage(c, e, coverage=0.55, **k),
    "sac": lambda c, e, **k: sac(c, e, accuracy=0.7, **k),
    "selective_gap": lambda c, e, **k: selective_gap(c, e, coverage=0.3, **k),
}
# Values that a copy of the whole data set does not change; the others move by O(1/n) with the number of samples.
SCALE_FREE = ["augrc", "eaugrc", "aurc_fd_shifts", "achievable_aurc", "partial_aurc", "failure_auroc", "failure_fpr95"]
SCALE_FREE += ["ap_errors", "ap_successes", "coverage_at_risk", "sac"]

CONFIDENCE = [0.9, 0.8, 0.7, 0.6]
ERRORS = [0, 1, 0, 1]


def mixed_errors(n):
    return st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda errors: 0 < sum(errors) < len(errors))


@st.composite
def tied_data(draw, smallest=2, largest=7):
    n = draw(st.integers(smallest, largest))
    return np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))), np.array(draw(mixed_errors(n)))


def mean_over_tie_orders(metric, confidence, errors):
    """Average of `metric(errors in order)` over every order that the confidences allow."""
    values = []
    for order in permutations(range(len(confidence))):
        ordered = confidence[list(order)]
        if (ordered[:-1] >= ordered[1:]).all():
            values.append(metric(errors[list(order)].astype(float)))
    return np.mean(values)


def plain_harmonic(r):
    return np.mean(np.cumsum(r) / np.arange(1, len(r) + 1))


def plain_torch_uncertainty(r):
    risks = np.cumsum(r) / np.arange(1, len(r) + 1)
    return np.trapezoid(risks, np.arange(1, len(r) + 1) / len(r)) / (1 - 1 / len(r))


PLAIN = {
    "aurc_harmonic": plain_harmonic,
    "aurc_paper": lambda r: np.trapezoid(np.r_[0, np.cumsum(r) / np.arange(1, len(r) + 1)]) / len(r),
    "aurc_torch_uncertainty": plain_torch_uncertainty,
    "aurc_ln": lambda r: np.mean(r * -np.log(np.arange(1, len(r) + 1) / (len(r) + 1))),
    "augrc": lambda r: np.trapezoid(np.r_[0, np.cumsum(r)]) / len(r) ** 2,
    "eaurc": lambda r: plain_harmonic(r) - plain_harmonic(np.sort(r)),
    "risk_at_coverage": lambda r: np.mean(r[: int(np.ceil(0.55 * len(r)))]),
    "failure_auroc": lambda r: np.mean(np.flatnonzero(r == 0)[:, None] < np.flatnonzero(r == 1)),
}


def test_four_samples_give_three_published_values_of_aurc():
    values = aurc_conventions(CONFIDENCE, ERRORS)

    assert values["harmonic"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4, abs=1e-15)
    assert values["paper"] == pytest.approx(13 / 48, abs=1e-15)
    assert values["torch_uncertainty"] == pytest.approx(13 / 36, abs=1e-15)
    assert values["fd_shifts"] == pytest.approx(13 / 48, abs=1e-15)


def test_areas_of_four_samples_by_hand():
    assert augrc(CONFIDENCE, ERRORS) == pytest.approx((0 + 1 / 8 + 1 / 4 + 3 / 8) / 4, abs=1e-15)
    assert optimal_aurc(ERRORS) == pytest.approx((1 / 3 + 1 / 2) / 4, abs=1e-15)
    assert eaurc(CONFIDENCE, ERRORS) == pytest.approx(0.125, abs=1e-15)
    assert naurc(CONFIDENCE, ERRORS) == pytest.approx(3 / 7, abs=1e-15)
    assert failure_auroc(CONFIDENCE, ERRORS) == 0.75
    assert partial_aurc(CONFIDENCE, ERRORS, coverage=(0.25, 0.5)) == pytest.approx(0.25 - 0.25 * np.log(2), abs=1e-15)


def test_operating_points_of_five_samples_by_hand():
    confidence, errors = [5, 4, 3, 2, 1], [1, 0, 0, 0, 1]  # risks 1, 1/2, 1/3, 1/4, 2/5

    assert coverage_at_risk(confidence, errors, risk=0.25) == 0.8
    assert coverage_at_risk(confidence, errors, risk=0.4) == 1.0
    assert coverage_at_risk(confidence, errors, risk=0.2) == 0.0
    assert sac(confidence, errors, accuracy=0.75) == 0.8
    assert risk_at_coverage(confidence, errors, coverage=0.5) == pytest.approx(1 / 3)


def test_a_tie_is_accepted_whole_by_a_threshold_and_in_expectation_by_a_coverage():
    confidence, errors = [2, 1, 1, 1, 1], [0, 1, 0, 0, 0]

    assert coverage_at_risk(confidence, errors, risk=0.1) == 0.2
    assert coverage_at_risk(confidence, errors, risk=0.2) == 1.0
    assert risk_at_coverage(confidence, errors, coverage=0.6) == pytest.approx((0 + 2 / 4) / 3)


def test_risk_at_coverage_takes_the_count_that_the_fraction_means():
    errors = np.arange(100) == 7  # 0.07 * 100 is 7.000000000000001, yet means 7 samples

    assert risk_at_coverage(-np.arange(100), errors, coverage=0.07) == 0.0
    assert risk_at_coverage(-np.arange(100), errors, coverage=0.08) == 1 / 8


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=25)
@given(data=tied_data(largest=6))
def test_ties_give_the_mean_over_all_tie_orders(name, data):
    expected = mean_over_tie_orders(PLAIN[name], *data)

    assert REGISTRY[name](*data) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", REGISTRY)
@settings(max_examples=20)
@given(data=tied_data(largest=12), seed=st.integers(0, 99))
def test_no_metric_depends_on_sample_order(name, data, seed):
    confidence, errors = data
    order = np.random.default_rng(seed).permutation(len(errors))

    assert REGISTRY[name](confidence[order], errors[order]) == REGISTRY[name](confidence, errors)


@pytest.mark.parametrize("name", REGISTRY)
@settings(max_examples=20)
@given(data=tied_data(largest=12))
def test_no_metric_changes_under_an_increasing_transform(name, data):
    confidence, errors = data

    assert REGISTRY[name](np.exp(3 * confidence) - 7, errors) == REGISTRY[name](confidence, errors)


@pytest.mark.parametrize("name", REGISTRY)
@settings(max_examples=20)
@given(data=tied_data(), weights=st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_whole_weights_count_as_copies(name, data, weights):
    confidence, errors = data
    weights = np.array(weights[: len(errors)])
    copies = np.repeat(np.arange(len(errors)), weights)
    if not 0 < errors[copies].sum() < len(copies):
        return

    expected = REGISTRY[name](confidence[copies], errors[copies])

    assert REGISTRY[name](confidence, errors, sample_weight=weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SCALE_FREE)
@settings(max_examples=20)
@given(data=tied_data())
def test_copying_the_data_set_changes_nothing(name, data):
    confidence, errors = data
    copied = REGISTRY[name](np.tile(confidence, 3), np.tile(errors, 3))

    assert copied == pytest.approx(REGISTRY[name](confidence, errors), abs=1e-12)


@settings(max_examples=40)
@given(data=tied_data(largest=30))
def test_detection_metrics_agree_with_scikit_learn(data):
    confidence, errors = data
    fpr, tpr, _ = roc_curve(~errors, confidence, drop_intermediate=False)

    assert failure_auroc(confidence, errors) == pytest.approx(roc_auc_score(~errors, confidence), abs=1e-12)
    assert failure_fpr95(confidence, errors) == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min(), abs=1e-12)
    assert ap_errors(confidence, errors) == pytest.approx(average_precision_score(errors, -confidence), abs=1e-12)
    assert ap_successes(confidence, errors) == pytest.approx(average_precision_score(~errors, confidence), abs=1e-12)


@settings(max_examples=40)
@given(data=tied_data(largest=30))
def test_identities_between_metrics_hold_with_ties(data):
    confidence, errors = data
    n, error = len(errors), errors.mean()
    useless = (1 - failure_auroc(confidence, errors)) * error * (1 - error)
    areas = aurc_conventions(confidence, errors)

    assert augrc(confidence, errors) == pytest.approx(useless + error**2 / 2, abs=1e-12)
    assert eaugrc(confidence, errors) == pytest.approx(useless, abs=1e-12)
    least_confident_first = (rankdata(confidence) * errors).sum() / n**2  # the SELE loss
    assert augrc(confidence, errors) + error / (2 * n) == pytest.approx(least_confident_first, abs=1e-12)
    assert areas["paper"] == pytest.approx(areas["harmonic"] - error / (2 * n), abs=1e-12)
    gaps = [selective_gap(confidence, errors, coverage=(k + 1) / n) for k in range(n)]
    assert np.mean(gaps) == pytest.approx(eaurc(confidence, errors), abs=1e-12)
    assert eaurc(confidence, errors, convention="paper") == pytest.approx(eaurc(confidence, errors), abs=1e-12)
    assert achievable_aurc(confidence, errors) <= partial_aurc(confidence, errors) + 1e-12


@settings(max_examples=30)
@given(data=tied_data(largest=12), coverage=st.floats(0.05, 1.0))
def test_gap_terms_add_up(data, coverage):
    terms = selective_gap_terms(*data, coverage=coverage)

    assert terms.gap == pytest.approx(selective_gap(*data, coverage=coverage), abs=1e-12)
    assert terms.threshold_choice + terms.ranking == pytest.approx(terms.gap, abs=1e-12)
    assert min(terms.threshold_choice, terms.ranking) >= -1e-12


def test_partial_areas_add_up():
    rng = np.random.default_rng(0)
    confidence, errors = rng.integers(0, 50, 300), rng.random(300) < 0.3
    cuts = [0, 0.013, 0.4, 0.77, 1]
    parts = [partial_aurc(confidence, errors, coverage=cut) for cut in zip(cuts, cuts[1:], strict=False)]

    assert sum(parts) == pytest.approx(partial_aurc(confidence, errors), abs=1e-14)


def test_achievable_aurc_is_the_best_of_all_subsets_of_thresholds():
    rng = np.random.default_rng(1)
    confidence, errors = rng.integers(0, 5, 12), rng.random(12) < 0.4
    curve = risk_coverage_curve(confidence, errors)
    last = len(curve.coverage) - 1
    best = np.inf
    for chosen in range(2**last):
        keep = [i for i in range(last) if chosen >> i & 1] + [last]
        c, g = np.r_[0, curve.coverage[keep]], np.r_[0, curve.generalized_risk[keep]]
        slope = np.diff(g) / np.diff(c)
        logs = np.log(c[2:] / c[1:-1]) * (g[1:-1] - slope[1:] * c[1:-1])
        best = min(best, np.sum(np.diff(g)) + logs.sum())

    assert achievable_aurc(confidence, errors) == pytest.approx(best, abs=1e-12)


def test_balanced_risk_agrees_with_a_loop_over_thresholds_and_classes():
    rng = np.random.default_rng(2)
    confidence, errors, targets = rng.integers(0, 9, 60), rng.random(60) < 0.3, rng.integers(0, 5, 60) * 3
    coverage, risk = balanced_risk_coverage(confidence, errors, targets)
    expected = []
    for threshold in np.unique(confidence)[::-1]:
        accepted = confidence >= threshold
        rates = [errors[accepted & (targets == c)] for c in np.unique(targets)]
        expected.append(np.mean([rate.mean() if len(rate) else 0.0 for rate in rates]))

    np.testing.assert_allclose(risk, expected, atol=1e-14)
    assert coverage[-1] == 1


@settings(max_examples=30)
@given(data=tied_data(), weights=st.lists(st.integers(0, 3), min_size=7, max_size=7), scale=st.sampled_from([1, 0.3]))
def test_whole_weights_count_as_copies_of_balanced_metrics(data, weights, scale):
    confidence, errors = data
    targets, weights = np.arange(len(errors)) % 3, np.array(weights[: len(errors)])
    copies = np.repeat(np.arange(len(errors)), weights)
    if not len(copies):
        return
    copied = confidence[copies], errors[copies], targets[copies]

    for metric in (balanced_aurc, balanced_augrc):
        value = metric(confidence, errors, targets, sample_weight=scale * weights)
        assert value == pytest.approx(metric(*copied), abs=1e-12)
    for actual, expected in zip(
        balanced_risk_coverage(confidence, errors, targets, sample_weight=scale * weights),
        balanced_risk_coverage(*copied),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize("targets", [[[0], [1]], [0]])
def test_bad_targets_of_balanced_metrics_are_refused(targets):
    for metric in (balanced_risk_coverage, balanced_aurc, balanced_augrc):
        with pytest.raises(ValueError, match=r"targets (must have 1 axis \(N,\)|has 1 rows but confidence has 2)"):
            metric([1, 2], [0, 1], targets)


def test_balanced_areas_equal_plain_ones_when_classes_are_equal_copies():
    rng = np.random.default_rng(3)
    confidence, errors = rng.random(40), rng.random(40) < 0.3
    both = np.tile(confidence, 2), np.tile(errors, 2), np.repeat([0, 1], 40)

    assert balanced_aurc(*both) == pytest.approx(aurc(*both[:2], convention="fd_shifts"), abs=1e-14)
    assert balanced_augrc(*both) == pytest.approx(augrc(*both[:2]), abs=1e-14)


def test_curve_has_one_point_per_distinct_confidence_and_ends_at_the_error_rate():
    curve = risk_coverage_curve(np.array([0.5, 0.9, 0.5, 0.1], np.float32), [1, 0, 0, 1])

    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.generalized_risk.tolist() == [0.0, 0.25, 0.5]
    assert curve.selective_risk.tolist() == [0.0, 1 / 3, 0.5]
    assert curve.threshold.dtype == np.float32


def test_good_random_and_inverted_confidence_rank_as_they_should():
    rng = np.random.default_rng(4)
    quality = rng.random(4000)
    errors = rng.random(4000) > quality
    areas = [naurc(score, errors) for score in (quality, rng.random(4000), -quality)]

    assert areas[0] < 0.6 < areas[1] < 1.1 < areas[2]


def test_constant_confidence_has_the_error_rate_everywhere():
    values = selective_metrics(np.zeros(50), np.arange(50) % 4 == 0)

    assert values["aurc"] == pytest.approx(values["error"], abs=1e-14)
    assert values["failure_auroc"] == 0.5
    assert values["risk_at_coverage_10"] == pytest.approx(values["error"])


def test_selective_metrics_equals_the_single_functions():
    rng = np.random.default_rng(5)
    confidence, errors = rng.integers(0, 40, 200), rng.random(200) < 0.2
    values = selective_metrics(confidence, errors, risks=(0.025, 0.1), coverages=(0.07, 0.5))

    assert values == {
        "error": errors.mean(),
        "aurc": aurc(confidence, errors),
        "aurc_paper": aurc(confidence, errors, convention="paper"),
        "eaurc": pytest.approx(eaurc(confidence, errors), abs=1e-15),
        "naurc": pytest.approx(naurc(confidence, errors), abs=1e-15),
        "augrc": augrc(confidence, errors),
        "failure_auroc": failure_auroc(confidence, errors),
        "failure_fpr95": failure_fpr95(confidence, errors),
        "coverage_at_risk_2.5": coverage_at_risk(confidence, errors, risk=0.025),
        "coverage_at_risk_10": coverage_at_risk(confidence, errors, risk=0.1),
        "risk_at_coverage_7": risk_at_coverage(confidence, errors, coverage=0.07),
        "risk_at_coverage_50": risk_at_coverage(confidence, errors, coverage=0.5),
    }
    assert all(type(value) is float for value in values.values())


@pytest.mark.parametrize("kind", [bool, float])
@pytest.mark.parametrize("weighted", [False, True])
def test_summary_equals_the_metrics_and_the_curve(kind, weighted):
    rng = np.random.default_rng(5)
    confidence, errors = rng.integers(0, 40, 200), (rng.random(200) if kind is float else rng.random(200) < 0.2)
    weight = rng.random(200) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        summary = selective_summary(confidence, errors, sample_weight=weight)
        values = selective_metrics(confidence, errors, sample_weight=weight)
    curve = risk_coverage_curve(confidence, errors, sample_weight=weight)

    assert summary.metrics == pytest.approx(values, abs=1e-15, nan_ok=True)
    for field in dataclasses.fields(curve):
        np.testing.assert_array_equal(getattr(summary.curve, field.name), getattr(curve, field.name))


def test_summary_of_no_samples_is_nan_and_empty():
    with pytest.warns(UndefinedMetricWarning, match="no samples"):
        summary = selective_summary([], [])

    assert all(np.isnan(value) for value in summary.metrics.values())
    assert len(summary.curve.coverage) == 0


@pytest.mark.parametrize("name", ["naurc", "failure_auroc", "failure_fpr95"])
def test_rounding_of_weights_makes_nothing_correct(name):
    weight = np.random.default_rng(0).random(1000) / 3
    with pytest.warns(UndefinedMetricWarning, match="every prediction is wrong"):
        assert np.isnan(REGISTRY[name](np.arange(1000), np.ones(1000), sample_weight=weight))


@pytest.mark.parametrize("name", REGISTRY)
def test_no_samples_is_nan_with_a_warning(name):
    with pytest.warns(UndefinedMetricWarning, match="no samples"):
        assert np.isnan(REGISTRY[name]([], []))


@pytest.mark.parametrize("errors", [[0, 0, 0], [1, 1, 1]])
def test_naurc_and_detection_are_undefined_without_both_outcomes(errors):
    for metric in (naurc, failure_auroc, failure_fpr95):
        with pytest.warns(UndefinedMetricWarning, match="every prediction is"):
            assert np.isnan(metric([3, 2, 1], errors))


def test_all_correct_and_all_wrong_have_defined_areas():
    assert aurc([3, 2, 1], [0, 0, 0]) == augrc([3, 2, 1], [0, 0, 0]) == eaurc([3, 2, 1], [0, 0, 0]) == 0
    assert aurc([3, 2, 1], [1, 1, 1]) == pytest.approx(1, abs=1e-15)
    assert augrc([3, 2, 1], [1, 1, 1]) == pytest.approx(0.5, abs=1e-15)
    assert achievable_aurc([3, 2, 1], [1, 1, 1]) == pytest.approx(1, abs=1e-15)
    assert coverage_at_risk([3, 2, 1], [0, 0, 0], risk=0) == 1
    assert coverage_at_risk([3, 2, 1], [1, 1, 1], risk=0.5) == 0


def test_a_single_sample_is_defined_but_for_torch_uncertainty():
    assert aurc([1], [1]) == aurc([1], [1], convention="fd_shifts") == 1
    assert aurc([1], [1], convention="paper") == 0.5
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(aurc([1], [1], convention="torch_uncertainty"))


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_perfect_confidence_has_no_excess_over_tied_residuals(convention):
    residuals = np.array([0, 0, 0.5, 0.5])

    assert eaurc(-residuals, residuals, convention=convention) == pytest.approx(0, abs=1e-15)
    assert naurc(-residuals, residuals, convention=convention) == pytest.approx(0, abs=1e-15)
    assert optimal_aurc(residuals, convention=convention) == aurc(-residuals, residuals, convention=convention)


def test_continuous_residuals_have_areas_but_nothing_to_detect():
    residuals = [0.1, 0.7, 0.2]

    assert aurc([3, 2, 1], residuals) == pytest.approx((0.1 + 0.4 + 1 / 3) / 3)
    assert eaurc([3, 1, 2], residuals) == pytest.approx(0, abs=1e-15)
    with pytest.warns(UndefinedMetricWarning, match="failure_auroc, failure_fpr95.*residuals"):
        assert np.isnan(selective_metrics([3, 2, 1], residuals)["failure_auroc"])
    with pytest.raises(ValueError, match=r"errors must be bool or 0/1 for this metric, got 0\.1 at row 0"):
        failure_auroc([3, 2, 1], residuals)


@pytest.mark.parametrize(
    ("confidence", "errors", "message"),
    [
        ([0.1, np.nan], [0, 1], "confidence must be finite, got nan at row 1"),
        ([0.1, np.inf], [0, 1], "confidence must be finite, got inf at row 1"),
        ([-np.inf, 1], [0, 1], "confidence must be finite, got -inf at row 0"),
        ([0.1, 0.2], [0, 1, 0], "errors has 3 rows but confidence has 2"),
        ([0.1, 0.2], [0, 2], r"errors must be bool, 0/1 or residuals in \[0, 1\], got 2 at row 1"),
        ([0.1, 0.2], [-0.5, 0], "got -0.5 at row 0"),
        ([0.1, 0.2], [np.nan, 0], "got nan at row 0"),
        ([[0.1, 0.2]], [0, 1], r"confidence must have 1 axis\(es\), got shape \(1, 2\)"),
        (["a", "b"], [0, 1], "confidence must hold real numbers"),
        ([1j, 0], [0, 1], "confidence must hold real numbers, got dtype complex128"),
        ([True, False], [0.9, 0.4], "expected confidence first, then errors"),
    ],
)
def test_bad_data_is_refused_with_the_row_named(confidence, errors, message):
    for metric in (aurc, augrc, risk_coverage_curve, selective_metrics):
        with pytest.raises(ValueError, match=message):
            metric(confidence, errors)


@pytest.mark.parametrize(
    ("confidence", "errors"),
    [([1, 1, 0], [0.1, 0.2, 0.9]), ([1, 0, 0], [0.1, 0.2, 0.4]), ([0, 0, 1], [1, 0, 1]), ([0, 0], [0.9, 0.8])],
)
def test_decision_to_reject_is_a_confidence_of_any_errors(confidence, errors):
    assert aurc(confidence, errors) == aurc([1.5 * decision for decision in confidence], errors)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="convention must be one of harmonic, paper"):
        aurc(CONFIDENCE, ERRORS, convention="geifman")
    with pytest.raises(ValueError, match=r"coverage must be in \(0, 1\], got 0"):
        risk_at_coverage(CONFIDENCE, ERRORS, coverage=0)
    with pytest.raises(ValueError, match=r"risk must be in \[0, 1\], got 5"):
        coverage_at_risk(CONFIDENCE, ERRORS, risk=5)
    with pytest.raises(ValueError, match="lower < upper"):
        partial_aurc(CONFIDENCE, ERRORS, coverage=(0.5, 0.5))
    with pytest.raises(ValueError, match="sample_weight must not be negative, got -1.0 at row 2"):
        aurc(CONFIDENCE, ERRORS, sample_weight=[1, 1, -1, 1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_any_kind_are_accepted_and_not_changed(dtype):
    confidence = torch.tensor(CONFIDENCE + CONFIDENCE, dtype=dtype).requires_grad_()[::2]
    errors = torch.tensor(ERRORS + ERRORS, dtype=torch.bool)[::2]
    before = confidence.detach().clone()

    assert aurc(confidence, errors) == aurc(confidence.detach().float().numpy(), errors.numpy())
    assert torch.equal(confidence.detach(), before)


def test_arrays_are_not_changed():
    confidence, errors = np.array(CONFIDENCE), np.array(ERRORS, float)
    confidence.flags.writeable = errors.flags.writeable = False

    for metric in REGISTRY.values():
        metric(confidence, errors)


def test_huge_and_tiny_magnitudes_keep_their_order():
    confidence = np.array([1e308, 1e-308, 0.0, -0.0, -1e-308, -1e308])
    errors = np.array([0, 0, 1, 0, 0, 1])

    assert aurc(confidence, errors) == aurc([5, 4, 3, 3, 2, 1], errors)


@pytest.mark.slow
def test_counts_beyond_two_to_the_24_are_exact():
    n = 2**24 + 3
    errors = np.zeros(n, bool)
    errors[-2:] = True
    curve = risk_coverage_curve(np.repeat(np.float32([2, 1]), [n - 1, 1]), errors)

    assert curve.selective_risk.tolist() == [1 / (n - 1), 2 / n]
    assert coverage_at_risk(-np.arange(n, dtype=np.float64), errors, risk=1.5 / n) == (n - 1) / n


def test_areas_of_many_samples_agree_with_plain_sums():
    rng = np.random.default_rng(6)
    n = 1_000_000
    errors = rng.random(n) < 0.2
    order = np.argsort(-rankdata(rng.random(n)))
    ordered = errors[order].astype(float)
    confidence = np.empty(n)
    confidence[order] = np.arange(n, 0, -1)

    assert aurc(confidence, errors) == pytest.approx(plain_harmonic(ordered), rel=1e-12)
    assert aurc(confidence, errors, convention="ln") == pytest.approx(PLAIN["aurc_ln"](ordered), rel=1e-12)


def test_lists_of_tensors_are_read_whatever_their_gradient_and_precision() -> None:
    expected = aurc([0.5, 0.25, 0.75], [0, 1, 0])
    for options in ({"requires_grad": True}, {"dtype": torch.bfloat16}):
        confidence = [torch.tensor(value, **options) for value in (0.5, 0.25, 0.75)]
        assert aurc(confidence, [torch.tensor(error) for error in (0, 1, 0)]) == expected
