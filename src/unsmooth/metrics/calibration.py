"""Calibration: how far stated probabilities are from observed frequencies, and proper scores.

Two kinds of input. Top-label metrics take `confidence`, the probability of the predicted class in [0, 1], and `errors`;
class metrics take `probs` or `logits` (N, K) and `targets`. Bins are (lo, hi], the first one closed at 0, so every
sample is counted once. Sums are in float64. All values are fractions (nll in nats) and lower is better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from unsmooth.metrics.inputs import (
    Array,
    as_binary_errors,
    as_finite,
    as_weight,
    same_length,
    to_numpy,
    warn_undefined,
)
from unsmooth.metrics.ranking import rank_levels
from unsmooth.metrics.sums import Floats

_CHUNK_CELLS = 4_000_000  # logits converted to float64 at a time: 32 MB


@dataclass(frozen=True)
class ReliabilityCurve:
    """Equal-width bins of the confidence.

    Attributes:
        edges: (B + 1,) float64 from 0 to 1.
        weight: (B,) samples (or sample weight) in each bin.
        confidence: (B,) mean confidence, nan where empty.
        accuracy: (B,) fraction correct, nan where empty.
    """

    edges: Floats
    weight: Array
    confidence: Floats
    accuracy: Floats

    @property
    def gap(self) -> Floats:
        """(B,) absolute difference of confidence and accuracy, nan where empty."""
        return np.abs(self.confidence - self.accuracy)


def reliability_curve(
    confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> ReliabilityCurve:
    """Mean confidence and accuracy in equal-width bins (lo, hi], the first closed at 0.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        errors: (N,) bool or 0/1.
        bins: number of bins B, at least 1.
        sample_weight: (N,) non-negative.

    Returns:
        The curve.

    Raises:
        ValueError: confidence outside [0, 1], errors not 0/1, lengths that differ, or bins below 1.

    References:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.

    Example:
        >>> curve = reliability_curve([0.2, 0.9, 0.8], [1, 0, 0], bins=2)
        >>> curve.accuracy.tolist(), curve.weight.tolist()
        ([0.0, 1.0], [1.0, 2.0])
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    return bin_means(probability, correct, weight, np.linspace(0.0, 1.0, as_bin_count(bins) + 1))


