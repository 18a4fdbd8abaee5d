import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from unsmooth.config.settings import Evaluation
from unsmooth.evaluation import (
    calibration_frames,
    curve_frame,
    reliability_frame,
    segmentation_frames,
    selective_frames,
)
from unsmooth.metrics import adaptive_ece, adaptive_ece_mbls, aurc, brier, classwise_ece, ece, nll
from unsmooth.registry.metrics import METRICS

SETTINGS = Evaluation(bootstrap_replicates=100, risk_at_coverage=[0.2, 0.5], coverage_at_risk=[0.05])


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(400, 5)).astype(np.float32) * 2
    targets = np.where(generator.random(400) < 0.7, logits.argmax(axis=1), generator.integers(5, size=400))
    return logits, targets


def replicate(frame, score, metric):
    return frame[(frame["score"] == score) & (frame["metric"] == metric)]["value"].to_numpy()


def test_selective_frames_hold_every_score_with_paired_replicates(data):
    logits, targets = data
    errors = logits.argmax(axis=1) != targets
    confidences = {"a": softmax(logits, axis=1).max(axis=1), "b": logits.max(axis=1)}

    values, replicates = selective_frames(confidences, errors, SETTINGS)

    table = values.set_index(["score", "metric"])["value"]
    assert table["a", "aurc"] == aurc(confidences["a"], errors)
    assert {"risk_at_coverage_50", "coverage_at_risk_5"} <= set(values["metric"])
    assert len(replicate(replicates, "a", "aurc")) == 100
    # The error does not depend on the score, so paired resamples give equal replicates.
    assert (replicate(replicates, "a", "error") == replicate(replicates, "b", "error")).all()


def test_calibration_equals_the_metrics_at_the_temperature_and_replicates_surround_it(data):
    logits, targets = data
    errors = logits.argmax(axis=1) != targets

    values, replicates = calibration_frames(logits, targets, {"msp": 1.0, "msp_temperature": 2.0}, SETTINGS)

    table = values.set_index(["score", "metric"])["value"]
    scaled = logits.astype(np.float64) / 2
    probs = softmax(scaled, axis=1)
    assert table["msp_temperature", "nll"] == pytest.approx(nll(scaled, targets), rel=1e-12)
    assert table["msp_temperature", "brier"] == pytest.approx(brier(probs, targets), rel=1e-12)
    assert table["msp_temperature", "accuracy"] == 1 - errors.mean()
    assert table["msp_temperature", "classwise_ece"] == classwise_ece(probs, targets)
    assert table["msp_temperature", "adaptive_ece_mbls"] == adaptive_ece_mbls(probs.max(axis=1), errors)
    assert table["msp", "ece"] == ece(softmax(logits.astype(np.float64), axis=1).max(axis=1), errors)
    for metric in ("accuracy", "nll", "brier", "ece", "adaptive_ece", "mean_logit_distance", "top_logit_margin"):
        draws = replicate(replicates, "msp", metric)
        assert draws.min() < table["msp", metric] < draws.max()


def test_every_metric_of_a_cell_has_an_entry_with_its_label_and_every_entry_is_computed(data):
    logits, targets = data
    settings = Evaluation(bootstrap_replicates=100)
    written = [
        selective_frames({"msp": logits.max(axis=1)}, logits.argmax(axis=1) != targets, settings),
        calibration_frames(logits, targets, {"msp": 1.0}, settings),
        segmentation_frames(np.full((4, 3, 3), 10), pd.DataFrame(), settings),
    ]

    assert {name for values, _ in written for name in values["metric"]} == METRICS.keys()


def test_a_temperature_divides_the_logit_distances(data):
    logits, targets = data

    values, _ = calibration_frames(logits, targets, {"msp": 1.0, "msp_temperature_nll": 2.0}, SETTINGS)

    table = values.set_index(["score", "metric"])["value"]
    ordered = np.sort(logits.astype(np.float64), axis=1)
    assert table["msp", "max_logit_distance"] == pytest.approx((ordered[:, -1] - ordered[:, 0]).mean())
    assert table["msp", "top_logit_margin"] == pytest.approx((ordered[:, -1] - ordered[:, -2]).mean())
    for metric in ("mean_logit_distance", "max_logit_distance", "top_logit_margin"):
        assert table["msp_temperature_nll", metric] == pytest.approx(table["msp", metric] / 2)


