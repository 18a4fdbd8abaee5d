"""Selective metrics of any number of samples in constant memory, with bounds that always hold.

Each confidence is mapped to a 64-bit integer that keeps the order. Equal integers share a bin, with exact int64 counts
of samples and errors; when more than `capacity` bins are occupied, the lowest bit of all integers is dropped until
they fit. The bits dropped are a function of the set of confidences alone (the fewest that fit), so neither the order of
updates nor of merges changes the state. Each bin also keeps its smallest and largest integer.

**Bounds.** Inside a bin the order is unknown. Placing its errors after its correct samples gives a lower bound of AURC
and AUGRC, before them an upper one (the reverse for AUROC); every order, and the mean over orders that ties stand for,
lies between. A bin whose smallest and largest integer agree is a plain tie and adds no width, however many samples it
holds: up to `capacity` distinct confidences both bounds equal the value itself, and saturated or constant scores cost
nothing.

**Width.** With a_b samples above, c_b correct and e_b wrong in bin b, AURC is known to about sum_b c_b e_b / (a_b n):
only bins that are large against what lies above them matter. The integers are therefore floating point codes, whose
bins narrow towards 0 from either side, and between 1/2 and 1 the code of 1 - x (exact in floating point), narrowing
towards 1: the head of a probability, of a p-norm score or of a negative entropy is resolved ever more finely where few
samples are accepted. At the default capacity of 2^23 bins, with error rate 1/2 everywhere, the width of a billion
probabilities spread over [0, 1] comes to 4.5e-7, and to 5e-8 where two thirds lie within 1e-7 of 1; scores that take
fewer values than there are bins, as saturated float32 does, have none. Wider bounds come from many distinct float64
scores in a tiny interval away from 0 and 1 while others fill all bins, and from a thousand heavy ties among as many
spread float64 scores (measured: 1.6e-4), because a tie that shares its bin is not distinguished.

**Weights.** Counts are integers, which is what makes the state the same in any order of updates and merges; there are
no sample weights. A sample of weight 2 is given twice.

**Speed.** A batch is sorted into bins only until bits are dropped. From then on most samples are counted where they
belong, without a sort: in a table of the bins of the most crowded stretches of integers, as many as the capacity.

**Memory.** 32 bytes a bin, and as much for the table: 512 MiB at the default capacity, and while merging up to 2 GiB
(measured: eight times the bins). The file is as large as the occupied bins.
"""

import os
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.atomic_files import atomic_path
from unsmooth.metrics.inputs import as_binary_errors, as_pair
from unsmooth.metrics.ranking import ErrorRanks, Levels, finish, group_starts, rank_levels
from unsmooth.metrics.selective import RiskCoverageCurve, curve_of
from unsmooth.metrics.summary import risk_functions

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]
Bins = tuple[Keys, Keys, Counts, Counts]  # smallest and largest key, samples, errors; ascending
_OCTAVE = 1 << 52
# Codes below 2^-995 are folded into 0 to make room for the codes of 1 - x; `_folded` remembers that it happened.
_TINY_CODE = 28 * _OCTAVE
_HALF_CODE = 1022 * _OCTAVE
_ONE_CODE = 1023 * _OCTAVE
_LEAST_CODE = 969 * _OCTAVE  # 2^-54 stands for 1 - x = 0
_ZERO_KEY = 2020 * _OCTAVE
_HALF_KEY = _ZERO_KEY + _HALF_CODE - _TINY_CODE
_ONE_KEY = _HALF_KEY + _HALF_CODE - _LEAST_CODE
# Rounding of the in-memory value and of the bounds. Both are sums of non-negative weights, each exact to a few units in
# the last place (`mean_harmonic_span` does not cancel), so their error is relative, 1e-15 times a small power of log n.
_MARGIN = 1e-13
_SLACK = 1e-15  # absolute, for a last place near 1
_PAGE_BITS = 44  # low bits of a key that tell its place in a page: 256 pages an octave
_STATE = {"low": np.uint64, "high": np.uint64, "size": np.int64, "errors": np.int64, "meta": np.int64}  # of a file
_BLOCK = 1 << 14  # samples counted at a time, so that their temporaries stay in cache


