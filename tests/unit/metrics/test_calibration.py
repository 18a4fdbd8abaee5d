import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from unsmooth.metrics import (
    UndefinedMetricWarning,
    adaptive_ece,
    adaptive_ece_mbls,
    brier,
    classwise_ece,
    classwise_ece_mbls,
    ece,
    ece_mbls,
    nll,
    reliability_curve,
)
from unsmooth.metrics.calibration import fail_nll, mce, top_label_brier

TOP_LABEL = [ece, adaptive_ece, mce, top_label_brier, fail_nll]


def make_data(n=400, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    return logits, softmax(logits, axis=1), rng.integers(0, classes, n)


def test_bins_of_three_samples_by_hand():
    confidence, errors = [0.2, 0.9, 0.8], [1, 0, 0]  # gaps 0.2 and 0.15

    assert ece(confidence, errors, bins=2) == pytest.approx((0.2 + 2 * 0.15) / 3)
    assert mce(confidence, errors, bins=2) == pytest.approx(0.2)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin_and_zero_to_the_first():
    assert reliability_curve([0.0, 0.5, 1.0], [1, 0, 0], bins=2).weight.tolist() == [2, 1]


def test_perfectly_calibrated_confidence_has_no_error():
    confidence, errors = np.repeat([0.25, 0.75], 4), np.array([0, 1, 1, 1, 0, 0, 0, 1])

    assert ece(confidence, errors) == mce(confidence, errors) == adaptive_ece(confidence, errors, bins=2) == 0


def test_one_bin_is_the_gap_between_mean_confidence_and_accuracy():
    _, probs, targets = make_data()
    confidence, errors = probs.max(axis=1), probs.argmax(axis=1) != targets
    gap = abs(confidence.mean() - (1 - errors.mean()))

    assert ece(confidence, errors, bins=1) == pytest.approx(gap)
    assert adaptive_ece(confidence, errors, bins=1) == pytest.approx(gap)


def test_adaptive_bins_follow_array_split_without_ties():
    rng = np.random.default_rng(1)
    confidence, errors = rng.random(47), rng.random(47) < 0.3
    order = np.argsort(confidence)
    parts = zip(np.array_split(confidence[order], 7), np.array_split(~errors[order], 7), strict=True)

    assert adaptive_ece(confidence, errors, bins=7) == pytest.approx(
        sum(abs(stated.sum() - correct.sum()) for stated, correct in parts) / 47
    )


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=20), st.integers(0, 99))
def test_no_calibration_metric_depends_on_sample_order(data, seed):
    confidence, errors = np.array([c for c, _ in data]) / 10, np.array([e for _, e in data])
    order = np.random.default_rng(seed).permutation(len(data))

    for metric in TOP_LABEL:
        assert metric(confidence[order], errors[order]) == pytest.approx(metric(confidence, errors), abs=1e-14)


@pytest.mark.parametrize("metric", TOP_LABEL)
def test_whole_weights_count_as_copies(metric):
    rng = np.random.default_rng(2)
    confidence, errors, weights = rng.integers(0, 9, 30) / 8, rng.random(30) < 0.4, rng.integers(0, 4, 30)
    copies = np.repeat(np.arange(30), weights)

    assert metric(confidence, errors, sample_weight=weights) == pytest.approx(
        metric(confidence[copies], errors[copies])
    )


@pytest.mark.parametrize("metric", [classwise_ece, brier, nll])
def test_whole_weights_count_as_copies_of_class_metrics(metric):
    logits, probs, targets = make_data(n=30, classes=3)
    values = logits if metric is nll else probs
    weights = np.random.default_rng(2).integers(0, 4, 30)
    copies = np.repeat(np.arange(30), weights)

    assert metric(values, targets, sample_weight=weights) == pytest.approx(
        metric(values[copies], targets[copies]), rel=1e-12
    )
    assert metric(values, targets, sample_weight=0.3 * weights) == pytest.approx(
        metric(values[copies], targets[copies]), rel=1e-12
    )


@pytest.mark.parametrize("metric", [classwise_ece, brier, nll])
def test_weights_of_zero_alone_are_no_samples(metric):
    with pytest.warns(UndefinedMetricWarning, match=f"{metric.__name__} .* no samples"):
        assert np.isnan(metric([[0.5, 0.5]], [0], sample_weight=[0]))


def test_an_infinite_loss_of_weight_zero_does_not_count():
    assert nll([[0.0, -np.inf], [0.0, 0.0]], [1, 0], sample_weight=[0, 1]) == pytest.approx(np.log(2))


def test_huge_weights_stay_fractions():
    assert ece([0.25, 0.75], [1, 0], sample_weight=[1e300, 1e300]) == 0.25


