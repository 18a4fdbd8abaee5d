import math

import numpy as np
import pytest

from unsmooth.metrics import (
    UndefinedMetricWarning,
    aurc,
    bootstrap,
    bootstrap_means,
    bootstrap_replicates,
    holm,
    intervals,
    paired_bootstrap,
    selective_metrics,
)


def make_data(n=250, seed=0, levels=None):
    rng = np.random.default_rng(seed)
    quality = rng.random(n)
    confidence = quality if levels is None else np.round(quality * levels)
    return confidence, rng.random(n) < 0.4 * (1 - quality)


def resamples(n, replicates, seed=0):
    counts = np.concatenate(list(intervals._count_blocks(seed, n, replicates, width=3)))
    return [np.repeat(np.arange(n), row) for row in counts]


@pytest.mark.parametrize("levels", [None, 7])
@pytest.mark.parametrize("continuous", [False, True])
def test_each_replicate_equals_the_metrics_of_the_resampled_data(levels, continuous):
    confidence, errors = make_data(levels=levels)
    if continuous:
        errors = np.random.default_rng(1).random(len(errors))
    values = bootstrap_replicates(confidence, errors, replicates=8)

    for replicate, rows in enumerate(resamples(len(errors), 8)):
        if continuous:
            with pytest.warns(UndefinedMetricWarning):
                expected = selective_metrics(confidence[rows], errors[rows])
        else:
            expected = selective_metrics(confidence[rows], errors[rows])
        actual = {name: series[replicate] for name, series in values.items()}
        assert actual == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("scale", [1, 0.3])
@pytest.mark.parametrize("levels", [None, 7])
def test_each_weighted_replicate_equals_the_weighted_metrics_of_the_resampled_data(levels, scale):
    confidence, errors = make_data(levels=levels)
    weight = scale * np.random.default_rng(2).integers(0, 5, len(errors))
    values = bootstrap_replicates(confidence, errors, replicates=8, sample_weight=weight)

    for replicate, rows in enumerate(resamples(len(errors), 8)):
        expected = selective_metrics(confidence[rows], errors[rows], sample_weight=weight[rows])
        assert {name: series[replicate] for name, series in values.items()} == pytest.approx(expected, abs=1e-12)


def test_equal_weights_change_no_interval():
    data = make_data()
    plain = bootstrap(*data, replicates=50), paired_bootstrap(*data, -data[0], data[1], replicates=50)
    weight = np.full(250, 0.7)
    weighted = (
        bootstrap(*data, replicates=50, sample_weight=weight),
        paired_bootstrap(*data, -data[0], data[1], replicates=50, sample_weight=weight),
    )

    for one, other in zip(plain, weighted, strict=True):
        # Fractional weights have no whole positions, so their areas differ by O(1/n).
        assert [one.point, one.low, one.high] == pytest.approx([other.point, other.low, other.high], abs=0.01)
        assert one.p_value == other.p_value


def test_weighted_means_share_the_resamples():
    confidence, errors = make_data()
    weight = np.random.default_rng(2).random(250)
    error = bootstrap_replicates(confidence, errors, metrics=["error"], replicates=20, sample_weight=weight)["error"]
    means = bootstrap_means(errors[:, None], replicates=20, sample_weight=weight)

    np.testing.assert_allclose(means[:, 0], error, rtol=1e-12)


def test_replicates_of_late_errors_keep_their_digits():
    n = 50_000
    errors = np.arange(n) < 2  # the least confident two, which weigh about 1 / n
    values = bootstrap_replicates(np.arange(n), errors, metrics=["aurc"], replicates=6)["aurc"]

    for replicate, rows in enumerate(resamples(n, 6)):
        wrong, tied = (rows < 2).sum(), (rows == 0).sum()
        weights = [math.fsum(1 / k for k in range(j, n + 1)) for j in range(n - wrong + 1, n + 1)]
        assert len(weights) == wrong >= tied
        assert values[replicate] == pytest.approx(math.fsum(weights) / n, rel=1e-12)


def test_progress_ends_at_the_number_of_replicates(monkeypatch):
    monkeypatch.setattr(intervals, "_BLOCK_CELLS", 1000)
    seen = []
    bootstrap_replicates(*make_data(), replicates=30, progress=lambda done, total: seen.append((done, total)))

    assert seen[-1] == (30, 30)
    assert len(seen) == 8


def test_every_resample_has_n_samples():
    assert all(len(rows) == 250 for rows in resamples(250, 8))


def test_replicates_do_not_depend_on_blocks_or_cache(monkeypatch):
    confidence, errors = make_data()
    expected = bootstrap_replicates(confidence, errors, replicates=30)["aurc"]
    monkeypatch.setattr(intervals, "_BLOCK_CELLS", 1000)
    monkeypatch.setattr(intervals, "_CACHE_CELLS", 0)

    np.testing.assert_array_equal(bootstrap_replicates(confidence, errors, replicates=30)["aurc"], expected)


def test_replicates_are_paired_across_confidences_and_errors():
    confidence, errors = make_data()
    other = ~errors
    first = bootstrap_replicates(confidence, errors, metrics=["error"], replicates=20)["error"]
    second = bootstrap_replicates(-confidence, other, metrics=["error"], replicates=20)["error"]

    np.testing.assert_allclose(first + second, 1, atol=1e-15)


def test_replicates_depend_on_the_seed_only():
    data = make_data()
    runs = [bootstrap_replicates(*data, replicates=10, seed=seed)["aurc"] for seed in (3, 3, 4)]

    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).all()