def order_keys(values: NDArray[np.float64]) -> Keys:
    """Map float64 to integers of the same order; distinct values stay distinct except magnitudes below 2^-995.

    Example:
        >>> keys = order_keys(np.array([-2.0, -0.0, 0.0, 0.3, 0.5, 0.75, 1.0, 1.5]))
        >>> bool((np.diff(keys.astype(float)) >= 0).all()), int(keys[2] - keys[1])
        (True, 0)
    """
    codes = np.abs(values).view(np.int64)
    small = np.maximum(codes - _TINY_CODE, 0)
    upper = 2 * _HALF_CODE - np.maximum((1.0 - np.clip(values, 0.5, 1.0)).view(np.int64), _LEAST_CODE) - _TINY_CODE
    above = codes - _ONE_CODE + (_ONE_KEY - _ZERO_KEY)
    offset = np.where(values < 0.5, np.where(values < 0, -small, small), np.where(values <= 1, upper, above))
    return offset.astype(np.uint64) + np.uint64(_ZERO_KEY)


def order_values(keys: Keys) -> NDArray[np.float64]:
    """Smallest value of each key: the inverse of `order_keys`.

    Example:
        >>> order_values(order_keys(np.array([-2.0, 0.0, 0.3, 0.75, 1.0, 7.5]))).tolist()
        [-2.0, 0.0, 0.3, 0.75, 1.0, 7.5]
    """
    zero, tiny = np.uint64(_ZERO_KEY), np.uint64(_TINY_CODE)
    negative, inside = keys < zero, (keys >= np.uint64(_HALF_KEY)) & (keys < np.uint64(_ONE_KEY))
    codes = np.select(
        [keys == zero, negative, keys < np.uint64(_HALF_KEY), inside],
        [np.uint64(0), zero - keys + tiny, keys - zero + tiny, np.uint64(2 * _HALF_CODE - _TINY_CODE) + zero - keys],
        keys - np.uint64(_ONE_KEY - _ONE_CODE),
    )
    values = codes.view(np.float64)
    return np.asarray(np.where(inside, 1.0 - values, np.where(negative, -values, values)))


