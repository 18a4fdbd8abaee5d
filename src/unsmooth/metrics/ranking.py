"""Sorted errors, the common basis of all selective metrics.

Samples are ordered by confidence, most confident first; equal confidences form one tie group. Only groups that hold an
error matter for areas, ROC and operating points, and of each only three numbers: how many samples are strictly more
confident (`above`), how many share its confidence (`size`) and how many errors it holds (`errors`). For 0/1 errors
those come from `np.sort` of the errors' scores, `np.sort` of the others' and two binary searches: no index array is
built, which at 100 million samples is several times faster than `argsort`.

Ties: errors inside a group are spread evenly over its positions, the expectation over random orders of the group.
Positions are counted in int64 and summed in float64. Every method works along the last axis, so a block of bootstrap
replicates (shape `(B, groups)`) is evaluated by the same formulas as one data set.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.metrics.inputs import Array, as_errors, as_pair, as_weight, warn_undefined
from unsmooth.metrics.sums import Floats, harmonic_span, log_span, mean_harmonic_span


@dataclass(frozen=True)
class Levels:
    """Every distinct confidence, highest first."""

    threshold: Array  # (G,) distinct confidences, descending
    size: Array  # (G,) samples (or weight) at each
    errors: Array  # (G,) errors (or residual mass) at each
    binary: bool  # whether the errors are 0/1

    @cached_property
    def accepted(self) -> Array:
        """(G,) samples accepted when accepting everything at least as confident."""
        return np.cumsum(self.size)

    @cached_property
    def accepted_errors(self) -> Array:
        """(G,) errors among the accepted."""
        return np.cumsum(self.errors)

    def lower_hull(self) -> tuple[Floats, Floats]:
        """Accepted samples and errors along the lower convex hull of the error curve, from (0, 0)."""
        from scipy.optimize import isotonic_regression  # imported late: it takes a second

        # The hull's slopes are the isotonic regression of the groups' risks on their rank.
        size = self.size.astype(np.float64)
        slopes = isotonic_regression(self.errors / size, weights=size).x
        return np.concatenate([[0.0], np.cumsum(size)]), np.concatenate([[0.0], np.cumsum(slopes * size)])

    def error_ranks(self, oracle: "ErrorRanks | None" = None) -> "ErrorRanks":
        """Keep the groups that hold errors."""
        held = self.errors > 0
        upper = np.cumsum(self.size)  # not cached: as large as the data
        total = upper[-1] if len(upper) else np.int64(0)
        size = self.size[held]
        return ErrorRanks(total, upper[held] - size, size, self.errors[held], oracle=oracle)


@dataclass(frozen=True, eq=False)
class ErrorRanks:
    """Errors in the order of confidence; the last axis runs over tie groups, most confident first."""

    total: Any  # (...) number of samples n, or total weight
    above: Array  # (..., g) samples strictly more confident than the group
    size: Array  # (..., g) samples in the group
    errors: Array  # (..., g) errors in the group
    # Ranks under the best possible confidence; None when the errors are 0/1 (then they are a single last group)
    oracle: "ErrorRanks | None" = None
    # (2, n + 1) table of sum_(j>k) (H_n - H_(j-1)) for k = 0..n, which replaces the closed form where n is common: the
    # nearest float64 and its remainder. A difference of two entries keeps its digits: both are as small as the weights
    tail_sums: Floats | None = None

    @cached_property
    def before(self) -> Array:
        """(..., g) errors strictly more confident than the group."""
        return np.cumsum(self.errors, axis=-1) - self.errors

    @cached_property
    def error_count(self) -> Any:  # noqa: ANN401
        """(...) total errors."""
        return self.errors.sum(axis=-1)

    @cached_property
    def correct_count(self) -> Any:  # noqa: ANN401
        """(...) total correct; a rounding remainder of fractional weights counts as 0."""
        correct = np.asarray(self.total - self.error_count)
        if correct.dtype.kind == "f":
            correct = np.where(correct > 1e-12 * np.asarray(self.total), correct, 0.0)
        return correct[()]

    @cached_property
    def _upper(self) -> Array:
        return self.above + self.size

    @cached_property
    def _run_risk(self) -> Floats:
        """(..., g) selective risk just before the group."""
        return np.asarray(_divide(self.before, self.above))

    def _at(self, values: Array, group: Any, beyond: Any) -> Array:  # noqa: ANN401
        """(...) `values` of one group each, `beyond` for an index past the last group."""
        groups = values.shape[-1]
        if not groups:
            return np.broadcast_to(beyond, np.shape(group))
        index = np.minimum(group, groups - 1)
        return np.where(group == groups, beyond, np.take_along_axis(values, index[..., None], axis=-1)[..., 0])

    def _first_reaching(self, position: Array) -> Any:  # noqa: ANN401
        """(...) index of the first group that holds the position; the number of groups where none does."""
        groups = self._upper.shape[-1]
        if not groups:
            return np.zeros(np.shape(position), np.int64)
        # Positions are whole unless the weights, and so the groups' ends, are fractional.
        reached = self._upper >= position.astype(self._upper.dtype)[..., None]
        return np.where(reached[..., -1], reached.argmax(axis=-1), groups)

    def _undefined(self) -> Any:  # noqa: ANN401
        """(...) nan: a residual is neither an error nor a success to detect."""
        return np.full(np.shape(self.error_count), np.nan)[()]

    @property
    def error(self) -> Any:  # noqa: ANN401
        """(...) error rate at full coverage."""
        return _divide(self.error_count, self.total)

    @cached_property
    def ideal(self) -> "ErrorRanks":
        """Ranks of the same errors under the best possible confidence."""
        if self.oracle is not None:
            return self.oracle
        errors = np.asarray(self.error_count)[..., None]
        above = np.asarray(self.total)[..., None] - errors
        return replace(self, above=above, size=errors, errors=errors)

    @cached_property
    def aurc(self) -> Any:  # noqa: ANN401
        """(...) mean over positions k of the selective risk R_k: each error weighs H_n - H_(j-1) at position j."""
        if self.tail_sums is not None:
            high, low = (np.take(part, self.above) - np.take(part, self._upper) for part in self.tail_sums)
            area = high + low
            if self.errors is not self.size:  # otherwise every sample is an error
                area *= self.errors / np.maximum(self.size, 1)
            return _divide(area.sum(axis=-1), self.total)
        size = np.where(self.size > 0, self.size, 1)
        upper = self.above + size
        rest = np.maximum(np.asarray(self.total)[..., None] - upper, 0)
        # Without ties the mean over a group's positions is its only term.
        own = 1 / upper if np.all(size == 1) else mean_harmonic_span(self.above, size)
        weight = own + harmonic_span(upper, rest)
        return _divide((weight * self.errors).sum(axis=-1), self.total)

    def ln_aurc(self) -> float:
        """Mean of error times -ln(j / (n + 1)) at position j."""
        size = np.where(self.size > 0, self.size, 1)
        weight = np.log(self.total + 1.0) - log_span(self.above, size) / size
        return float(_divide((weight * self.errors).sum(), self.total))

    def augrc(self) -> Any:  # noqa: ANN401
        """(...) trapezoid of coverage times selective risk over the tie groups, from (0, 0)."""
        # An error counts at every later position, and for half of its own group.
        count = np.asarray(self.total)[..., None] - self.above - self.size / 2
        return _divide((count * self.errors).sum(axis=-1), np.square(np.asarray(self.total, np.float64)))

    def auroc(self) -> Any:  # noqa: ANN401
        """(...) probability that a correct sample is more confident than an error, ties counting one half."""
        if self.oracle is not None:
            return self._undefined()
        correct_above = self.above - self.before + (self.size - self.errors) / 2
        pairs = self.error_count * np.asarray(self.correct_count, np.float64)
        return _divide((correct_above * self.errors).sum(axis=-1), pairs)

    def fpr_at_tpr(self, tpr: float) -> Any:  # noqa: ANN401
        """(...) smallest share of errors accepted by a threshold that accepts at least `tpr` of the correct samples."""
        if self.oracle is not None:
            return self._undefined()
        # Between two error groups the errors stay and the correct samples grow, so each run's end is its best
        # threshold.
        correct = np.asarray(self.correct_count)
        too_few = _divide(self.above - self.before, correct[..., None]) < tpr
        accepted = self._at(self.before, np.count_nonzero(too_few, axis=-1), self.error_count)
        return np.where(correct > 0, _divide(accepted, self.error_count), np.nan)

    def coverage_at_risk(self, risk: float) -> Any:  # noqa: ANN401
        """(...) largest coverage of a threshold whose selective risk is at most `risk`, 0 for none."""
        # As above: the risk falls within a run without errors, so only run ends can be largest.
        accepted = np.where(self._run_risk <= risk, self.above, 0).max(axis=-1, initial=0)
        return _divide(np.where(self.error <= risk, self.total, accepted), self.total)

    def coverage_at_accuracy(self, accuracy: float) -> float:
        """(...) largest coverage of a threshold whose selective accuracy is at least `accuracy`, 0 for none."""
        correct = np.append(self.above - self.before, self.correct_count)
        accepted = np.append(self.above, self.total)
        return float(_divide(np.where(_divide(correct, accepted) >= accuracy, accepted, 0).max(), self.total))

    def risk_at_coverage(self, coverage: float) -> Any:  # noqa: ANN401
        """(...) expected selective risk of the `ceil(n * coverage)` most confident samples."""
        position = np.broadcast_to(first_position(self.total, coverage), np.shape(self.error_count))
        group = self._first_reaching(position)
        above, size, held = (self._at(values, group, 0) for values in (self.above, self.size, self.errors))
        inside = np.clip((position - above) / np.where(size > 0, size, 1), 0, 1) * held
        return _divide(self._at(self.before, group, self.error_count) + inside, position)

    def first_risk(self) -> float:
        """Expected selective risk of the single most confident sample."""
        return float(self.errors[0] / self.size[0]) if self.size.size and self.above[0] == 0 else 0.0

    def knots(self) -> tuple[Floats, Floats]:
        """Accepted samples and errors at the corners of the piecewise linear error curve, from (0, 0)."""
        accepted = np.stack([self.above, self.above + self.size], axis=-1).ravel()
        errors = np.stack([self.before, self.before + self.errors], axis=-1).ravel()
        return (
            np.concatenate([[0.0], accepted, [float(self.total)]]),
            np.concatenate([[0.0], errors, [float(self.error_count)]]),
        )


def undefined_reason(ranks: ErrorRanks) -> str:
    if not ranks.total:
        return "there are no samples"
    if not ranks.error_count:
        return "every prediction is correct"
    if not ranks.correct_count:
        return "every prediction is wrong"
    if ranks.oracle is not None:
        return "the errors are continuous residuals"
    return "there are too few samples"


def finish(value: Any, name: str, ranks: ErrorRanks) -> float:  # noqa: ANN401
    """Return the value as a Python float; a nan is warned of with its reason."""
    return warn_undefined(name, undefined_reason(ranks)) if math.isnan(value) else float(value)


def first_position(total: Any, coverage: float) -> Array:  # noqa: ANN401
    """Smallest whole k with k / total >= coverage (as divided in float64); the real k when weights are fractional."""
    total = np.asarray(total)
    exact = total * coverage
    if total.dtype.kind == "f":
        return np.asarray(exact)
    position = np.ceil(exact)
    # 0.07 * 100 is 7.000000000000001: step back where the smaller count already reaches the coverage.
    return np.asarray(np.where(_divide(position - 1, total) >= coverage, position - 1, position))


def _divide(a: Any, b: Any) -> Any:  # noqa: ANN401
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(a, b)


def group_starts(ordered: Array) -> NDArray[np.int64]:
    """Index of the first member of each run of equal values."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def rank_levels(confidence: ArrayLike, errors: ArrayLike, sample_weight: ArrayLike | None = None) -> Levels:
    """Sort once and return every distinct confidence with its samples and errors."""
    scores, residuals = as_pair(confidence, errors)
    weight = as_weight(sample_weight, len(scores))
    binary = residuals.dtype == bool
    if binary and weight is None:
        return _binary_levels(scores, residuals)
    order = np.argsort(scores)[::-1]
    if weight is not None:
        order = order[weight[order] > 0]
    starts = group_starts(scores[order])
    weight = np.ones(len(scores), np.int64) if weight is None else weight
    mass = weight * (residuals.astype(np.int64) if binary else residuals)
    if not len(order):
        return Levels(scores[order], weight[order], mass[order], binary)
    size, held = np.add.reduceat(weight[order], starts), np.add.reduceat(mass[order], starts)
    return Levels(scores[order][starts], size, held, binary)


