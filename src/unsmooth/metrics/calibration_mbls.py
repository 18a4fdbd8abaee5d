"""Calibration errors exactly as MbLS computes them (Liu et al., CVPR 2022, released evaluation code), defects included.

For parity with published tables only: first bins are open, so some samples are never counted, and edges are float32.
Use `unsmooth.metrics.calibration` for anything else.
"""

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.calibration import (
    as_bin_count,
    as_probs,
    as_targets,
    as_top_label,
    bin_means,
    weighted_gap,
)
from unsmooth.metrics.inputs import warn_undefined


def ece_mbls(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15) -> float:
    """ECE as MbLS computes it: float32 edges, and a confidence of exactly 0 falls in no bin; arguments as `ece`.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022, released evaluation code.

    Example:
        >>> round(ece_mbls([0.2, 0.9, 0.8], [1, 0, 0], bins=2), 4)
        0.1667
    """
    probability, correct, _ = as_top_label(confidence, errors, None)
    edges = np.linspace(0, 1, as_bin_count(bins) + 1, dtype=np.float32)
    return weighted_gap(bin_means(probability, correct, None, edges, first_open=True), "ece_mbls", len(correct))


def adaptive_ece_mbls(confidence: ArrayLike, errors: ArrayLike, *, bins: int = 15) -> float:
    """Adaptive ECE as MbLS computes it, defects included; use `adaptive_ece` for anything but parity.

    Edges interpolate the sorted confidences at ranks j N / B; bins are (lo, hi], so the samples of lowest confidence
    are never counted, and when all confidences are equal the value is 0. Arguments as `ece`.

    References:
        Liu et al., CVPR 2022, released evaluation code.

    Example:
        >>> adaptive_ece_mbls([1.0, 1.0], [0, 1])  # equal confidences: nothing is counted
        0.0
    """
    probability, correct, _ = as_top_label(confidence, errors, None)
    count = as_bin_count(bins)
    if not len(correct):
        return warn_undefined("adaptive_ece_mbls", "there are no samples")
    n = len(correct)
    edges = np.interp(np.linspace(0, n, count + 1), np.arange(n), np.sort(probability))
    return weighted_gap(bin_means(probability, correct, None, edges, first_open=True), "adaptive_ece_mbls", n)


def classwise_ece_mbls(probs: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """Classwise ECE as MbLS computes it: averaged over the classes up to the largest target only; arguments as
    `classwise_ece`.

    References:
        Liu et al., CVPR 2022, released evaluation code.

    Example:
        >>> round(classwise_ece_mbls([[0.9, 0.1], [0.6, 0.4]], [0, 0], bins=1), 4)  # class 1 is left out
        0.25
    """
    probability = as_probs(probs)
    labels = as_targets(targets, *probability.shape)
    if not len(labels):
        return warn_undefined("classwise_ece_mbls", "there are no samples")
    edges = np.linspace(0, 1, as_bin_count(bins) + 1, dtype=np.float32)
    curves = (bin_means(probability[:, k], labels == k, None, edges, first_open=True) for k in range(labels.max() + 1))
    return float(np.mean([weighted_gap(curve, "classwise_ece_mbls", len(labels)) for curve in curves]))