class StreamingMetrics:
    """Accumulates (confidence, errors) batches; merge, save and read AURC, AUGRC and AUROC with certified bounds.

    Args:
        capacity: largest number of bins kept, at least 2.

    References:
        The metrics are those of `aurc`, `augrc` and `failure_auroc`; bins and bounds are this package's own.

    Example:
        >>> stream = StreamingMetrics()
        >>> stream.update([0.9, 0.8], [0, 1])
        >>> other = StreamingMetrics()
        >>> other.update([0.7, 0.6], [0, 1])
        >>> stream.merge(other)
        >>> stream.count, round(stream.aurc(), 4)
        (4, 0.3333)
        >>> low, high = stream.bounds()["aurc"]
        >>> low <= 1 / 3 <= high
        True
    """

    def __init__(self, capacity: int = 1 << 23) -> None:
        if capacity < 2:
            raise ValueError(f"capacity must be at least 2, got {capacity}")
        self.capacity = int(capacity)
        self._bins: Bins = _join([])
        self._dropped = 0
        self._folded = False
        self._table: _Table | None = None
        self._pending: list[Bins] = []
        self._waiting = 0

    def update(self, confidence: ArrayLike, errors: ArrayLike) -> None:
        """Add samples.

        Args:
            confidence: (N,) finite scores, larger = more trusted; N may be 0.
            errors: (N,) bool or 0/1.

        Raises:
            ValueError: bad data, as in `aurc`; the accumulator is then unchanged.
        """
        scores, failed = as_pair(confidence, as_binary_errors(errors))
        self._folded |= bool(((scores != 0) & (np.abs(scores) <= 2.0**-995)).any())
        if self._table is None and self._dropped:
            self._table = _Table(self._bins[0], self._dropped, self.capacity)
        if self._table is not None:
            rest = ~self._table.count(scores, failed)
            scores, failed = scores[rest], failed[rest]
        levels = rank_levels(scores, failed)
        keys = order_keys(levels.threshold[::-1].astype(np.float64))
        self._pending.append((keys, keys, levels.size[::-1].astype(np.int64), levels.errors[::-1].astype(np.int64)))
        self._waiting += len(keys)
        if self._waiting > max(1 << 16, self.capacity // 2):
            self._settle()

    def merge(self, other: "StreamingMetrics") -> None:
        """Add all samples of `other`, which is not changed in value.

        Raises:
            ValueError: if the capacities differ.
        """
        if other.capacity != self.capacity:
            raise ValueError(f"other must have capacity {self.capacity}, got {other.capacity}")
        self._settle()
        other._settle()
        self._folded |= other._folded
        self._combine([self._bins, other._bins], max(self._dropped, other._dropped))

    @property
    def count(self) -> int:
        """Number of samples so far."""
        self._settle()
        return int(self._bins[2].sum())

    def error(self) -> float:
        """Error rate at full coverage, exact; lower is better, nan with a warning for no samples."""
        ranks = self._ranks(0)
        return finish(ranks.error, "error", ranks)

    def aurc(self) -> float:
        """AURC ("harmonic"), ties inside a bin averaged; lower is better, nan with a warning for no samples."""
        ranks = self._ranks(0)
        return finish(ranks.aurc, "aurc", ranks)

    def augrc(self) -> float:
        """AUGRC, ties inside a bin averaged; lower is better, nan with a warning for no samples."""
        ranks = self._ranks(0)
        return finish(ranks.augrc(), "augrc", ranks)

    def failure_auroc(self) -> float:
        """AUROC of errors, ties inside a bin counting one half; higher is better, nan with a warning when undefined."""
        ranks = self._ranks(0)
        return finish(ranks.auroc(), "failure_auroc", ranks)

    def risks_at(self, coverages: Sequence[float]) -> dict[str, float]:
        """Selective risk at each coverage in (0, 1], ties inside a bin averaged; lower is better.

        Raises:
            ValueError: a coverage outside (0, 1].
        """
        ranks = self._ranks(0)
        return {name: finish(risk(ranks), name, ranks) for name, risk in risk_functions(coverages).items()}

    def bounds(self, coverages: Sequence[float] = ()) -> dict[str, tuple[float, float]]:
        """Certified (lower, upper) bounds of `aurc`, `augrc`, `failure_auroc` and the risks at `coverages`, or nan.

        The value of the in-memory function for all samples together lies inside; rounding can carry a bound past 1 by
        1e-13.
        """
        low, high = self._ranks(-1), self._ranks(1)
        pairs = {
            "aurc": (low.aurc, high.aurc),
            "augrc": (low.augrc(), high.augrc()),
            "failure_auroc": (high.auroc(), low.auroc()),
        }
        pairs |= {name: (risk(low), risk(high)) for name, risk in risk_functions(coverages).items()}
        return {
            name: (max(float(lower) * (1 - _MARGIN) - _SLACK, 0.0), float(upper) * (1 + _MARGIN) + _SLACK)
            if upper == upper
            else (float("nan"), float("nan"))
            for name, (lower, upper) in pairs.items()
        }

    def curve(self) -> RiskCoverageCurve:
        """Risk-coverage curve with one point per bin; each point is exact for its threshold."""
        return curve_of(self._levels())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to one .npz file, whole or not at all.

        Args:
            path: file ending in .npz.

        Raises:
            ValueError: another ending.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"path must end in .npz, got {os.fspath(path)!r}")
        self._settle()
        low, high, size, errors = self._bins
        meta = np.array([self.capacity, self._dropped, self._folded], np.int64)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, low=low, high=high, size=size, errors=errors, meta=meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "StreamingMetrics":
        """Read a state written by `save`.

        Raises:
            ValueError: if the file does not hold a valid state.
        """
        name = repr(os.fspath(path))
        try:
            # An open file: np.load leaves one that it opened itself and could not read to the garbage collector.
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                state = {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"{name} must hold a StreamingMetrics state, got no readable .npz file") from error
        if set(state) != set(_STATE):
            raise ValueError(f"{name} must hold a StreamingMetrics state, got arrays {list(state)}")
        low, high, size, errors, meta = (state[key] for key in _STATE)
        shapes = {key: (3,) if key == "meta" else (low.size,) for key in _STATE}
        if (
            not all(state[key].dtype == dtype and state[key].shape == shapes[key] for key, dtype in _STATE.items())
            or not (meta[0] >= max(2, len(low)) and 0 <= meta[1] < 64 and meta[2] in (0, 1))
            or not (low[1:] > high[:-1]).all()
            or not ((low <= high) & (errors >= 0) & (errors <= size) & (size > 0)).all()
        ):
            raise ValueError(f"{name} holds an inconsistent StreamingMetrics state")
        stream = cls(int(meta[0]))
        stream._bins, stream._dropped, stream._folded = (low, high, size, errors), int(meta[1]), bool(meta[2])
        return stream

    def _settle(self) -> None:
        """Move counts and waiting batches into the bins."""
        if self._pending:
            waiting = self._pending if self._table is None else [self._table.bins(), *self._pending]
            self._table, self._pending, self._waiting = None, [], 0
            self._combine([self._bins, *waiting], self._dropped)

    def _combine(self, parts: list[Bins], dropped: int) -> None:
        """Join bins equal but for their `dropped` low bits, dropping more until they fit the capacity."""
        bins = _join(parts)
        low = bins[0]
        changed = low[1:] ^ low[:-1]  # neighbours share a bin once the dropped bits are all that differ

        def fits(bits: int) -> bool:
            return int(np.count_nonzero(changed >> np.uint64(bits))) < self.capacity

        self._dropped = bisect_left(range(64), True, lo=dropped, key=fits)
        self._bins = _group(bins, group_starts(low >> np.uint64(self._dropped)))

    def _levels(self) -> Levels:
        self._settle()
        low, _, size, errors = self._bins
        return Levels(order_values(low)[::-1], size[::-1], errors[::-1], binary=True)

    def _ranks(self, side: int) -> ErrorRanks:
        """Ranks of the errors: last in their bins for side -1, first for 1, averaged for 0 and inside plain ties."""
        levels = self._levels()
        ranks = levels.error_ranks()
        low, high, _, errors = self._bins
        tie = low == high
        if self._folded:
            tie &= low != np.uint64(_ZERO_KEY)
        tie = tie[errors > 0][::-1]
        if side == 0 or tie.all():
            return ranks
        block = ranks.above if side > 0 else ranks.above + ranks.size - ranks.errors
        return ErrorRanks(
            ranks.total, np.where(tie, ranks.above, block), np.where(tie, ranks.size, ranks.errors), ranks.errors
        )


