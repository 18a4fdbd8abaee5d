"""Class-balanced areas: every class counts the same, however rare.

The balanced selective risk at a threshold is the mean over classes of the error rate among that class's accepted
samples (0 for a class with none accepted). The balanced generalized risk weighs each error by n / (K n_c) instead, so
that it stays additive.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_errors, as_finite, same_length, to_numpy, warn_undefined
from unsmooth.metrics.ranking import group_starts, rank_levels
from unsmooth.metrics.sums import Floats


def balanced_risk_coverage(confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    """Balanced selective risk at every distinct confidence.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1, or residuals in [0, 1].
        targets: (N,) class of each sample; classes that do not occur are not counted.

    Returns:
        Coverage (G,) ascending in (0, 1] and balanced selective risk (G,) in [0, 1], lower is better.

    Raises:
        ValueError: bad data, or lengths that differ.

    References:
        Traub et al., NeurIPS 2024, appendix (AURC with balanced accuracy).

    Example:
        >>> coverage, risk = balanced_risk_coverage([4, 3, 2, 1], [0, 1, 0, 0], [0, 1, 0, 1])
        >>> risk.tolist()
        [0.0, 0.5, 0.5, 0.25]
    """
    scores = as_finite(confidence, "confidence")
    residuals = as_errors(errors)
    labels = to_numpy(targets, "targets")
    same_length(residuals, "errors", len(scores), "confidence")
    same_length(labels, "targets", len(scores), "confidence")
    classes, labels = np.unique(labels, return_inverse=True)
    levels = rank_levels(scores, residuals)
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    # Class by class, most confident first: the class's error rate changes only at its own samples.
    order = np.lexsort((-scores, labels))
    ordered, scores = labels[order], scores[order]
    level = len(levels.threshold) - 1 - np.searchsorted(levels.threshold[::-1], scores)
    held = np.cumsum(residuals[order].astype(np.float64))
    first = group_starts(ordered)
    base = np.concatenate([[0.0], held])[first][ordered]
    rate = (held - base) / (np.arange(len(order)) - first[ordered] + 1)
    last = np.append((ordered[1:] != ordered[:-1]) | (level[1:] != level[:-1]), True)
    rate, level, ordered = rate[last], level[last], ordered[last]
    change = np.diff(rate, prepend=0.0)
    change[group_starts(ordered)] = rate[group_starts(ordered)]
    risk = np.cumsum(np.bincount(level, change, minlength=len(levels.size))) / len(classes)
    return levels.accepted / levels.accepted[-1], risk


def balanced_aurc(confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike) -> float:
    """Area under the balanced selective risk.

    Trapezoid over distinct confidences, the first risk held down to coverage 0. Arguments as `balanced_risk_coverage`;
    a fraction, lower is better, nan with a warning for no samples.

    Example:
        >>> balanced_aurc([4, 3, 2, 1], [0, 1, 0, 0], [0, 1, 0, 1])
        0.28125
    """
    coverage, risk = balanced_risk_coverage(confidence, errors, targets)
    if not len(coverage):
        return warn_undefined("balanced_aurc", "there are no samples")
    return float(risk[0] * coverage[0] + np.sum((risk[1:] + risk[:-1]) * np.diff(coverage)) / 2)


def balanced_augrc(confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike) -> float:
    """AUGRC with each error weighing n / (K n_c), n_c the samples of its class and K the classes that occur.

    Arguments as `balanced_risk_coverage`; a fraction, lower is better, nan with a warning for no samples.

    Example:
        >>> balanced_augrc([4, 3, 2, 1], [0, 1, 0, 0], [0, 1, 1, 1])  # the error weighs 4 / (2 * 3)
        0.10416666666666666
    """
    residuals = as_errors(errors).astype(np.float64)
    labels = to_numpy(targets, "targets")
    same_length(labels, "targets", len(residuals), "errors")
    if not len(residuals):
        return warn_undefined("balanced_augrc", "there are no samples")
    classes, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = len(residuals) / (len(classes) * counts[labels])
    # Weighted errors pass 1, so spread them over the unit interval and scale the area back.
    scale = math.ceil(share.max())
    ranks = rank_levels(confidence, residuals * share / scale).error_ranks()
    return float(scale * ranks.augrc())
