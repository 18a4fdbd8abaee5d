"""One cell's test confidences to its numbers: metrics, bootstrap replicates and curves, as tidy frames."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from unsmooth.experiment import Evaluation
from unsmooth.metrics import (
    bootstrap_means,
    bootstrap_replicates,
    brier,
    ece,
    mean_iou,
    nll,
    pixel_accuracy,
    risk_coverage_curve,
    selective_metrics,
)
from unsmooth.metrics.calibration import bin_edges, bin_index

__all__ = ["calibration_frames", "curve_frame", "segmentation_frames", "selective_frames"]

Floats = NDArray[np.floating[Any]]


def selective_frames(
    confidences: Mapping[str, Floats],
    errors: NDArray[np.bool_],
    settings: Evaluation,
    groups: NDArray[np.int64] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return selective metrics of every score, and their bootstrap replicates.

    Args:
        confidences: score name to (N,) confidence.
        errors: (N,) bool.
        settings: operating points and bootstrap.
        groups: (N,) what the bootstrap draws whole, such as the scene of each pixel; None for single samples.

    Returns:
        `score, metric, value` and `score, metric, replicate, value`; fractions. Replicates are paired across scores and
        across cells of the same test split.
    """
    risks, coverages = settings.coverage_at_risk, settings.risk_at_coverage
    values, replicates = {}, {}
    for name, confidence in confidences.items():
        values[name] = selective_metrics(confidence, errors, risks=risks, coverages=coverages)
        replicates[name] = bootstrap_replicates(
            confidence,
            errors,
            replicates=settings.bootstrap_replicates,
            seed=settings.bootstrap_seed,
            risks=risks,
            coverages=coverages,
            groups=groups,
        )
    return _metric_frame(values), _replicate_frame(replicates)


def calibration_frames(
    logits: Floats,
    targets: NDArray[np.int64],
    temperatures: Mapping[str, float],
    settings: Evaluation,
    groups: NDArray[np.int64] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ECE, NLL and Brier score of the softmax at each temperature, and their bootstrap replicates.

    Args:
        logits: (N, K).
        targets: (N,) class indices.
        temperatures: score name to the temperature that its probabilities use.
        settings: number of ECE bins and bootstrap.
        groups: as for `selective_frames`.

    Returns:
        Frames as `selective_frames` returns them.
    """
    values, replicates = {}, {}
    errors = logits.argmax(axis=1) != targets
    rows = np.arange(len(targets))
    for name, temperature in temperatures.items():
        scaled = logits.astype(np.float64) / temperature
        probs = softmax(scaled, axis=1)
        top = probs.max(axis=1)
        values[name] = {
            "ece": ece(top, errors, bins=settings.ece_bins),
            "nll": nll(scaled, targets),
            "brier": brier(probs, targets),
        }
        # Each of the three is a function of means over samples, so the replicates of the means give theirs.
        squared = np.square(probs).sum(axis=1) - 2 * probs[rows, targets] + 1
        gaps = np.zeros((len(targets), settings.ece_bins))
        gaps[rows, bin_index(top, bin_edges(settings.ece_bins))] = top - ~errors
        columns = np.column_stack([logsumexp(scaled, axis=1) - scaled[rows, targets], squared, gaps])
        means = bootstrap_means(
            columns, replicates=settings.bootstrap_replicates, seed=settings.bootstrap_seed, groups=groups
        )
        replicates[name] = {"ece": np.abs(means[:, 2:]).sum(axis=1), "nll": means[:, 0], "brier": means[:, 1]}
    return _metric_frame(values), _replicate_frame(replicates)


def segmentation_frames(
    confusions: NDArray[np.int64], pixels: pd.DataFrame, settings: Evaluation
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what is known of all pixels: mIoU and accuracy with bootstrap replicates, selective metrics with bounds.

    Args:
        confusions: (M, K, K) pixels of each scene, truth by prediction.
        pixels: `score, metric, value, lower, upper`, see `PixelMetrics.frame`.
        settings: bootstrap, which draws scenes.

    Returns:
        Frames as `selective_frames` returns them. Selective metrics are called `all_pixels_` and their name, with
        `_lower` and `_upper` the bounds certified for them; mIoU and accuracy, of no score, stand with the MSP.
    """
    names = {"mean_iou": mean_iou, "pixel_accuracy": pixel_accuracy}
    replicates, seed = settings.bootstrap_replicates, settings.bootstrap_seed
    means = bootstrap_means(confusions.reshape(len(confusions), -1), replicates=replicates, seed=seed)
    resampled = means.reshape(-1, *confusions.shape[1:])
    values: dict[str, dict[str, float]] = {
        "msp": {name: float(metric(confusions.sum(axis=0))) for name, metric in names.items()}
    }
    for row in pixels.to_dict("records"):
        name = f"all_pixels_{row['metric']}"
        found = {name: row["value"], f"{name}_lower": row["lower"], f"{name}_upper": row["upper"]}
        values.setdefault(row["score"], {}).update(found)
    return _metric_frame(values), _replicate_frame({"msp": {name: metric(resampled) for name, metric in names.items()}})


def curve_frame(confidences: Mapping[str, Floats], errors: NDArray[np.bool_], points: int) -> pd.DataFrame:
    """Return thinned risk-coverage curves on one coverage grid, half of it even, half denser at low coverage.

    Values at a grid point inside a tie group are the expectation over random orders of the group.

    Args:
        confidences: score name to (N,) confidence.
        errors: (N,) bool.
        points: about how many points to keep.

    Returns:
        `score, coverage, selective_risk, generalized_risk, threshold`; the grid depends on N and `points` alone.
    """
    count = len(errors)
    even, dense = np.linspace(1, count, points // 2), np.geomspace(1, count, points // 2)
    coverage = np.unique(np.round(np.concatenate([even, dense]))) / count
    frames = []
    for name, confidence in confidences.items():
        curve = risk_coverage_curve(confidence, errors)
        generalized = np.interp(coverage, np.r_[0, curve.coverage], np.r_[0, curve.generalized_risk])
        last = np.minimum(np.searchsorted(curve.coverage, coverage - 0.5 / count), len(curve.threshold) - 1)
        frames.append(
            pd.DataFrame(
                {
                    "score": name,
                    "coverage": coverage,
                    "selective_risk": generalized / coverage,
                    "generalized_risk": generalized,
                    "threshold": curve.threshold[last],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _metric_frame(values: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    rows = [(score, metric, value) for score, metrics in values.items() for metric, value in metrics.items()]
    return pd.DataFrame(rows, columns=["score", "metric", "value"])


def _replicate_frame(replicates: Mapping[str, Mapping[str, Floats]]) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"score": score, "metric": metric, "replicate": np.arange(len(values)), "value": values})
        for score, metrics in replicates.items()
        for metric, values in metrics.items()
    ]
    return pd.concat(frames, ignore_index=True)
