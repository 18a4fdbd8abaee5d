"""Calibration errors, distances of stated probabilities from observed frequencies, and proper scores.

Two kinds of input. Top-label metrics take `confidence`, the probability of the predicted class in [0, 1], and `errors`;
class metrics take `probs` or `logits` (N, K) and `targets`. For a binary forecast p of class 1 give the top-label
metrics p and `errors` = 1 - targets, `brier` the columns (1 - p, p) and `nll` the logits (0, log-odds). Bins are
(lo, hi], the first one closed at 0, so every sample is counted once. Sums are in float64. All values are fractions (nll
in nats) and lower is better. A sample weight of 2 counts as two copies and 0 as none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from unsmooth.logits.probabilities import ENOUGH_ROWS, refuse_probabilities
from unsmooth.metrics.inputs import (
    Array,
    as_binary_errors,
    as_finite,
    as_pair,
    as_targets,
    as_weight,
    refuse_rows,
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

    confidence_b = (1 / n_b) sum_(i in b) s_i and accuracy_b = (1 / n_b) sum_(i in b) [i is correct].

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        errors: (N,) bool or 0/1.
        bins: number of bins B, at least 1.
        sample_weight: (N,) non-negative.

    Returns:
        The curve; a smaller gap is better.

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
    return bin_means(probability, correct, weight, bin_edges(bins))


def ece(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None) -> float:
    """Expected calibration error: `sum_b (n_b / n) |mean confidence_b - accuracy_b|` over equal-width bins.

    Arguments and errors raised as `reliability_curve`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, eq. 3.

    Example:
        >>> round(ece([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)  # (0.2 + 2 * 0.15) / 3
        0.1667
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    return weighted_gap(curve) if curve.weight.any() else warn_undefined("ece", "there are no samples")


def mce(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None) -> float:
    """Maximum calibration error: `max_b |mean confidence_b - accuracy_b|` over the bins that hold samples.

    Arguments and errors raised as `ece`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, section 2.

    Example:
        >>> round(mce([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)
        0.2
    """
    curve = reliability_curve(confidence, errors, bins=bins, sample_weight=sample_weight)
    return float(np.nanmax(curve.gap)) if curve.weight.any() else warn_undefined("mce", "there are no samples")


def adaptive_ece(
    confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> float:
    """Calibration error over bins of equal counts, cut by rank: `(1/n) sum_b |sum_b confidence - correct|`.

    The first n mod B bins hold one sample more (all hold total / B with fractional weights). A tie that a cut crosses
    lends each side its mean error, so the value does not depend on sample order. Arguments and errors raised as `ece`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Nguyen and O'Connor, EMNLP 2015; Nixon et al., Measuring Calibration in Deep Learning, 2019, section 3.

    Example:
        >>> round(adaptive_ece([0.6, 0.7, 0.8, 0.9], [1, 0, 0, 0], bins=2), 4)  # |1.3 - 1| / 4 + |1.7 - 2| / 4
        0.15
    """
    count = len(bin_edges(bins)) - 1
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    levels = rank_levels(probability, ~correct, weight)
    if not len(levels.size):
        return warn_undefined("adaptive_ece", "there are no samples")
    # From the least confident on: excess(k) is confidence minus correct summed over the first k samples.
    size, failed = levels.size[::-1], levels.errors[::-1]
    position = np.concatenate([[0.0], np.cumsum(size)])
    excess = np.concatenate([[0.0], np.cumsum(levels.threshold[::-1].astype(np.float64) * size - (size - failed))])
    total = position[-1]
    cuts = np.arange(count + 1) * (total / count) if size.dtype.kind == "f" else rank_cuts(total, count)
    return float(np.abs(np.diff(np.interp(cuts, position, excess))).sum() / total)


def classwise_ece(
    probs: ArrayLike, targets: ArrayLike, *, bins: int = 15, sample_weight: ArrayLike | None = None
) -> float:
    """Calibration error of each class's probability against "is this class", averaged over all K classes.

    `(1/K) sum_k sum_b (n_bk / n) |mean p_k in bin b - frequency of class k in bin b|`
    with n_bk the samples with p_k in b.

    Args:
        probs: (N, K) probabilities in [0, 1].
        targets: (N,) class indices in 0..K-1.
        bins: number of equal-width bins.
        sample_weight: (N,) non-negative.

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
    classes = as_targets(targets, probability.shape)
    weight = as_weight(sample_weight, len(classes), "targets")
    if not (len(classes) if weight is None else weight.any()):
        return warn_undefined("classwise_ece", "there are no samples")
    edges = bin_edges(bins)
    columns = np.ascontiguousarray(probability.T)
    curves = (bin_means(column, classes == k, weight, edges) for k, column in enumerate(columns))
    return float(np.mean([weighted_gap(curve) for curve in curves]))


def brier(probs: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Brier score: mean over samples of sum_k (p_k - [k == target])^2.

    Arguments and errors raised as `classwise_ece`.

    Returns:
        Score in [0, 2], lower is better; nan with a warning for no samples.

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.

    Example:
        >>> round(brier([[0.75, 0.25], [0.5, 0.5]], [0, 1]), 4)  # (2 / 16 + 1 / 2) / 2
        0.3125
    """
    probability = as_probs(probs)
    classes = as_targets(targets, probability.shape)
    losses = _row_losses(probability, classes, lambda p, chosen: np.square(p).sum(axis=1) + 1 - 2 * chosen)
    return _mean(losses, as_weight(sample_weight, len(classes), "targets"), "brier")


def top_label_brier(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Brier score of the confidence as a forecast of being correct: mean (confidence - correct)^2.

    Arguments and errors raised as `ece`.

    Returns:
        Score in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.

    Example:
        >>> top_label_brier([0.75, 0.5], [0, 1])
        0.15625
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    return _mean(np.square(probability.astype(np.float64) - correct), weight, "top_label_brier")


def fail_nll(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Log loss of the confidence as a forecast of being correct.

    -mean(c ln(s + 1e-7) + (1 - c) ln(1 - s + 1e-7)), c = 1 for correct. Arguments and errors raised as `ece`.

    Returns:
        Nats, lower is better; nan with a warning for no samples.

    References:
        Jaeger et al., A Call to Reflect on Evaluation Practices for Failure Detection, ICLR 2023.

    Example:
        >>> round(fail_nll([0.5, 0.5], [0, 1]), 4)
        0.6931
    """
    probability, correct, weight = as_top_label(confidence, errors, sample_weight)
    stated = np.where(correct, probability.astype(np.float64), 1 - probability.astype(np.float64))
    return _mean(-np.log(stated + 1e-7), weight, "fail_nll")


def nll(logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Negative log-likelihood: mean of logsumexp(logits) - logit of the target, in the log domain throughout.

    Other arguments as `classwise_ece`.

    Args:
        logits: (N, K) real; -inf marks an excluded class.

    Returns:
        Nats, lower is better; inf when a target class is excluded; nan with a warning for no samples.

    Raises:
        ValueError: nan or +inf logits, a row of only -inf, targets out of range, lengths that differ.

    References:
        Good, Rational Decisions, Journal of the Royal Statistical Society B, 1952 (the logarithmic score).

    Example:
        >>> round(nll([[0.0, 0.0], [1000.0, 0.0]], [1, 0]), 4)  # (ln 2 + 0) / 2
        0.3466
    """
    values = to_numpy(logits, "logits")
    if values.ndim != 2:
        raise ValueError(f"logits must have 2 axes (N, K), got shape {values.shape}")
    classes = as_targets(targets, values.shape)
    if len(values) >= ENOUGH_ROWS:
        refuse_probabilities(values)
    refuse_rows(~np.isfinite(values.max(axis=1)), "logits", "be finite or -inf for some classes", values)
    losses = _row_losses(values, classes, lambda z, chosen: logsumexp(z, axis=1) - chosen)
    return _mean(losses, as_weight(sample_weight, len(classes), "targets"), "nll")


def bin_edges(bins: int) -> Floats:
    """(bins + 1,) edges of equal-width bins of [0, 1]."""
    if bins < 1 or bins != int(bins):
        raise ValueError(f"bins must be a whole number of at least 1, got {bins}")
    return np.linspace(0.0, 1.0, int(bins) + 1)


def rank_cuts(total: int, bins: int) -> NDArray[np.integer[Any]]:
    """(bins + 1,) ranks from 0 to `total` that part the bins of `adaptive_ece`; the first bins may hold one more."""
    return np.arange(bins + 1) * (total // bins) + np.minimum(np.arange(bins + 1), total % bins)


def bin_index(probability: Array, edges: Array) -> NDArray[np.int64]:
    """(N,) index b of the bin (edges[b], edges[b + 1]] of each probability; the first bin takes its lower edge too."""
    return np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, len(edges) - 2)


def bin_means(probability: Array, correct: NDArray[np.bool_], weight: Array | None, edges: Array) -> ReliabilityCurve:
    """Means in the bins of `bin_index`."""
    count, index = len(edges) - 1, bin_index(probability, edges)
    unit = None if weight is None else weight.astype(np.float64)
    mass = np.bincount(index, unit, minlength=count).astype(np.float64)
    confidence = probability if unit is None else unit * probability
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, confidence, minlength=count) / mass
        accuracy = np.bincount(index[correct], None if unit is None else unit[correct], minlength=count) / mass
    return ReliabilityCurve(edges.astype(np.float64), mass, mean, accuracy)


def weighted_gap(curve: ReliabilityCurve) -> float:
    """Mean gap over the samples of a curve that holds some."""
    return float(np.nansum(curve.weight * curve.gap) / curve.weight.sum())


def _row_losses(values: Array, classes: NDArray[np.int64], loss: Callable[[Floats, Floats], Floats]) -> Floats:
    """(N,) `loss(rows, the target's entry of each)`, with the rows (n, K) in float64, a block at a time."""
    losses, step = np.empty(len(values)), max(1, _CHUNK_CELLS // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        rows = slice(start, start + step)
        block = values[rows].astype(np.float64)
        losses[rows] = loss(block, np.take_along_axis(block, classes[rows, None], axis=1)[:, 0])
    return losses


def _mean(values: Floats, weight: Array | None, name: str) -> float:
    """Weighted mean; nan with a warning for no samples."""
    if weight is not None:
        values, weight = values[weight > 0], weight[weight > 0]  # weight 0 excludes infinite losses
    if not len(values):
        return warn_undefined(name, "there are no samples")
    return float(np.average(values, weights=weight))


def _check_unit(values: Array, name: str) -> Array:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        refuse_rows((values < 0) | (values > 1), name, "be in [0, 1]", values)
    return values


def as_top_label(
    confidence: ArrayLike, errors: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, NDArray[np.bool_], Array | None]:
    """Checked confidence in [0, 1], whether each prediction is correct, and weights."""
    probability, failed = as_pair(confidence, as_binary_errors(errors))
    return _check_unit(probability, "confidence"), ~failed, as_weight(sample_weight, len(probability))


def as_probs(probs: Any) -> Array:  # noqa: ANN401
    """Checked (N, K) probabilities whose rows sum to 1."""
    values = _check_unit(as_finite(probs, "probs", ndim=2), "probs")
    sums = values.sum(axis=1)
    far = abs(sums - 1) >= 0.01
    if far.any():
        row = int(far.argmax())
        raise ValueError(f"rows of probs must sum to 1, as softmax outputs do, got {sums[row]:.4g} at row {row}")
    return values
