"""Seeded divisions of a dataset: which samples train, which fit scores, which only measure.

Every division is a function of its arguments alone, and the indices that it chose are kept beside the samples.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from unsmooth.data.arrays import DatasetError

T = TypeVar("T")


def hold_out(count: int, num: int, seed: int, *, shuffle: Literal["torch", "numpy"] = "torch") -> tuple[Tensor, Tensor]:
    """Divide `count` samples at random: the first `num` of a seeded permutation are held out, at least one is left.

    The permutation is torch's or that of `legacy_permutations`. Returns the indices of the held-out samples, (num,),
    and of the rest, (count - num,); int64, both ascending.

    Example:
        >>> hold_out(5, 2, seed=0)
        (tensor([0, 4]), tensor([1, 2, 3]))
    """
    if not 0 < num < count:
        raise DatasetError(f"cannot hold out {num:,} of {count:,} samples: at least one must be on either side")
    if shuffle == "numpy":
        [order] = legacy_permutations([count], seed)
    else:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:num].sort().values, order[num:].sort().values


def part(items: Sequence[T], num: int, seed: int) -> tuple[list[T], list[T]]:
    """Return the items that `hold_out` holds out, and the rest, in their order."""
    held_out, rest = ([items[place] for place in places.tolist()] for places in hold_out(len(items), num, seed))
    return held_out, rest


def divide_published(
    train: Sequence[T], published: Sequence[T], num_val: int, num_train_logits: int, seed: int
) -> dict[str, list[T]]:
    """Divide published validation files into "val", which fits scores, and "test"; "train_logits" are of "train"."""
    val, test = part(published, num_val, seed)
    train_logits, _ = part(train, num_train_logits, seed)
    return {"train": [*train], "val": val, "test": test, "train_logits": train_logits}


def legacy_permutations(counts: Sequence[int], seed: int) -> list[Tensor]:
    """Permute sets of these sizes, (count,) int64 each, from one stream, as MbLS does after `np.random.seed(seed)`.

    Each permutation depends on those before it; no version of numpy changes the stream of this legacy generator.

    Example:
        >>> legacy_permutations([3, 4], seed=1)
        [tensor([0, 2, 1]), tensor([2, 1, 3, 0])]
    """
    generator = np.random.RandomState(seed)
    return [torch.from_numpy(generator.permutation(count)) for count in counts]


def draw_out(count: int, num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide `count` samples as the released tabular experiments do: `num` draws without replacement, and the rest.

    Returns the indices of the drawn samples, (num,), in the order of the draw, and of the rest, ascending; int64.
    """
    if not 0 < num < count:
        raise DatasetError(f"cannot draw {num:,} of {count:,} samples: at least one must be on either side")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.ones(count), num, replacement=False, generator=generator)
    left = torch.ones(count, dtype=torch.bool)
    left[drawn] = False
    return drawn, left.nonzero().flatten()