def _binary_levels(scores: Array, errors: NDArray[np.bool_]) -> Levels:
    """Levels of 0/1 errors without weights: no index array, and few temporaries as large as the data."""
    ordered = np.sort(scores)
    starts = group_starts(ordered)
    threshold = ordered[starts]
    del ordered
    size = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=size[:-1])
    size[-1:] = len(scores) - starts[-1:]
    del starts
    held = np.bincount(np.searchsorted(threshold, np.sort(scores[errors])), minlength=len(threshold))
    return Levels(threshold[::-1], size[::-1], held[::-1], binary=True)


def rank_errors(confidence: ArrayLike, errors: ArrayLike, sample_weight: ArrayLike | None = None) -> ErrorRanks:
    """Sort once and return the ranks of the errors; 0/1 errors without weights need no index array."""
    scores, residuals = as_pair(confidence, errors)
    if sample_weight is not None or residuals.dtype != bool:
        levels = rank_levels(scores, residuals, sample_weight)
        return levels.error_ranks(rank_oracle(residuals, sample_weight))
    failed, passed = np.sort(scores[residuals]), np.sort(scores[~residuals])
    starts = group_starts(failed)
    ends = np.append(starts[1:], len(failed))[: len(starts)]
    distinct = failed[starts]
    below, up_to = (np.searchsorted(passed, distinct, side=side) for side in ("left", "right"))
    above = len(scores) - ends - up_to
    held = ends - starts
    return ErrorRanks(np.int64(len(scores)), above[::-1], (held + up_to - below)[::-1], held[::-1])


def rank_oracle(errors: ArrayLike, sample_weight: ArrayLike | None = None) -> ErrorRanks | None:
    """Ranks under the optimal confidence, minus the residual; None for 0/1 errors, which have a closed form."""
    residuals = as_errors(errors)
    if residuals.dtype == bool:
        return None
    return rank_levels(-residuals, residuals, sample_weight).error_ranks()
