"""Metrics, bootstrap replicates and curves of one cell on test, as tidy frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from unsmooth.config.settings import Evaluation
from unsmooth.metrics import (
    adaptive_ece,
    adaptive_ece_mbls,
    aurc,
    bootstrap_means,
    bootstrap_replicates,
    certified_threshold,
    classwise_ece,
    classwise_ece_mbls,
    ece,
    ece_mbls,
    logit_distances,
    mean_iou,
    pixel_accuracy,
    reliability_curve,
    risk_coverage_curve,
    selective_metrics,
)
from unsmooth.metrics.calibration import bin_edges, bin_index, rank_cuts
from unsmooth.metrics.ranking import rank_errors

Floats = NDArray[np.floating[Any]]

DELTA = 0.05  # probability that a certified threshold misses its target
TARGET_RISKS = (*np.arange(1, 20) / 1000, *np.arange(4, 60) / 200)  # 0.1 to 1.9 % and 2 to 29.5 %


def selective_frames(
    confidences: Mapping[str, Floats],
    errors: NDArray[np.bool_],
    settings: Evaluation,
    groups: NDArray[np.int64] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return selective metrics of every score, and their bootstrap replicates.

    `confidences` are (N,) by score name, `errors` (N,) bool, and `groups` the (N,) units of resampling, such as the
    scene of each pixel; None for single samples.

    Returns:
        `score, metric, value` and `score, metric, replicate, value`; fractions. Replicates are paired across scores and
        across cells of the same test split.
    """
    points: dict[str, Any] = {"risks": settings.coverage_at_risk, "coverages": settings.risk_at_coverage}
    draws = {"replicates": settings.bootstrap_replicates, "seed": settings.bootstrap_seed, "groups": groups} | points
    values = {name: selective_metrics(confidence, errors, **points) for name, confidence in confidences.items()}
    drawn = {name: bootstrap_replicates(confidence, errors, **draws) for name, confidence in confidences.items()}
    return _metric_frame(values), _replicate_frame(drawn)