def test_calibration_replicate_of_the_data_itself_is_the_metric(data, monkeypatch):
    logits, targets = data
    monkeypatch.setattr("unsmooth.evaluation.bootstrap_means", lambda values, **_: values.mean(axis=0, keepdims=True))

    values, replicates = calibration_frames(logits, targets, {"msp": 0.7}, SETTINGS)

    merged = values.merge(replicates, on=["score", "metric"])
    assert {"accuracy", "ece", "adaptive_ece", "max_logit_distance"} <= set(merged["metric"])
    np.testing.assert_allclose(merged["value_x"], merged["value_y"], rtol=1e-12)


def test_replicates_of_equal_count_bins_share_ties_out(monkeypatch):
    logits = np.log([[0.8, 0.2]] * 3 + [[0.6, 0.4]] * 4)
    targets = np.array([0, 0, 1, 0, 1, 1, 0])
    monkeypatch.setattr("unsmooth.evaluation.bootstrap_means", lambda values, **_: values.mean(axis=0, keepdims=True))

    values, replicates = calibration_frames(logits, targets, {"msp": 1.0}, Evaluation(ece_bins=2))

    expected = adaptive_ece([0.8] * 3 + [0.6] * 4, targets, bins=2)
    assert replicate(replicates, "msp", "adaptive_ece") == pytest.approx([expected], rel=1e-12)


def test_reliability_diagram_holds_every_sample_and_gives_the_ece(data):
    logits, targets = data
    errors = logits.argmax(axis=1) != targets

    frame = reliability_frame(logits, targets, {"msp": 1.0, "msp_temperature_nll": 2.0}, 25)

    assert list(frame.columns) == ["score", "bin", "low", "high", "count", "confidence", "accuracy"]
    for score, temperature in (("msp", 1.0), ("msp_temperature_nll", 2.0)):
        bins = frame[frame["score"] == score]
        filled = bins[bins["count"] > 0]
        top = softmax(logits.astype(np.float64) / temperature, axis=1).max(axis=1)
        assert len(bins) == 25 and bins["count"].sum() == 400
        assert (filled["confidence"].between(filled["low"], filled["high"])).all()
        assert bins.loc[bins["count"] == 0, ["confidence", "accuracy"]].isna().all(axis=None)
        gaps = (filled["confidence"] - filled["accuracy"]).abs()
        assert (filled["count"] * gaps).sum() / 400 == pytest.approx(ece(top, errors, bins=25))


def test_curves_share_one_grid_and_end_at_the_error(data):
    logits, targets = data
    errors = logits.argmax(axis=1) != targets

    frame = curve_frame({"a": softmax(logits, axis=1).max(axis=1), "constant": np.zeros(400)}, errors, 60)

    grids = [group["coverage"].to_numpy() for _, group in frame.groupby("score")]
    assert (grids[0] == grids[1]).all() and len(grids[0]) <= 60 and (np.diff(grids[0]) > 0).all()
    last = frame[frame["coverage"] == 1.0]
    assert last["selective_risk"].tolist() == [errors.mean()] * 2
    constant = frame[frame["score"] == "constant"]
    np.testing.assert_allclose(constant["selective_risk"], errors.mean())


def test_curve_point_is_the_risk_among_the_most_confident():
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    frame = curve_frame({"a": confidence}, np.array([False, True, False, True]), 10)

    assert frame["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert frame["selective_risk"].tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert frame["threshold"].tolist() == [0.9, 0.8, 0.7, 0.6]


def test_calibration_survives_large_logits():
    logits, targets = np.array([[1e4, 1e4 - 1.0], [-1e4, 1e4]]), np.array([0, 1])

    values, replicates = calibration_frames(logits, targets, {"msp": 1.0}, SETTINGS)

    table = values.set_index("metric")["value"]
    probs = np.array([[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], [0.0, 1.0]])
    assert table["nll"] == pytest.approx(-np.log(probs[[0, 1], targets]).mean())
    assert table["brier"] == pytest.approx(np.square(probs - np.eye(2)).sum(axis=1).mean())
    assert np.isfinite(replicates["value"]).all()
