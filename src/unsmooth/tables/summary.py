"""Tidy summaries over seeds and paired differences, both with bootstrap intervals.

A configuration is (experiment, architecture, loss, alpha); a cell is a configuration with a seed. Replicate b of the
bootstrap weighs the test samples equally in every cell of an experiment, so averaging over seeds and subtracting cells
replicate by replicate keeps the pairing. All values are fractions.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame
from scipy.special import ndtr  # scipy.stats takes half a second to start

from unsmooth.registry.scores import BASELINE_SCORE, REPAIRED_SCORES
from unsmooth.tables.labels import CELL, CONFIGURATION, KINDS, Losses, in_order, require_columns

SUMMARY = [*CONFIGURATION, "score", "metric", "mean", "std", "low", "high", "seeds"]
DIFFERENCES = [
    *["experiment", "architecture", "comparison", "loss", "alpha", "score"],
    *["baseline_loss", "baseline_alpha", "baseline_score", "metric"],
    *["value", "baseline", "difference", "std", "low", "high", "seeds", "sign", "p_value"],
]
MAX_UNDEFINED_REPLICATES = 0.05  # above this share the interval is undefined too
# The columns in which each comparison departs from its baseline, cross-entropy or MSP or both.
_COMPARISONS = {"loss": ["loss", "alpha"], "score": ["score"], "repair": ["loss", "alpha", "score"]}


def summarise(metrics: DataFrame, replicates: DataFrame, *, losses: Losses = KINDS) -> DataFrame:
    """Mean, spread and interval over seeds of every configuration, score and metric.

    `metrics` has `CELL`, score, metric, value (fraction; nan where undefined); `replicates` the same and `replicate`,
    the index of the bootstrap weights, and may lack rows.

    Returns:
        Columns `SUMMARY`. `std` is the sample standard deviation over seeds, nan for one seed. `low` and `high` are the
        95 % percentile bootstrap interval of the mean over seeds, which covers the draw of the test set, not training.
    """
    rows, draws = _aligned(metrics, replicates, losses)
    return in_order(_spread(rows, rows["value"].to_numpy(), draws, [*CONFIGURATION, "score", "metric"]), losses)[
        SUMMARY
    ]


def paired_differences(metrics: DataFrame, replicates: DataFrame, *, losses: Losses = KINDS) -> DataFrame:
    """Differences between cells of the same seed, with paired bootstrap intervals; arguments as for `summarise`.

    Comparisons: "loss" is every other loss against CE under the same score; "score" is a repaired score against MSP in
    the same cell; "repair" is another loss under a repaired score against CE under MSP.

    Returns:
        Columns `DIFFERENCES`, fractions: `value` and `baseline` are means over the common seeds, `difference` is value
        - baseline with its standard deviation over seeds and 95 % interval; `sign` is 1 or -1 where the interval
        excludes 0, otherwise 0. Whether more is better depends on the metric. `p_value` is that of no difference,
        two-sided, 2 Phi(-|difference| / s) with s the standard deviation of the replicates: the share of replicates
        beyond 0 cannot fall below 2 / (replicates + 1), too coarse to correct for many comparisons.
    """
    rows, draws = _aligned(metrics, replicates, losses)
    rows = rows.assign(row=np.arange(len(rows)))
    parts = [_compared(rows, draws, name, losses) for name in _COMPARISONS]
    result = pd.concat([part for part in parts if not part.empty] or [DataFrame(columns=DIFFERENCES)])
    return in_order(result, losses)[DIFFERENCES]


def restricted(summary: DataFrame, losses: Losses, **wanted: Collection[str]) -> DataFrame:
    """Rows of a summary with the `wanted` values of some columns, in reading order; ValueError if none is left."""
    require_columns(summary, SUMMARY, "summary")
    kept = np.logical_and.reduce([summary[column].isin(values) for column, values in wanted.items()])
    rows = in_order(summary[kept], losses)
    require_columns(rows, SUMMARY, f"summary restricted to {', '.join(f'{key} {[*wanted[key]]}' for key in wanted)}")
    return rows


def _compared(rows: DataFrame, draws: NDArray[np.float64], name: str, losses: Losses) -> DataFrame:
    changed = _COMPARISONS[name]
    is_baseline = {"loss": rows["loss"] == losses.baseline, "score": rows["score"] == BASELINE_SCORE}
    is_treated = {"loss": ~is_baseline["loss"], "score": rows["score"].isin(REPAIRED_SCORES)}
    treated, baseline = (
        rows[np.logical_and.reduce([mask for column, mask in masks.items() if column in changed])]
        for masks in (is_treated, is_baseline)
    )
    shared = [column for column in (*CELL, "score", "metric") if column not in changed]
    described = baseline[["loss", "alpha", "score", "value", "row"]].add_prefix("baseline_")
    pairs = treated.merge(described.join(baseline[shared]), on=shared)
    if pairs.empty:
        return DataFrame()
    by = [*CONFIGURATION, "score", "baseline_loss", "baseline_alpha", "baseline_score", "metric"]
    difference = (pairs["value"] - pairs["baseline_value"]).to_numpy()
    spread = _spread(pairs, difference, draws[pairs["row"]] - draws[pairs["baseline_row"]], by)
    means = pairs.groupby(by)[["value", "baseline_value"]].mean(skipna=False).reset_index()
    spread = spread.rename(columns={"mean": "difference"}).merge(means, on=by)
    sign = (spread["low"] > 0).astype(np.int64) - (spread["high"] < 0).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(spread["difference"]) / spread["se"]
    p_value = np.where(spread["difference"] == 0, 1.0, 2 * ndtr(-z))
    return spread.rename(columns={"baseline_value": "baseline"}).assign(comparison=name, sign=sign, p_value=p_value)


def _aligned(metrics: DataFrame, replicates: DataFrame, losses: Losses) -> tuple[DataFrame, NDArray[np.float64]]:
    """Metric rows in reading order and, row for row, their bootstrap draws (rows, replicates); nan where absent."""
    keys = [*CELL, "score", "metric"]
    for frame, by, name, expected in (
        (metrics, keys, "metrics", "have one row a cell, score and metric"),
        (replicates, [*keys, "replicate"], "replicates", "not repeat a row"),
    ):
        require_columns(frame, [*by, "value"], name)
        if (repeated := frame.duplicated(by)).any():
            raise ValueError(f"{name} must {expected}, repeated: {frame.loc[repeated, keys].iloc[0].to_dict()}")
    rows = in_order(metrics[[*keys, "value"]], losses)
    draws = replicates.pivot(index=keys, columns="replicate", values="value")
    return rows, draws.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy(dtype=np.float64)


def _spread(rows: DataFrame, values: NDArray[np.float64], draws: NDArray[np.float64], by: list[str]) -> DataFrame:
    groups = rows.groupby(by).indices.values()
    records = []
    for members in groups:
        group = values[members]
        std = group.std(ddof=1) if len(group) > 1 else np.nan
        interval = _interval(draws[members].mean(axis=0)) if np.isfinite(group).all() else (np.nan, np.nan, np.nan)
        records.append((group.mean(), std, *interval, len(group)))
    keys = rows[by].iloc[[members[0] for members in groups]].reset_index(drop=True)
    return keys.join(DataFrame(records, columns=["mean", "std", "low", "high", "se", "seeds"]))


def _interval(draws: NDArray[np.float64]) -> tuple[float, float, float]:
    defined = draws[np.isfinite(draws)]
    if not len(defined) or len(defined) < (1.0 - MAX_UNDEFINED_REPLICATES) * len(draws):
        return np.nan, np.nan, np.nan
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high), float(defined.std())
