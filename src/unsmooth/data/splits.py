"""Seeded divisions of a dataset: which samples train, which fit scores, which only measure.

Every division is a function of its arguments alone, and the indices that it chose are kept beside the samples.
"""

import torch
from torch import Tensor

from unsmooth.data.arrays import DatasetError

__all__ = ["draw_out", "hold_out"]


def hold_out(count: int, num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide `count` samples at random: the first `num` of a seeded permutation are held out.

    Args:
        count: number of samples.
        num: how many of them are held out; at least one sample must be left.
        seed: of the permutation.

    Returns:
        Indices of the held-out samples, (num,), and of the rest, (count - num,); int64, both ascending.

    Raises:
        DatasetError: `num` is not between 1 and `count` - 1.

    Example:
        >>> hold_out(5, 2, seed=0)
        (tensor([0, 4]), tensor([1, 2, 3]))
    """
    if not 0 < num < count:
        raise DatasetError(f"cannot hold out {num:,} of {count:,} samples: at least one must be on either side")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:num].sort().values, order[num:].sort().values


def draw_out(count: int, num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide `count` samples as the released tabular experiments do: `num` draws without replacement, and the rest.

    Args:
        count: number of samples.
        num: how many are drawn, from equal weights.
        seed: of the draw.

    Returns:
        Indices of the drawn samples, (num,), in the order of the draw, and of the rest, ascending; int64.

    Raises:
        DatasetError: `num` is not between 1 and `count` - 1.
    """
    if not 0 < num < count:
        raise DatasetError(f"cannot draw {num:,} of {count:,} samples: at least one must be on either side")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.ones(count), num, replacement=False, generator=generator)
    left = torch.ones(count, dtype=torch.bool)
    left[drawn] = False
    return drawn, left.nonzero().flatten()