class _Table:
    """Counts of the bins of some pages, one row a bin; a page holds the keys that agree without their low bits.

    Args:
        keys: of the bins so far, ascending; the pages that hold the most are chosen.
        dropped: low bits without which the keys of a bin agree.
        capacity: largest number of rows.
    """

    def __init__(self, keys: Keys, dropped: int, capacity: int) -> None:
        self.dropped = np.uint64(dropped)
        self.last = np.uint64((1 << max(_PAGE_BITS - dropped, 0)) - 1)  # bin of a page
        rows = int(self.last) + 1
        pages = keys >> np.uint64(_PAGE_BITS)
        starts = group_starts(pages)
        fullest = np.argsort(np.diff(starts, append=len(pages)), kind="stable")[::-1][: capacity // rows]
        chosen = np.sort(pages[starts[fullest]])
        self.first_row = np.full(1 << (64 - _PAGE_BITS), -1)
        self.first_row[chosen] = np.arange(len(chosen)) * rows
        # In a row: complement of the smallest key, largest key, correct samples, errors. A sample touches one place.
        self.rows = np.zeros((len(chosen) * rows, 4), np.uint64)

    def count(self, scores: NDArray[np.floating], errors: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Count the samples that have a row; return which these are."""
        counted = np.empty(len(scores), bool)
        for start in range(0, len(scores), _BLOCK):
            block = slice(start, start + _BLOCK)
            keys = order_keys(scores[block].astype(np.float64))
            first = self.first_row[keys >> np.uint64(_PAGE_BITS)]
            known = np.greater_equal(first, 0, out=counted[block])
            keys, failed = keys[known], errors[block][known]
            row = first[known] + ((keys >> self.dropped) & self.last).astype(np.int64)
            np.maximum.at(self.rows[:, 0], row, ~keys)
            np.maximum.at(self.rows[:, 1], row, keys)
            np.add.at(self.rows.reshape(-1), 4 * row + 2 + failed, np.uint64(1))
        return counted

    def bins(self) -> Bins:
        """All bins that hold a sample."""
        rows = self.rows[self.rows[:, 1] > 0]
        correct, errors = rows[:, 2:].astype(np.int64).T
        return ~rows[:, 0], rows[:, 1].copy(), correct + errors, errors


def _join(parts: list[Bins]) -> Bins:
    """All bins in ascending order of their keys."""
    empty: Bins = (np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    low, high, size, errors = (np.concatenate(arrays) for arrays in zip(empty, *parts, strict=True))
    order = np.argsort(low, kind="stable")  # merges sorted runs in linear time
    return low[order], high[order], size[order], errors[order]


def _group(bins: Bins, starts: Counts) -> Bins:
    """Bins joined from each start to the next."""
    low, high, size, errors = bins
    if len(starts) == len(low):
        return bins
    counts = np.add.reduceat(size, starts), np.add.reduceat(errors, starts)
    return low[starts], np.maximum.reduceat(high, starts), *counts
