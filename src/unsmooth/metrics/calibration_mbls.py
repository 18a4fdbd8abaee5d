"""Calibration errors exactly as MbLS computes them (Liu et al., CVPR 2022, released evaluation code), defects included.

For comparison with published tables only: first bins are open, so some samples are never counted, and edges are
float32. Otherwise use `unsmooth.metrics.calibration`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.metrics.calibration import as_probs, as_top_label, bin_edges, bin_means
from unsmooth.metrics.inputs import Array, as_targets, warn_undefined


def ece_mbls(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15) -> float:
    """`ece`, `sum_b (n_b / n) |mean confidence_b - accuracy_b|`, as MbLS computes it.

    Edges are float32, and a confidence of exactly 0 falls in no bin. Arguments and errors raised as `ece`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022, released evaluation code.

    Example:
        >>> round(ece_mbls([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)
        0.1667
    """
    probability, correct, _ = as_top_label(confidence, errors, None)
    if not len(correct):
        return warn_undefined("ece_mbls", "there are no samples")
    return _gap(probability, correct, bin_edges(bins).astype(np.float32))


def adaptive_ece_mbls(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15) -> float:
    """`adaptive_ece`, `sum_b (n_b / n) |mean confidence_b - accuracy_b|`, as MbLS computes it, defects included.

    Edges interpolate the sorted confidences at ranks j N / B; bins are (lo, hi], so the samples of lowest confidence
    are never counted, and when all confidences are equal the value is 0. Arguments and errors raised as `ece`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022, released evaluation code.

    Example:
        >>> adaptive_ece_mbls([1.0, 1.0], [0, 1])  # equal confidences: nothing is counted
        0.0
    """
    probability, correct, _ = as_top_label(confidence, errors, None)
    ranks = bin_edges(bins) * len(correct)
    if not len(correct):
        return warn_undefined("adaptive_ece_mbls", "there are no samples")
    return _gap(probability, correct, np.interp(ranks, np.arange(len(correct)), np.sort(probability)))


def classwise_ece_mbls(probs: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """`classwise_ece` as MbLS computes it: the mean over the classes 0, 1, ... up to the largest target only.

    `(1/K') sum_(k < K') sum_b (n_bk / n) |mean p_k in bin b - frequency of class k in bin b|` with K' = max target + 1.
    Arguments and errors raised as `classwise_ece`.

    Returns:
        Fraction in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022, released evaluation code.

    Example:
        >>> round(classwise_ece_mbls([[0.9, 0.1], [0.6, 0.4]], [0, 0], bins=1), 4)  # class 1 is left out
        0.25
    """
    probability = as_probs(probs)
    classes = as_targets(targets, probability.shape)
    if not len(classes):
        return warn_undefined("classwise_ece_mbls", "there are no samples")
    edges = bin_edges(bins).astype(np.float32)
    columns = np.ascontiguousarray(probability.T[: classes.max() + 1])
    return float(np.mean([_gap(column, classes == k, edges) for k, column in enumerate(columns)]))


def _gap(probability: Array, correct: NDArray[np.bool_], edges: Array) -> float:
    """Gap summed over bins that are all (lo, hi], over all samples: those outside count as no gap."""
    inside = (probability > edges[0]) & (probability <= edges[-1])
    curve = bin_means(probability[inside], correct[inside], None, edges)
    return float(np.nansum(curve.weight * curve.gap) / len(correct))
