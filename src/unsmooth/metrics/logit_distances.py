"""Distances of the largest logit from the others, which smoothing equalises and margin penalties bound."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_finite
from unsmooth.metrics.sums import Floats


class LogitDistances(NamedTuple):
    """Distances of every sample, each (N,) float64, non-negative, in units of the logits.

    Attributes:
        mean: of the largest logit to the others, (1 / (K - 1)) sum_k (max_j l_j - l_k).
        largest: of the largest logit to the smallest, max_j l_j - min_k l_k.
        margin: of the largest logit to the second largest.
    """

    mean: Floats
    largest: Floats
    margin: Floats


def logit_distances(logits: ArrayLike) -> LogitDistances:
    """Distances d_k = max_j l_j - l_k of every sample: mean, largest and smallest non-zero.

    They scale with the logits: dividing by a temperature T divides them by T. No direction is better by itself.

    Args:
        logits: (N, K) finite, K at least 2.

    Returns:
        The distances of every sample; their means over samples are the statistics of the source.

    Raises:
        ValueError: logits that are not finite, or not of shape (N, K) with K of at least 2.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022, eq. 3 (the distances) and released evaluation code.

    Example:
        >>> distances = logit_distances([[5.0, 1.0, 3.0]])
        >>> distances.mean.item(), distances.largest.item(), distances.margin.item()
        (3.0, 4.0, 2.0)
    """
    values = as_finite(logits, "logits", ndim=2)
    if values.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got {values.shape[1]}")
    second, top = np.partition(values, -2, axis=1)[:, -2:].astype(np.float64).T
    total = values.sum(axis=1, dtype=np.float64)
    others = values.shape[1] - 1
    return LogitDistances(top - (total - top) / others, top - values.min(axis=1), top - second)
