"""Bootstrap intervals by re-weighting one sort, and paired comparisons.

A bootstrap resample of n samples is a vector of n multinomial counts. The confidences are sorted once; each replicate
then needs only the running sums of its counts in that order, in blocks of bounded memory. The counts depend on
`(seed, n)` and the replicate's number alone and belong to samples by their original index: two calls on the same test
set with different confidences or errors use the same resamples, so their replicates are paired.

With sample weights a resample draws samples, not weight: a sample drawn twice enters with twice its weight. A sample of
weight 2 is therefore one draw, while two copies are two: the point is the same, the interval of the copies is narrower.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.metrics.inputs import Array, as_finite, as_fraction, as_pair, as_weight, same_length
from unsmooth.metrics.ranking import ErrorRanks, group_starts
from unsmooth.metrics.summary import metric_functions, selective_metrics
from unsmooth.metrics.sums import Floats

_BLOCK_CELLS = 1_000_000  # counts that are ranked at a time; larger blocks leave the cache and run slower
_PRODUCT_CELLS = 4_000_000  # counts that are multiplied by values at a time; smaller products run slower
_CACHE_CELLS = 64_000_000  # keep the counts of one test set for the next score: at most 64 MB


def bootstrap_replicates(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    metrics: Sequence[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    risks: Sequence[float] = (0.01, 0.05),
    coverages: Sequence[float] = (0.1, 0.2, 0.5, 0.8),
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Floats]:
    """Bootstrap replicates of every selective metric, from one sort.

    Replicate b of a metric = `selective_metrics` of the data with sample i taken m_bi times, m_b multinomial. These
    counts depend on `(seed, N, b)` alone, so calls on the same test set are paired replicate by replicate. Each draw
    carries the sample's weight. Other arguments as `selective_metrics`.

    Args:
        metrics: names as in `selective_metrics`; None for all.
        replicates: number of resamples B, at least 1.
        seed: seed of the resamples.
        groups: (N,) indices from 0 of the unit of resampling, such as the image of each pixel; None draws samples.
        progress: called as ``progress(done, replicates)`` after each block of replicates.

    Returns:
        One (B,) float64 array per metric, better in the direction of the metric; nan where it is undefined.

    Raises:
        ValueError: unknown metric name, `replicates` below 1, or bad data.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6.

    Example:
        >>> values = bootstrap_replicates([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], metrics=["aurc"], replicates=3)
        >>> values["aurc"].shape
        (3,)
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    functions = metric_functions(risks, coverages)
    names = list(functions) if metrics is None else list(metrics)
    for name in names:
        if name not in functions:
            raise ValueError(f"metrics must be among {', '.join(functions)}, got {name!r}")
    scores, residuals = as_pair(confidence, errors)
    weight = as_weight(sample_weight, len(scores))
    values = {name: np.full(replicates, np.nan) for name in names}
    if not len(scores):
        return values
    members = None if groups is None else _as_groups(groups, len(scores))
    ranked = _ranker(scores, residuals, weight, members)
    done = 0
    units = len(scores) if members is None else members.max() + 1
    for counts in _count_blocks(seed, units, replicates, _BLOCK_CELLS // len(scores)):
        ranks = ranked(counts if members is None else counts[:, members])
        block = slice(done, done + len(counts))
        for name in names:
            values[name][block] = functions[name](ranks)
        done = block.stop
        progress(done, replicates)
    return values


def bootstrap_means(
    values: ArrayLike,
    *,
    replicates: int = 1000,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Floats:
    """Bootstrap replicates of means over samples, under the same resamples as `bootstrap_replicates`.

    Replicate b is sum_i m_bi w_i v_i / sum_i m_bi w_i, w_i the weight. Other arguments as `bootstrap_replicates`.

    Args:
        values: (N, M) finite, one row a sample.

    Returns:
        (B, M) float64 means of the columns, better in the direction of the values; nan for a resample without weight.

    Raises:
        ValueError: `replicates` below 1, values that are not a finite (N, M) array with N >= 1, or bad weights.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6.

    Example:
        >>> bootstrap_means([[1.0, 2.0], [1.0, 4.0]], replicates=3)[:, 0].tolist()
        [1.0, 1.0, 1.0]
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    columns = as_finite(values, "values", ndim=2).astype(np.float64)
    if not len(columns):
        raise ValueError("values must have at least one row, got none")
    weight = as_weight(sample_weight, len(columns), "values")
    unit = np.ones(len(columns)) if weight is None else weight.astype(np.float64)
    # The last column sums the weights.
    terms = np.column_stack([columns * unit[:, None], unit])
    if groups is not None:
        members = _as_groups(groups, len(terms))
        summed = np.zeros((members.max() + 1, terms.shape[1]))
        np.add.at(summed, members, terms)
        terms = summed
    blocks = _count_blocks(seed, len(terms), replicates, _PRODUCT_CELLS // len(terms))
    sums = np.concatenate([counts @ terms for counts in blocks])
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, :-1] / sums[:, -1:])


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval.

    Attributes:
        point: the value on the data itself.
        low, high: limits of the interval.
        p_value: for a difference, two-sided bootstrap p-value of no difference; None for a single value.
    """

    point: float
    low: float
    high: float
    p_value: float | None = None


def bootstrap(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    metric: str = "aurc",
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    sample_weight: ArrayLike | None = None,
) -> Interval:
    """Percentile bootstrap interval of one selective metric.

    low, high = quantiles (1 - level) / 2, (1 + level) / 2 of replicates. Other arguments as `bootstrap_replicates`.

    Args:
        metric: a name of `selective_metrics`; operating points at any percentage, such as "coverage_at_risk_2.5".
        level: probability covered, in (0, 1).

    Returns:
        Point and limits as fractions, better in the direction of the metric. Undefined replicates are left out; all nan
        with a warning when the metric is undefined on the data.

    Raises:
        ValueError: unknown metric, arguments out of range, or bad data.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Example:
        >>> interval = bootstrap([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], replicates=200)
        >>> interval.low <= interval.point <= interval.high
        True
    """
    level = as_fraction(level, "level", open_low=True, open_high=True)
    point, values = _replicated((confidence, errors), metric, replicates, seed, sample_weight)
    return Interval(point, *_percentiles(point, values, level))


def paired_bootstrap(
    confidence_a: ArrayLike,
    errors_a: ArrayLike,
    confidence_b: ArrayLike,
    errors_b: ArrayLike,
    *,
    metric: str = "aurc",
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    sample_weight: ArrayLike | None = None,
) -> Interval:
    """Bootstrap interval and p-value of metric(a) - metric(b) on the same test samples.

    Both use the same resamples, so the difficulty of the test set cancels. With d the replicates' differences,
    p = 2 min(#(d <= 0) + 1, #(d >= 0) + 1) / (B + 1), at most 1. Other arguments as `bootstrap`.

    Args:
        confidence_a, errors_a: (N,) first model or score, as in `bootstrap`.
        confidence_b, errors_b: (N,) second, rows of the same samples in the same order.

    Returns:
        Difference, limits and p-value; below 0, a is better in a metric that is better when lower. All nan with a
        warning when a metric is undefined on the data.

    Raises:
        ValueError: lengths that differ, unknown metric, arguments out of range, or bad data.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16.

    Example:
        >>> same = paired_bootstrap([3, 2, 1], [0, 0, 1], [9, 5, 2], [0, 0, 1], replicates=50)
        >>> same.point, same.low, same.high, same.p_value
        (0.0, 0.0, 0.0, 1.0)
    """
    level = as_fraction(level, "level", open_low=True, open_high=True)
    a, b = as_pair(confidence_a, errors_a), as_pair(confidence_b, errors_b)
    same_length(b[0], "confidence_b", len(a[0]), "confidence_a")
    point_a, values_a = _replicated(a, metric, replicates, seed, sample_weight)
    point_b, values_b = _replicated(b, metric, replicates, seed, sample_weight)
    point, difference = point_a - point_b, values_a - values_b
    low, high = _percentiles(point, difference, level)
    difference = difference[~np.isnan(difference)]
    return Interval(point, low, high, math.nan if math.isnan(point) else p_value(difference))


def _replicated(
    pair: tuple[ArrayLike, ArrayLike], metric: str, replicates: int, seed: int, sample_weight: ArrayLike | None
) -> tuple[float, Floats]:
    """Return a metric of confidence and errors, and its replicates."""
    risks, coverages = _targets(metric)
    shared: dict[str, Any] = {"risks": risks, "coverages": coverages, "sample_weight": sample_weight}
    values = bootstrap_replicates(*pair, metrics=[metric], replicates=replicates, seed=seed, **shared)
    return selective_metrics(*pair, **shared)[metric], values[metric]


def p_value(differences: NDArray[np.floating[Any]]) -> float:
    """Two-sided bootstrap p-value of no difference: 2 min(#(d <= 0) + 1, #(d >= 0) + 1) / (B + 1), at most 1.

    Example:
        >>> p_value(np.array([0.1, 0.3, 0.2]))  # the smallest that three replicates allow
        0.5
    """
    extreme = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)) + 1
    return float(min(1.0, 2 * extreme / (len(differences) + 1)))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment of the p-values of many comparisons.

    adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), p_(1) <= ... <= p_(m). Rejecting where the adjusted
    value is at most alpha keeps the probability of any false rejection below alpha, whatever the dependence.

    Args:
        p_values: (m,) in [0, 1].

    Returns:
        (m,) adjusted p-values in the order given; lower is stronger evidence of a difference.

    Raises:
        ValueError: values outside [0, 1] or not finite.

    References:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    values = as_finite(p_values, "p_values").astype(np.float64)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"p_values must be in [0, 1], got {values[(values < 0) | (values > 1)][0]}")
    order = np.argsort(values)
    scaled = np.minimum(values[order] * np.arange(len(values), 0, -1), 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted


def _targets(metric: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the risks and coverages with which `selective_metrics` has the named operating point."""
    name, _, percent = metric.rpartition("_")
    if name in ("coverage_at_risk", "risk_at_coverage"):
        try:
            target = (float(percent) / 100,)
        except ValueError:
            raise ValueError(f"metric must end in a percentage, got {metric!r}") from None
        return (target, ()) if name == "coverage_at_risk" else ((), target)
    names = metric_functions((), ())
    if metric not in names:
        known = ", ".join([*names, "coverage_at_risk_P", "risk_at_coverage_P"])
        raise ValueError(f"metric must be one of {known}, got {metric!r}")
    return (), ()


def _percentiles(point: float, values: Floats, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if math.isnan(point) or not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


class _Plan:
    """Positions of the tie groups that hold errors, in one confidence order."""

    def __init__(self, scores: Array, residuals: Array, weight: Array | None) -> None:
        self.order = np.argsort(scores)[::-1]
        ordered = residuals[self.order].astype(np.float64)
        starts = group_starts(scores[self.order])
        held = np.add.reduceat(ordered, starts) > 0
        edges = np.append(starts, len(scores))
        # Segments between consecutive edges: before the first error group, the group, the run after it, ...
        self.starts, self.ends = edges[:-1][held], edges[1:][held]
        self.whole = bool((ordered[np.repeat(held, np.diff(edges))] == 1).all())
        self.failed = np.flatnonzero(ordered > 0)
        self.residual = None if residuals.dtype == bool else ordered[self.failed]
        self.failed_starts = np.searchsorted(self.failed, self.starts)
        self.weight = None if weight is None else weight[self.order]

    def ranks(self, counts: NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        """(b, g) arrays: samples above, tied at and errors in each group, for counts (b, n)."""
        ordered = np.take(counts, self.order, axis=1)
        if self.weight is not None:
            ordered = ordered * self.weight
        kind = np.int32 if self.weight is None else self.weight.dtype
        running = np.zeros((len(ordered), ordered.shape[1] + 1), kind)
        np.cumsum(ordered, axis=1, dtype=kind, out=running[:, 1:])
        above = np.take(running, self.starts, axis=1)
        size = np.take(running, self.ends, axis=1) - above
        if self.whole or not len(self.failed):
            return above, size, size
        failed = np.take(ordered, self.failed, axis=1)
        mass = failed.astype(kind) if self.residual is None else failed * self.residual
        return above, size, np.add.reduceat(mass, self.failed_starts, axis=1)


def _ranker(
    scores: Array, residuals: Array, weight: Array | None, groups: NDArray[np.int64] | None
) -> Callable[[NDArray[np.uint8]], ErrorRanks]:
    """Return a function that ranks the errors of one confidence by blocks of counts (b, n)."""
    plan = _Plan(scores, residuals, weight)
    ideal = None if residuals.dtype == bool else _Plan(-residuals, residuals, weight)
    uneven = groups is not None and len(set(np.bincount(groups))) > 1  # resamples then differ in size
    tail_sums = None if weight is not None or uneven else _tail_sums(len(scores))

    def ranks(counts: NDArray[np.uint8]) -> ErrorRanks:
        total: Any = np.int64(counts.shape[1])
        if tail_sums is None:
            total = counts.sum(axis=1, dtype=np.int64) if weight is None else counts @ weight
        oracle = None if ideal is None else ErrorRanks(total, *ideal.ranks(counts), tail_sums=tail_sums)
        return ErrorRanks(total, *plan.ranks(counts), oracle=oracle, tail_sums=tail_sums)

    return ranks


def _tail_sums(n: int) -> Floats:
    """Return `ErrorRanks.tail_sums`, summed in extended precision from its small end."""
    weights = np.cumsum(1 / np.arange(n, 0, -1, dtype=np.longdouble))
    exact = np.concatenate([[0], np.cumsum(weights)])[::-1]
    nearest = exact.astype(np.float64)
    return np.stack([nearest, (exact - nearest).astype(np.float64)])


def _draw_counts(generator: np.random.Generator, n: int, replicates: int) -> NDArray[np.uint8]:
    counts = np.empty((replicates, n), np.uint8)  # a count above 255 has probability below 1e-500
    for row in counts:
        row[:] = np.bincount(generator.integers(0, n, n), minlength=n)
    return counts


@lru_cache(maxsize=1)
def _cached_counts(seed: int, n: int, replicates: int) -> NDArray[np.uint8]:
    return _draw_counts(np.random.default_rng([seed, n]), n, replicates)


def _as_groups(groups: ArrayLike, length: int) -> NDArray[np.int64]:
    """Return the checked group of each sample; no group up to the largest may be empty."""
    members = np.asarray(groups)
    same_length(members, "groups", length, "confidence")
    if members.dtype.kind not in "iu" or len(np.unique(members)) != members.max() + 1 or members.min() < 0:
        raise ValueError(f"groups must be integers from 0 on without gaps, got {members.dtype} {members[:10].tolist()}")
    return members.astype(np.int64)


def _count_blocks(seed: int, n: int, replicates: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of counts (b, n), b at most `width` and at least 1; it does not change them."""
    width = max(1, width)
    if n * replicates <= _CACHE_CELLS:
        counts = _cached_counts(seed, n, replicates)
        yield from (counts[start : start + width] for start in range(0, replicates, width))
        return
    generator = np.random.default_rng([seed, n])
    for start in range(0, replicates, width):
        yield _draw_counts(generator, n, min(width, replicates - start))