def calibration_frames(
    logits: Floats,
    targets: NDArray[np.int64],
    temperatures: Mapping[str, float],
    settings: Evaluation,
    groups: NDArray[np.int64] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return calibration errors, NLL, Brier score and logit distances at each temperature, and bootstrap replicates.

    `logits` are (N, K), `targets` (N,) class indices, `temperatures` those of the probabilities of each score by its
    name, and `groups` as for `selective_frames`.

    Returns:
        Frames as `selective_frames` returns them; fractions, nll in nats, and the means of `logit_distances` in units
        of the logits over the temperature. Replicates keep the bins of `adaptive_ece` where the whole split has them;
        `classwise_ece` and the MbLS variants have none.
    """
    values, columns = {}, {}
    errors = logits.argmax(axis=1) != targets
    rows, bins = np.arange(len(targets)), settings.ece_bins
    for name, temperature in temperatures.items():
        scaled = logits.astype(np.float64) / temperature
        probs = softmax(scaled, axis=1)
        top = probs.max(axis=1)
        # These are means over samples, so the replicates of the means give theirs.
        distances = logit_distances(scaled)
        means = {
            "accuracy": ~errors,
            "nll": logsumexp(scaled, axis=1) - scaled[rows, targets],
            "brier": np.square(probs).sum(axis=1) - 2 * probs[rows, targets] + 1,
            "mean_logit_distance": distances.mean,
            "max_logit_distance": distances.largest,
            "top_logit_margin": distances.margin,
        }
        values[name] = {metric: float(np.mean(column)) for metric, column in means.items()} | {
            "ece": ece(top, errors, bins=bins),
            "adaptive_ece": adaptive_ece(top, errors, bins=bins),
            "classwise_ece": classwise_ece(probs, targets, bins=bins),
            "ece_mbls": ece_mbls(top, errors, bins=bins),
            "adaptive_ece_mbls": adaptive_ece_mbls(top, errors, bins=bins),
            "classwise_ece_mbls": classwise_ece_mbls(probs, targets, bins=bins),
        }
        # These are sums over bins of |mean over samples of the gap in this bin|.
        equal_width = np.zeros((len(targets), bins))
        equal_width[rows, bin_index(top, bin_edges(bins))] = 1
        shares = {"ece": equal_width, "adaptive_ece": _equal_count_shares(top, bins)}
        gaps = [share * (top - ~errors)[:, None] for share in shares.values()]
        columns[name] = np.column_stack([*means.values(), *gaps])
    # One product with the resamples' counts for all temperatures.
    draws = bootstrap_means(
        np.concatenate([*columns.values()], axis=1),
        replicates=settings.bootstrap_replicates,
        seed=settings.bootstrap_seed,
        groups=groups,
    )
    replicates = {
        name: dict(zip(means, part.T, strict=False))
        | {
            metric: np.abs(gap).sum(axis=1)
            for metric, gap in zip(shares, np.split(part[:, len(means) :], len(shares), axis=1), strict=True)
        }
        for name, part in zip(columns, np.split(draws, len(columns), axis=1), strict=True)
    }
    return _metric_frame(values), _replicate_frame(replicates)


def reliability_frame(
    logits: Floats, targets: NDArray[np.int64], temperatures: Mapping[str, float], bins: int
) -> pd.DataFrame:
    """Return the reliability diagram of the softmax at each temperature; arguments as for `calibration_frames`.

    Returns:
        `score, bin, low, high, count, confidence, accuracy`: one row a score and bin (low, high] of equal width, with
        the mean confidence and the fraction correct of its `count` samples, nan where there are none.
    """
    errors = logits.argmax(axis=1) != targets
    tops = {
        name: softmax(logits.astype(np.float64) / temperature, axis=1).max(axis=1)
        for name, temperature in temperatures.items()
    }
    frames = [bin_frame(top, errors, bins).assign(score=name) for name, top in tops.items()]
    return pd.concat(frames, ignore_index=True)[["score", *frames[0].columns[:-1]]]


def bin_frame(probability: Floats, errors: NDArray[np.bool_], bins: int) -> pd.DataFrame:
    """Return one reliability diagram: the columns of `reliability_frame` without the score."""
    curve = reliability_curve(probability, errors, bins=bins)
    columns = {"bin": np.arange(bins), "low": curve.edges[:-1], "high": curve.edges[1:]}
    columns |= {"count": curve.weight.astype(np.int64), "confidence": curve.confidence, "accuracy": curve.accuracy}
    return pd.DataFrame(columns)


def segmentation_frames(
    confusions: NDArray[np.int64], pixels: pd.DataFrame, settings: Evaluation
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metrics of all pixels: mIoU and accuracy with replicates of scenes, selective metrics with bounds.

    `confusions` are the (M, K, K) pixels of each scene, truth by prediction; `pixels` is a `PixelMetrics.frame`.

    Returns:
        Frames as `selective_frames`. Selective metrics have the prefix `all_pixels_`, and their certified bounds the
        suffixes `_lower` and `_upper`; mIoU and accuracy, which need no score, have the score MSP.
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
    """Return risk-coverage curves thinned to about `points` of one coverage grid, half of it denser at low coverage.

    `confidences` are (N,) by score name, `errors` (N,) bool. Values at a grid point inside a tie group are the
    expectation over random orders of the group.

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
        columns = {"coverage": coverage, "selective_risk": generalized / coverage, "generalized_risk": generalized}
        frames.append(pd.DataFrame({"score": name, **columns, "threshold": curve.threshold[last]}))
    return pd.concat(frames, ignore_index=True)


def softmax_temperatures(fitted: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the temperature of MSP, 1, and those that AURC and NLL chose on the validation split.

    Args:
        fitted: see `unsmooth.tables.collection.read_fitted`; a score that fell back to MSP has temperature 1.
    """
    chosen = {name: fields for name, fields in fitted.items() if fields["name"] == "msp_temperature"}
    return {"msp": 1.0} | {
        name: 1.0 if fields["fell_back"] else float(fields["params"]["temperature"]) for name, fields in chosen.items()
    }


def sweep_frame(split: str, confidences: Mapping[float, Floats], errors: NDArray[np.bool_]) -> pd.DataFrame:
    """Return AURC by norm order on one split: `split`, `p`, `aurc`; an order of nan marks the MSP."""
    areas = [aurc(confidence, errors) for confidence in confidences.values()]
    return pd.DataFrame({"split": split, "p": [*confidences], "aurc": areas})


def scene_groups(counts: Sequence[int] | None) -> NDArray[np.int64] | None:
    """Return the scene of each sample, the unit of resampling; None for single samples.

    Args:
        counts: samples of each scene, in the order of the samples; 0 for a scene without labels.
    """
    if counts is None:
        return None
    present = [count for count in counts if count]
    return np.repeat(np.arange(len(present)), present)


def operating_frame(
    confidence: Floats,
    errors: NDArray[np.bool_],
    *,
    certifying: tuple[Floats, NDArray[np.bool_]],
    certified: Floats,
    risks: Sequence[float] = TARGET_RISKS,
    delta: float = DELTA,
) -> pd.DataFrame:
    """Return the coverage of one score at every target risk, with hindsight and by a certified threshold.

    Args:
        confidence, errors: (N,) of the test samples, larger = more trusted; (N,) bool.
        certifying: (M,) confidence and errors of samples that did not fit the score that they certify.
        certified: (N,) confidence of the test samples by that score.
        risks, delta: targets, and the probability that the risk of a certified threshold exceeds one; in (0, 1).

    Returns:
        One row per target: `risk`; `coverage`, the largest at the target on test; certified `threshold`, nan if
        infeasible; its `certified_coverage` and `certified_risk` on test, nan if it accepts no sample.
    """
    ranks = rank_errors(confidence, errors)
    rows = []
    for risk in risks:
        certificate = certified_threshold(*certifying, risk=risk, delta=delta)
        accepted = certified >= certificate.threshold
        rows.append(
            {
                "risk": risk,
                "coverage": ranks.coverage_at_risk(risk),
                "threshold": certificate.threshold if certificate.feasible else np.nan,
                "certified_coverage": accepted.mean(),
                "certified_risk": errors[accepted].mean() if accepted.any() else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _equal_count_shares(confidence: Floats, bins: int) -> Floats:
    """(N, bins) share of each sample in each bin of `adaptive_ece`; samples of a tie share alike."""
    ranked, cuts = np.sort(confidence), rank_cuts(len(confidence), bins)
    start, end = (np.searchsorted(ranked, confidence, side=side)[:, None] for side in ("left", "right"))
    inside = np.minimum(end, cuts[1:]) - np.maximum(start, cuts[:-1])
    return np.maximum(inside, 0) / (end - start)


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