def ece(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None) -> float:
    """Expected calibration error: sum_b (n_b / n) |mean confidence_b - accuracy_b| over equal-width bins.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        errors: (N,) bool or 0/1.
        bins: number of bins.
        sample_weight: (N,) non-negative.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    Raises:
        ValueError: as `reliability_curve`.

    References:
        Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, eq. 3.

    Example:
        >>> round(ece([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)  # (0.2 + 2 * 0.15) / 3
        0.1667
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    return weighted_gap(curve, "ece")


def mce(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None) -> float:
    """Maximum calibration error: the largest gap over the bins that hold samples; arguments as `ece`.

    References:
        Naeini, Cooper and Hauskrecht, AAAI 2015.

    Example:
        >>> round(mce([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)
        0.2
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    if not curve.weight.any():
        return warn_undefined("mce", "there are no samples")
    return float(np.nanmax(curve.gap))


def average_calibration_error(
    confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> float:
    """Mean gap over the bins that hold samples, each bin counting once; arguments as `ece`.

    Example:
        >>> round(average_calibration_error([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)  # (0.2 + 0.15) / 2
        0.175
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    if not curve.weight.any():
        return warn_undefined("average_calibration_error", "there are no samples")
    return float(np.nanmean(curve.gap))


def rms_calibration_error(
    confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> float:
    """Root mean square gap, sqrt(sum_b (n_b / n) gap_b^2); arguments as `ece`.

    References:
        Kumar, Liang and Ma, Verified Uncertainty Calibration, NeurIPS 2019.

    Example:
        >>> round(rms_calibration_error([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)
        0.1683
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    if not curve.weight.any():
        return warn_undefined("rms_calibration_error", "there are no samples")
    return float(np.sqrt(np.nansum(curve.weight * curve.gap**2) / curve.weight.sum()))


def adaptive_ece(
    confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> float:
    """Calibration error over bins of equal numbers of samples, cut by rank.

    The first n mod B bins hold one sample more (all hold total / B with fractional weights). A tie that a cut crosses
    lends each side its mean error, so the value does not depend on sample order.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        errors: (N,) bool or 0/1.
        bins: number of bins B.
        sample_weight: (N,) non-negative.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    Raises:
        ValueError: as `reliability_curve`.

    References:
        Nguyen and O'Connor, EMNLP 2015; Nixon et al., Measuring Calibration in Deep Learning, 2019, section 3.

    Example:
        >>> round(adaptive_ece([0.6, 0.7, 0.8, 0.9], [1, 0, 0, 0], bins=2), 4)  # |1.3 - 1| / 4 + |1.7 - 2| / 4
        0.15
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    levels = rank_levels(probability, ~correct, weight)
    count = as_bin_count(bins)
    if not len(levels.size):
        return warn_undefined("adaptive_ece", "there are no samples")
    # From the least confident on: excess(k) is confidence minus correct summed over the first k samples.
    size, errors_ = levels.size[::-1], levels.errors[::-1]
    position = np.concatenate([[0.0], np.cumsum(size)])
    excess = np.concatenate([[0.0], np.cumsum(levels.threshold[::-1].astype(np.float64) * size - (size - errors_))])
    total = position[-1]
    cuts = np.arange(count + 1) * (total / count)
    if size.dtype.kind != "f":
        cuts = np.arange(count + 1) * (total // count) + np.minimum(np.arange(count + 1), total % count)
    return float(np.abs(np.diff(np.interp(cuts, position, excess))).sum() / total)


def classwise_ece(probs: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """Calibration error of each class's probability against "is this class", averaged over all K classes.

    Args:
        probs: (N, K) probabilities in [0, 1].
        targets: (N,) class indices in 0..K-1.
        bins: number of equal-width bins.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    Raises:
        ValueError: probabilities outside [0, 1], targets out of range, lengths that differ.

    References:
        Kull et al., Beyond Temperature Scaling, NeurIPS 2019, section 2; Nixon et al., 2019.

    Example:
        >>> round(classwise_ece([[0.9, 0.1], [0.6, 0.4]], [0, 1], bins=1), 4)  # |0.75 - 0.5|, |0.25 - 0.5|
        0.25
    """
    probability = as_probs(probs)
    labels = as_targets(targets, *probability.shape)
    if not len(labels):
        return warn_undefined("classwise_ece", "there are no samples")
    edges = np.linspace(0.0, 1.0, as_bin_count(bins) + 1)
    gaps = [
        weighted_gap(bin_means(probability[:, k], labels == k, None, edges), "classwise_ece")
        for k in range(probability.shape[1])
    ]
    return float(np.mean(gaps))


def binary_ece(probs: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """Calibration error of the probability of the positive class against 0/1 targets, without taking the top label.

    Args:
        probs: (N,) probability of class 1, in [0, 1].
        targets: (N,) 0 or 1.
        bins: number of equal-width bins.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    Raises:
        ValueError: probabilities outside [0, 1], targets not 0/1, lengths that differ.

    Example:
        >>> binary_ece([0.25, 0.75], [0, 1], bins=2)
        0.25
    """
    probability, labels = _binary(probs, targets)
    return weighted_gap(
        bin_means(probability, labels, None, np.linspace(0.0, 1.0, as_bin_count(bins) + 1)), "binary_ece"
    )


def brier(probs: ArrayLike, targets: ArrayLike) -> float:
    """Brier score: mean over samples of sum_k (p_k - [k == target])^2.

    Args:
        probs: (N, K) probabilities in [0, 1].
        targets: (N,) class indices in 0..K-1.

    Returns:
        Score in [0, 2], lower is better; nan with a warning for no samples.

    Raises:
        ValueError: probabilities outside [0, 1], targets out of range, lengths that differ.

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.

    Example:
        >>> round(brier([[0.75, 0.25], [0.5, 0.5]], [0, 1]), 4)  # (2 / 16 + 1 / 2) / 2
        0.3125
    """
    probability = as_probs(probs)
    labels = as_targets(targets, *probability.shape)
    if not len(labels):
        return warn_undefined("brier", "there are no samples")
    total = 0.0
    for rows in _row_blocks(probability):
        block = probability[rows].astype(np.float64)
        chosen = np.take_along_axis(block, labels[rows, None], axis=1)
        total += float(np.square(block).sum() + (1 - 2 * chosen).sum())
    return total / len(labels)


def binary_brier(probs: ArrayLike, targets: ArrayLike) -> float:
    """Brier score of the positive class: mean (p - target)^2; arguments as `binary_ece`.

    Half of `brier` on the two columns 1 - p and p.

    Example:
        >>> binary_brier([0.75, 0.5], [1, 0])
        0.15625
    """
    probability, labels = _binary(probs, targets)
    if not len(labels):
        return warn_undefined("binary_brier", "there are no samples")
    return float(np.mean(np.square(probability.astype(np.float64) - labels)))


def top_label_brier(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Brier score of the confidence as a forecast of being correct: mean (confidence - correct)^2; arguments as `ece`.

    Example:
        >>> top_label_brier([0.75, 0.5], [0, 1])
        0.15625
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    return _mean(np.square(probability.astype(np.float64) - correct), weight, "top_label_brier")


def fail_nll(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Log loss of the confidence as a forecast of being correct.

    -mean(c ln(s + 1e-7) + (1 - c) ln(1 - s + 1e-7)), c = 1 for correct; arguments as `ece`. In nats, lower is better.

    References:
        Jaeger et al., A Call to Reflect on Evaluation Practices for Failure Detection, ICLR 2023.

    Example:
        >>> round(fail_nll([0.5, 0.5], [0, 1]), 4)
        0.6931
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    stated = np.where(correct, probability.astype(np.float64), 1 - probability.astype(np.float64))
    return _mean(-np.log(stated + 1e-7), weight, "fail_nll")


def nll(logits: ArrayLike, targets: ArrayLike) -> float:
    """Negative log-likelihood: mean of logsumexp(logits) - logit of the target, in the log domain throughout.

    Args:
        logits: (N, K) real; -inf marks an excluded class.
        targets: (N,) class indices in 0..K-1.

    Returns:
        Nats, lower is better; inf when a target class is excluded; nan with a warning for no samples.

    Raises:
        ValueError: nan or +inf logits, a row of only -inf, targets out of range, lengths that differ.

    Example:
        >>> round(nll([[0.0, 0.0], [1000.0, 0.0]], [1, 0]), 4)  # (ln 2 + 0) / 2
        0.3466
    """
    values = to_numpy(logits, "logits")
    if values.ndim != 2:
        raise ValueError(f"logits must have 2 axes (N, K), got shape {values.shape}")
    labels = as_targets(targets, *values.shape)
    if not len(labels):
        return warn_undefined("nll", "there are no samples")
    total = 0.0
    for rows in _row_blocks(values):
        block = values[rows].astype(np.float64)
        largest = block.max(axis=1)
        if not np.isfinite(largest).all():
            row = int(np.flatnonzero(~np.isfinite(largest))[0])
            raise ValueError(
                f"logits must be finite or -inf for some classes, got {block[row]} at row {rows.start + row}"
            )
        chosen = np.take_along_axis(block, labels[rows, None], axis=1)[:, 0]
        total += float(np.sum(logsumexp(block, axis=1) - chosen))
    return total / len(labels)


def binary_nll(logits: ArrayLike, targets: ArrayLike) -> float:
    """Negative log-likelihood of one logit per sample: mean of ln(1 + exp(-z)) for target 1, ln(1 + exp(z)) for 0.

    Args:
        logits: (N,) finite log-odds of class 1.
        targets: (N,) 0 or 1.

    Returns:
        Nats, lower is better; nan with a warning for no samples.

    Raises:
        ValueError: non-finite logits, targets not 0/1, lengths that differ.

    Example:
        >>> round(binary_nll([0.0, 1000.0], [0, 1]), 4)
        0.3466
    """
    values = as_finite(logits, "logits").astype(np.float64)
    labels = as_binary_errors(targets, "targets")
    same_length(labels, "targets", len(values), "logits")
    if not len(labels):
        return warn_undefined("binary_nll", "there are no samples")
    return float(np.mean(np.logaddexp(0.0, np.where(labels, -values, values))))


def bin_means(
    probability: Array, correct: NDArray[np.bool_], weight: Array | None, edges: Array, *, first_open: bool = False
) -> ReliabilityCurve:
    """Means per bin (edges[b], edges[b + 1]]; the first bin takes its lower edge too unless `first_open`."""
    count = len(edges) - 1
    index = np.searchsorted(edges, probability, side="left") - 1
    if first_open:
        inside = (index >= 0) & (index < count)
        probability, correct, index = probability[inside], correct[inside], index[inside]
    index = np.clip(index, 0, count - 1)
    unit = np.ones(len(index)) if weight is None else weight.astype(np.float64)
    mass = np.bincount(index, unit, minlength=count)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, unit * probability, minlength=count) / mass
        accuracy = np.bincount(index, unit * correct, minlength=count) / mass
    return ReliabilityCurve(edges.astype(np.float64), mass, mean, accuracy)


def weighted_gap(curve: ReliabilityCurve, name: str, total: float | None = None) -> float:
    total = curve.weight.sum() if total is None else total
    if not total:
        return warn_undefined(name, "there are no samples")
    return float(np.nansum(curve.weight * curve.gap) / total)


def _mean(values: Floats, weight: Array | None, name: str) -> float:
    total = len(values) if weight is None else weight.sum()
    if not total:
        return warn_undefined(name, "there are no samples")
    return float((values if weight is None else values * weight).sum() / total)


def _row_blocks(values: Array) -> list[slice]:
    step = max(1, _CHUNK_CELLS // max(1, values.shape[1]))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def as_bin_count(bins: int) -> int:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    return int(bins)


def _check_unit(values: Array, name: str) -> Array:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        bad = ((values < 0) | (values > 1)).reshape(len(values), -1).any(axis=1)
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be in [0, 1], got {values[row]} at row {row}")
    return values


def as_top_label(
    confidence: ArrayLike, errors: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, NDArray[np.bool_], Array | None]:
    probability = _check_unit(as_finite(confidence, "confidence"), "confidence")
    failed = as_binary_errors(errors)
    same_length(failed, "errors", len(probability), "confidence")
    return probability, ~failed, as_weight(sample_weight, len(probability))


def _binary(probs: ArrayLike, targets: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    probability = _check_unit(as_finite(probs, "probs"), "probs")
    labels = as_binary_errors(targets, "targets")
    same_length(labels, "targets", len(probability), "probs")
    return probability, labels


def as_probs(probs: Any) -> Array:  # noqa: ANN401
    return _check_unit(as_finite(probs, "probs", ndim=2), "probs")


def as_targets(targets: Any, rows: int, classes: int) -> NDArray[np.int64]:  # noqa: ANN401
    labels = to_numpy(targets, "targets")
    if labels.ndim != 1:
        raise ValueError(f"targets must have 1 axis (N,), got shape {labels.shape}")
    same_length(labels, "targets", rows, "the predictions")
    indices = labels.astype(np.int64)
    bad = (indices != labels) | (indices < 0) | (indices >= classes)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"targets must be class indices in 0..{classes - 1}, got {labels[row]} at row {row}")
    return indices
