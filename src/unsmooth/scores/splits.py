"""Division of validation rows into those that fit a score and those that certify its threshold."""

from numbers import Integral

import numpy as np
from numpy.typing import NDArray


def split_rows(count: int, *, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row indices 0..count-1 at random into two parts, each in ascending order.

    Args:
        count: number of rows, at least 2, so that neither part is empty.
        fraction: share of the first part, in (0, 1).
        seed: seed of the permutation; equal seeds and counts give equal parts.

    Returns:
        The two parts, int64. Rows are not stratified, so the second part is independent draws given the first.

    Raises:
        ValueError: fewer than 2 rows, fraction outside (0, 1), or a seed that is no whole number.

    Example:
        >>> first, second = split_rows(6, fraction=0.5, seed=0)
        >>> len(first), len(second), sorted([*first, *second]) == list(range(6))
        (3, 3, True)
    """
    if not (isinstance(seed, Integral) and seed >= 0):
        raise ValueError(f"seed must be a whole number of at least 0, got {seed}")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}")
    if count < 2:
        raise ValueError(f"at least 2 samples are needed to split them in two, got {count}")
    order = np.random.default_rng([seed, count]).permutation(count)
    cut = min(max(round(count * fraction), 1), count - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])