def test_means_share_the_resamples():
    confidence, errors = make_data()
    error = bootstrap_replicates(confidence, errors, metrics=["error"], replicates=20)["error"]

    np.testing.assert_allclose(bootstrap_means(errors[:, None], replicates=20)[:, 0], error, atol=1e-15)


def test_interval_of_the_error_rate_matches_the_normal_one():
    confidence, errors = make_data(2000)
    interval = bootstrap(confidence, errors, metric="error", replicates=2000)
    half = 1.96 * np.sqrt(errors.mean() * (1 - errors.mean()) / 2000)

    assert interval.point == errors.mean()
    assert [interval.low, interval.high] == pytest.approx([errors.mean() - half, errors.mean() + half], abs=half / 10)


def test_interval_covers_the_true_aurc_about_as_often_as_stated():
    truth = aurc(*make_data(400_000, seed=99))
    hits = 0
    for seed in range(100):
        interval = bootstrap(*make_data(400, seed=seed), replicates=200)
        hits += interval.low <= truth <= interval.high

    assert 87 <= hits <= 100


def test_interval_takes_any_operating_point():
    confidence, errors = make_data()
    interval = bootstrap(confidence, errors, metric="risk_at_coverage_37.5", replicates=50)

    assert interval.point == selective_metrics(confidence, errors, coverages=(0.375,))["risk_at_coverage_37.5"]


def test_pairing_narrows_the_interval_of_a_difference():
    confidence, errors = make_data(1000)
    noisy = confidence + np.random.default_rng(5).normal(0, 0.05, 1000)
    paired = paired_bootstrap(confidence, errors, noisy, errors, replicates=300)
    single = bootstrap(confidence, errors, replicates=300)

    assert paired.high - paired.low < (single.high - single.low) / 2
    assert paired.point == aurc(confidence, errors) - aurc(noisy, errors)


def test_paired_p_value_separates_equal_from_different():
    confidence, errors = make_data(1000)

    assert paired_bootstrap(confidence, errors, confidence, errors, replicates=100).p_value == 1
    assert paired_bootstrap(confidence, errors, -confidence, errors, replicates=100).p_value == pytest.approx(2 / 101)


def test_undefined_metrics_give_nan():
    with pytest.warns(UndefinedMetricWarning):
        interval = bootstrap([3, 2, 1], [0, 0, 0], metric="naurc", replicates=10)

    assert np.isnan([interval.point, interval.low, interval.high]).all()
    assert np.isnan(bootstrap_replicates([], [], replicates=3)["aurc"]).all()


def test_all_correct_resamples_leave_the_areas_defined():
    values = bootstrap_replicates([4, 3, 2, 1], [0, 0, 0, 0], replicates=5)

    assert (values["aurc"] == 0).all() and (values["coverage_at_risk_1"] == 1).all()
    assert np.isnan(values["failure_auroc"]).all()


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9, 0.6]).tolist() == [1, 1, 1]
    assert holm([]).tolist() == []


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="metric must be one of error, aurc"):
        bootstrap([1], [0], metric="accuracy")
    with pytest.raises(ValueError, match="must end in a percentage"):
        bootstrap([1], [0], metric="risk_at_coverage_half")
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        bootstrap_replicates([1], [0], replicates=0)
    with pytest.raises(ValueError, match="metrics must be among"):
        bootstrap_replicates([1], [0], metrics=["nothing"])
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 95"):
        bootstrap([1], [0], level=95)
    with pytest.raises(ValueError, match="confidence_b has 1 rows but confidence_a has 2"):
        paired_bootstrap([1, 2], [0, 1], [1], [0])
    with pytest.raises(ValueError, match=r"p_values must be in \[0, 1\], got 1.5"):
        holm([0.2, 1.5])


@pytest.mark.parametrize("sizes", [[5, 5, 5, 5, 5, 5], [1, 9, 4, 7, 2, 30]])
def test_groups_are_drawn_whole(sizes):
    groups = np.random.default_rng(2).permutation(np.repeat(np.arange(6), sizes))
    confidence, errors = make_data(n=len(groups))
    errors[[np.flatnonzero(groups == group)[0] for group in range(6)]] = True  # so that everything is defined
    values = bootstrap_replicates(confidence, errors, replicates=8, groups=groups)
    means = bootstrap_means(np.column_stack([errors, confidence]), replicates=8, groups=groups)

    for replicate, drawn in enumerate(resamples(6, 8)):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in drawn])
        actual = {name: series[replicate] for name, series in values.items()}
        assert actual == pytest.approx(selective_metrics(confidence[rows], errors[rows]), abs=1e-12)
        assert means[replicate] == pytest.approx([errors[rows].mean(), confidence[rows].mean()])


def test_groups_of_one_sample_are_samples():
    confidence, errors = make_data(n=50)
    plain = bootstrap_replicates(confidence, errors, replicates=20)
    grouped = bootstrap_replicates(confidence, errors, replicates=20, groups=np.arange(50))

    assert all(np.array_equal(plain[name], grouped[name], equal_nan=True) for name in plain)


@pytest.mark.parametrize("groups", [[0, 0, 2], [-1, 0, 1], [0.0, 1.0, 2.0], [0, 1]])
def test_groups_with_gaps_or_of_another_length_are_refused(groups):
    with pytest.raises(ValueError, match="groups"):
        bootstrap_replicates([3, 2, 1], [0, 1, 0], groups=groups)