def test_proper_scores_agree_with_scikit_learn():
    logits, probs, targets = make_data()

    assert nll(logits, targets) == pytest.approx(log_loss(targets, probs, labels=range(5)), rel=1e-12)
    assert brier(probs, targets) == pytest.approx(np.mean(np.sum((probs - np.eye(5)[targets]) ** 2, axis=1)), rel=1e-12)
    assert top_label_brier(probs[:, 0], targets != 0) == pytest.approx(brier_score_loss(targets == 0, probs[:, 0]))


def test_two_columns_agree_with_a_binary_forecast_of_the_positive_class():
    logits, probs, targets = make_data(classes=2)
    log_odds = np.column_stack([np.zeros(len(logits)), logits[:, 1] - logits[:, 0]])

    assert nll(log_odds, targets) == pytest.approx(nll(logits, targets), rel=1e-12)
    assert 2 * top_label_brier(probs[:, 1], targets != 1) == pytest.approx(brier(probs, targets), rel=1e-12)
    columns = ece(probs[:, 0], targets != 0), ece(probs[:, 1], targets != 1)
    assert classwise_ece(probs, targets) == pytest.approx(np.mean(columns), rel=1e-12)


def test_nll_stays_finite_where_the_softmax_underflows():
    assert nll([[1e4, 0.0]], [1]) == 1e4
    assert nll([[0.0, -1e4]], [1]) == 1e4


def test_nll_of_an_excluded_class_is_infinite_only_for_its_own_targets():
    logits = [[0.0, -np.inf, 0.0]]

    assert nll(logits, [0]) == pytest.approx(np.log(2))
    assert nll(logits, [1]) == np.inf


def test_mbls_variants_differ_where_their_bins_are_open():
    assert (ece([0.0, 1.0], [0, 0]), ece_mbls([0.0, 1.0], [0, 0])) == (0.5, 0.0)
    assert (adaptive_ece([1.0, 1.0], [0, 1]), adaptive_ece_mbls([1.0, 1.0], [0, 1])) == (0.5, 0.0)
    probs = [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]
    assert classwise_ece(probs, [0, 0]) == pytest.approx(2 / 3 * classwise_ece_mbls(probs, [0, 0]) * 0 + 0.5 / 3)


def test_half_precision_tensors_are_accepted():
    _, probs, targets = make_data()
    tensor = torch.tensor(probs, dtype=torch.float16)

    assert brier(tensor, torch.tensor(targets)) == pytest.approx(brier(tensor.float().numpy(), targets), rel=1e-12)
    assert ece(tensor.max(dim=1).values, np.zeros(400)) > 0


def test_no_samples_is_nan_with_a_warning():
    nothing = np.zeros((0, 3))
    for metric in (*TOP_LABEL, ece_mbls, adaptive_ece_mbls):
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(metric([], []))
    for metric in (nll, brier, classwise_ece, classwise_ece_mbls):
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(metric(nothing, []))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ece([0.5, 1.5], [0, 0]), r"confidence must be in \[0, 1\], got 1.5 at row 1"),
        (lambda: ece([0.5], [0], bins=0), "bins must be a whole number of at least 1, got 0"),
        (lambda: adaptive_ece([0.5], [0], bins=2.5), "bins must be a whole number of at least 1, got 2.5"),
        (lambda: brier([[0.5, 0.5]], [np.nan]), "targets must be class indices"),
        (lambda: brier([[0.5, 0.5]], [0], sample_weight=[1, 1]), "sample_weight has 2 rows but targets has 1"),
        (lambda: ece([0.5], [0.5]), "errors must be bool or 0/1"),
        (lambda: brier([[0.5, 0.5]], [2]), r"targets must be class indices in 0..1, got 2 at row 0"),
        (lambda: brier([[0.5, 0.5]], [0.5]), "targets must be class indices"),
        (lambda: brier([[0.5, -0.5]], [0]), r"probs must be in \[0, 1\]"),
        (lambda: brier([[0.5, 0.5], [0.9, 0.4]], [0, 1]), r"rows of probs must sum to 1, .* got 1.3 at row 1"),
        (lambda: nll([[0.7, 0.3]] * 20, [0] * 20), "sums to one, as softmax outputs and predict_proba do"),
        (lambda: nll([[0.0, np.nan]], [0]), "logits must be finite or -inf for some classes, got .* at row 0"),
        (lambda: nll([[0.0, 1.0], [np.inf, 0]], [0, 0]), "at row 1"),
        (lambda: nll([[-np.inf, -np.inf]], [0]), "at row 0"),
        (lambda: nll([0.0, 1.0], [0, 0]), r"logits must have 2 axes \(N, K\), got shape \(2,\)"),
        (lambda: nll([[0.0, 1.0]], [0, 1]), "targets has 2 rows but the predictions has 1"),
    ],
)
def test_bad_data_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
