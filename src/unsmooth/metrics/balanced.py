"""Class-balanced areas, with equal weight for every class."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.metrics.inputs import Array, as_pair, as_weight, same_length, to_numpy, warn_undefined
from unsmooth.metrics.ranking import group_starts, rank_levels
from unsmooth.metrics.sums import Floats

Counts = NDArray[np.int64]


def balanced_risk_coverage(
    confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Balanced selective risk at every distinct confidence.

    R_bal(t) = (1/K) sum_c errors_c(t) / n_c(t), over the classes c with n_c(t) accepted samples (0 / 0 = 0).

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1, or residuals in [0, 1].
        targets: (N,) class of each sample; classes that do not occur (or only with weight 0) are not counted.
        sample_weight: (N,) non-negative; 2 counts as two copies, inside its class and in the coverage.

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
    scores, residuals, classes, weight = _checked(confidence, errors, targets, sample_weight)
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    levels = rank_levels(scores, residuals, weight)
    # Class by class, most confident first: the class's error rate changes only at its own samples.
    order = np.lexsort((-scores, classes))
    ordered, scores = classes[order], scores[order]
    level = len(levels.threshold) - 1 - np.searchsorted(levels.threshold[::-1], scores)
    first = group_starts(ordered)
    rate = _within(weight[order] * residuals[order], first, ordered) / _within(weight[order], first, ordered)
    last = np.append((ordered[1:] != ordered[:-1]) | (level[1:] != level[:-1]), True)
    rate, level, ordered = rate[last], level[last], ordered[last]
    change = np.diff(rate, prepend=0.0)
    change[group_starts(ordered)] = rate[group_starts(ordered)]
    risk = np.cumsum(np.bincount(level, change, minlength=len(levels.size))) / len(first)
    return levels.accepted / levels.accepted[-1], risk


def balanced_aurc(
    confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Area under the balanced selective risk, sum_g (R_g + R_(g-1)) (c_g - c_(g-1)) / 2 with R_0 = R_1, c_0 = 0.

    The trapezoid runs over distinct confidences. Arguments as `balanced_risk_coverage`.

    Returns:
        Fraction, lower is better; nan with a warning for no samples.

    References:
        Traub et al., NeurIPS 2024, appendix (AURC with balanced accuracy).

    Example:
        >>> balanced_aurc([4, 3, 2, 1], [0, 1, 0, 0], [0, 1, 0, 1])
        0.28125
    """
    coverage, risk = balanced_risk_coverage(confidence, errors, targets, sample_weight=sample_weight)
    if not len(coverage):
        return warn_undefined("balanced_aurc", "there are no samples")
    return float(risk[0] * coverage[0] + np.sum((risk[1:] + risk[:-1]) * np.diff(coverage)) / 2)


def balanced_augrc(
    confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """AUGRC with each error weighing n / (K n_c), n_c the samples (or weight) of its class, K the classes that occur.

    The generalized risk at t is (1/K) sum_c errors_c(t) / n_c. Arguments as `balanced_risk_coverage`.

    Returns:
        Fraction, lower is better; nan with a warning for no samples.

    References:
        Traub et al., NeurIPS 2024, appendix (AUGRC with balanced accuracy).

    Example:
        >>> balanced_augrc([4, 3, 2, 1], [0, 1, 0, 0], [0, 1, 1, 1])  # the error weighs 4 / (2 * 3)
        0.10416666666666666
    """
    scores, residuals, classes, weight = _checked(confidence, errors, targets, sample_weight)
    if not len(scores):
        return warn_undefined("balanced_augrc", "there are no samples")
    mass = np.bincount(classes, weight)
    share = mass.sum() / (len(mass) * mass[classes])
    # Weighted errors pass 1, so spread them over the unit interval and scale the area back.
    scale = math.ceil(share.max())
    ranks = rank_levels(scores, residuals * share / scale, weight).error_ranks()
    return float(scale * ranks.augrc())


def _checked(
    confidence: ArrayLike, errors: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Counts, Array]:
    """Scores, residuals, classes 0..K-1 and weights of the samples that have weight."""
    scores, residuals = as_pair(confidence, errors)
    classes = to_numpy(targets, "targets")
    if classes.ndim != 1:
        raise ValueError(f"targets must have 1 axis (N,), got shape {classes.shape}")
    same_length(classes, "targets", len(scores), "confidence")
    weight = as_weight(sample_weight, len(scores))
    weight = np.ones(len(scores), np.int64) if weight is None else weight
    kept = weight > 0
    return scores[kept], residuals[kept], np.unique(classes[kept], return_inverse=True)[1], weight[kept]


def _within(values: Array, first: Counts, groups: Counts) -> Array:
    """Running sums that start anew at `first`, the first members of the `groups` 0, 1, ..."""
    total = np.cumsum(values)
    return total - np.concatenate([total[:1] * 0, total])[first][groups]
