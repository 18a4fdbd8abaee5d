"""What happens as alpha grows, and as the order p of the norm changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray
from pandas import DataFrame

from unsmooth.figures.style import (
    AFTER_STYLE,
    BEFORE_STYLE,
    UNDEFINED,
    configurations_of,
    explanation,
    legend_below,
    line_styles,
    new_figure,
    single_experiment,
    styled,
)
from unsmooth.tables.labels import (
    CELL,
    CONFIGURATION,
    KINDS,
    Losses,
    in_order,
    metric_style,
    require_columns,
    score_label,
)
from unsmooth.tables.summary import SUMMARY

SHARED_STYLE: dict[str, Any] = {"color": "0.25", "marker": "D", "linestyle": "-"}
CHOSEN_STYLE: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgecolor": "white"}
LABELLED_ORDERS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 16, 32, 64, 128)
SPLIT_TITLES = {"val": "Validation (p is chosen here)", "test": "Test"}


@styled
def degradation(
    summary: DataFrame,
    *,
    losses: Losses = KINDS,
    metrics: Sequence[str] = ("aurc", "error", "risk_at_coverage_20"),
    before: str = "msp",
    after: str = "max_logit_pnorm",
    width: float = 7.0,
    height: float = 2.7,
) -> tuple[Figure, DataFrame]:
    """AURC, error and risk at 20 % coverage against alpha, before and after normalisation, with 95 % intervals.

    Args:
        summary: from `tables.summarise`, one experiment and architecture.
        losses: those of the experiment; the smoothed ones share the axis of alpha, on which CE stands at 0.
        metrics: one panel each.
        before: score drawn first.
        after: score drawn second, where it is defined. The error is the same under both and drawn once.
        width: inches.
        height: inches.

    Returns:
        The figure, in percent, and its data: rows of `summary`, fractions.

    Raises:
        ValueError: on missing columns or rows, or several experiments.
    """
    require_columns(summary, SUMMARY, "summary")
    drawn = [losses.baseline, *losses.smoothed]
    kept = summary["loss"].isin(drawn) & summary["score"].isin([before, after]) & summary["metric"].isin(metrics)
    data = in_order(summary[kept & ~((summary["metric"] == "error") & (summary["score"] == after))], losses)
    require_columns(data, SUMMARY, f"summary restricted to {drawn}, {[before, after]} and {list(metrics)}")
    title = single_experiment(data, "summary")

    present = {before, *data["score"]}
    figure = new_figure(width, height)
    styles = {before: BEFORE_STYLE, after: AFTER_STYLE}
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for score, style in {before: SHARED_STYLE}.items() if metric == "error" else styles.items():
            line = data[(data["metric"] == metric) & (data["score"] == score)].sort_values("alpha")
            if line.empty and score in present:
                raise ValueError(f"summary must have {metric!r} under {score!r} in {title}")
            _interval_line(axes, line, style, metric_style(metric).scale)
        look = metric_style(metric)
        direction = "lower" if look.better == "↓" else "higher"
        axes.set(
            xlabel="Smoothing alpha (0 is CE)", ylabel=f"{look.unit} ({direction} is better)".strip(), title=look.label
        )
    figure.suptitle(title)
    legend_below(
        figure,
        {
            f"before: {score_label(before)}": BEFORE_STYLE | {"markersize": 4},
            f"after: {score_label(after)}": AFTER_STYLE | {"markersize": 4},
            "the same before and after": SHARED_STYLE | {"markersize": 4},
        },
        title="bars: 95 % bootstrap interval of the mean over seeds",
    )
    return figure, data


def _interval_line(axes: Axes, line: DataFrame, style: dict[str, Any], scale: float) -> None:
    mean, low, high = (scale * line[name].to_numpy() for name in ("mean", "low", "high"))
    bars = np.vstack([np.maximum(mean - low, 0.0), np.maximum(high - mean, 0.0)])
    axes.errorbar(line["alpha"], mean, yerr=bars, capsize=2, markersize=4, elinewidth=0.9, **style)


@styled
def pnorm_sweep(
    sweep: DataFrame,
    chosen: DataFrame,
    reference: DataFrame,
    *,
    losses: Losses = KINDS,
    width: float = 7.0,
    height: float = 3.2,
) -> tuple[Figure, DataFrame]:
    """AURC of the largest p-normalised logit against p, on validation and test, with MSP as the reference.

    Args:
        sweep: one row a cell, split and p: experiment, architecture, loss, alpha, seed, split ("val" or "test"), p (inf
            allowed), aurc (fraction). Without rows the figure says in words that there is nothing to choose.
        chosen: one row a cell: experiment, architecture, loss, alpha, seed, p; nan where the score fell back to MSP.
        reference: one row a cell and split, as `sweep` without p: AURC of MSP. A split without rows gets no line.
        losses: those of the experiment.
        width: inches.
        height: inches.

    Returns:
        The figure, in percent, and its data: experiment, architecture, loss, alpha, split, p, mean, std, seeds, msp
        (mean AURC of MSP) and chosen (seeds that chose this p); fractions, lower is better.

    Raises:
        ValueError: on missing columns or rows, or several experiments.
    """
    require_columns(chosen, [*CELL, "p"], "chosen")
    require_columns(reference, [*CELL, "split", "aurc"], "reference")
    title = f"{single_experiment(chosen, 'chosen')}, {score_label('max_logit_pnorm')}"
    if sweep.empty:
        return explanation(title, UNDEFINED.format(score_label("max_logit_pnorm")), width), sweep
    require_columns(sweep, [*CELL, "split", "p", "aurc"], "sweep")
    by = [*CONFIGURATION, "split"]
    data = (
        sweep.groupby([*by, "p"])["aurc"].agg(["mean", "std", "size"]).reset_index().rename(columns={"size": "seeds"})
    )
    data = data.merge(reference.groupby(by)["aurc"].mean().rename("msp").reset_index(), on=by, how="left")
    counts = chosen.groupby([*CONFIGURATION, "p"]).size().rename("chosen").reset_index()
    data = data.merge(counts, on=[*CONFIGURATION, "p"], how="left").fillna({"chosen": 0}).astype({"chosen": int})
    data = in_order(data, losses)

    figure = new_figure(width, height)
    orders = np.sort(data["p"].unique())
    places = dict(zip(orders, _places(orders), strict=True))
    styles = line_styles(configurations_of(data, losses), losses)
    splits = [split for split in SPLIT_TITLES if split in set(data["split"])]
    for axes, split in zip(figure.subplots(1, len(splits), squeeze=False, sharey=True)[0], splits, strict=True):
        for (loss, alpha), style in styles.items():
            line = data[(data["split"] == split) & (data["loss"] == loss) & (data["alpha"] == alpha)].sort_values("p")
            if line.empty:
                raise ValueError(f"sweep must have {losses.label(loss, alpha)} on {split!r}")
            _sweep_line(axes, line, line["p"].map(places).to_numpy(), style)
        shown = [order for order in orders if order in LABELLED_ORDERS or np.isinf(order)]
        axes.xaxis.set_major_locator(FixedLocator([places[order] for order in shown]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(["∞" if np.isinf(order) else f"{order:g}" for order in shown])
        axes.set(xlabel="Norm order p", title=SPLIT_TITLES[split])
    finite = data[np.isfinite(data["p"])]  # the limit p = inf is nearly a constant score and would flatten the rest
    values = 100.0 * finite[["mean", "msp"]].to_numpy()
    margin = 0.08 * (np.nanmax(values) - np.nanmin(values))
    figure.axes[0].set_ylim(np.nanmin(values) - margin, np.nanmax(values) + margin)
    figure.axes[0].set_ylabel("AURC (%, lower is better)")
    figure.suptitle(title)
    entries = {losses.label(*key): style for key, style in styles.items()}
    entries["MSP, same colour"] = {"color": "0.3", "linestyle": ":", "linewidth": 0.9}
    entries["p of a seed (none: MSP, or p = ∞)"] = {"color": "0.3", "linestyle": "", **CHOSEN_STYLE}
    seeds = int(data["seeds"].min())
    legend_below(figure, entries, title=f"mean; band: ± 1 std over {seeds} seeds" if seeds > 1 else None)
    return figure, data


def _sweep_line(axes: Axes, line: DataFrame, where: NDArray[np.float64], style: dict[str, Any]) -> None:
    mean, std = (100.0 * line[name].to_numpy() for name in ("mean", "std"))
    axes.plot(where, mean, **style)
    axes.fill_between(where, mean - std, mean + std, color=style["color"], alpha=0.15, linewidth=0)
    reference = line["msp"].iloc[0]
    if np.isfinite(reference):
        axes.axhline(100.0 * reference, color=style["color"], linewidth=0.9, linestyle=":", zorder=1.5)
    marked = (line["chosen"] > 0).to_numpy()
    axes.plot(where[marked], mean[marked], color=style["color"], linestyle="", zorder=4, **CHOSEN_STYLE)


def _places(orders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions of p on the axis: log2, with 0 and infinity half an octave beyond the others."""
    between = (orders > 0) & np.isfinite(orders)
    places = np.log2(np.where(between, orders, 1.0))
    first, last = (places[between].min(), places[between].max()) if between.any() else (0.0, 0.0)
    return np.select([orders == 0, np.isinf(orders)], [first - 0.5, last + 0.5], places)
