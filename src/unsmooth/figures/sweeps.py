"""Sweeps over alpha and over the norm order p."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray
from pandas import DataFrame

from unsmooth.figures.style import (
    AFTER_STYLE,
    BARS_TEXT,
    BEFORE_STYLE,
    legend_below,
    line_styles,
    mean_and_bars,
    new_figure,
    seed_lines,
    seeds_text,
    styled,
    undefined,
)
from unsmooth.registry.metrics import metric_style
from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE, score_label
from unsmooth.tables.labels import CELL, CONFIGURATION, KINDS, Losses, configurations_of, in_order, require_columns
from unsmooth.tables.summary import restricted
from unsmooth.tables.titles import single_experiment

SWEPT_METRICS = ("aurc", "error", "risk_at_coverage_20")
LOOKS = {BASELINE_SCORE: BEFORE_STYLE, NORMALISED_SCORE: AFTER_STYLE}
SHARED_STYLE: dict[str, Any] = {"color": "0.25", "marker": "D", "linestyle": "-"}
MSP_STYLE: dict[str, Any] = {"color": "0.3", "linestyle": ":", "linewidth": 0.9}
CHOSEN_STYLE: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgecolor": "white"}
SIDES = {1: "Smoothing alpha (0 is CE)", -1: "Negative alpha (0 is CE)"}
LABELLED_ORDERS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 16, 32, 64, 128)
SPLIT_TITLES = {"val": "Validation (p is chosen here)", "test": "Test"}


@styled
def degradation(summary: DataFrame, *, losses: Losses = KINDS, width: float = 7.0) -> tuple[Figure, DataFrame]:
    """AURC, error and risk at 20 % coverage against alpha, before and after normalisation, with 95 % intervals.

    Negative alphas have their own row, so that they do not stretch the axis. The data are rows of `summary`.
    """
    drawn = [losses.baseline, *losses.smoothed]
    data = restricted(summary, losses, loss=drawn, score=LOOKS, metric=SWEPT_METRICS)
    data = data[(data["metric"] != "error") | (data["score"] == BASELINE_SCORE)].reset_index(drop=True)
    title = single_experiment(data, "summary")

    present = {BASELINE_SCORE, *data["score"]}
    sides = [side for side in SIDES if (np.sign(data["alpha"]) == side).any()]
    figure = new_figure(width, 2.7 * (1 + 0.8 * (len(sides) - 1)))
    grid = figure.subplots(len(sides), len(SWEPT_METRICS), squeeze=False)
    for (row, column), axes in np.ndenumerate(grid):
        metric, side = SWEPT_METRICS[column], sides[row]
        look = metric_style(metric)
        for score, style in {BASELINE_SCORE: SHARED_STYLE}.items() if metric == "error" else LOOKS.items():
            line = data[(data["metric"] == metric) & (data["score"] == score)].sort_values("alpha")
            if line.empty and score in present:
                raise ValueError(f"summary must have {metric!r} under {score!r} in {title}")
            line = line[side * line["alpha"] >= 0]
            mean, bars = mean_and_bars(line, look.scale)
            axes.errorbar(line["alpha"], mean, yerr=bars, capsize=2, markersize=4, elinewidth=0.9, **style)
            axes.set_xticks(line["alpha"])
        axes.set(xlabel=SIDES[side], ylabel=look.axis, title="" if row else look.label)
    figure.suptitle(title)
    legend_below(
        figure,
        {
            f"before: {score_label(BASELINE_SCORE)}": BEFORE_STYLE | {"markersize": 4},
            f"after: {score_label(NORMALISED_SCORE)}": AFTER_STYLE | {"markersize": 4},
            "the same before and after": SHARED_STYLE | {"markersize": 4},
        },
        title=BARS_TEXT,
    )
    return figure, data


@styled
def pnorm_sweep(
    sweep: DataFrame, chosen: DataFrame, reference: DataFrame, *, losses: Losses = KINDS, width: float = 7.0
) -> tuple[Figure, DataFrame]:
    """AURC of the largest p-normalised logit minus that of MSP against p, on validation and test.

    A loss that is worse than MSP at every p may exceed the panel.

    Args:
        sweep: split ("val" or "test"), p (inf allowed) and aurc; without rows, for two classes, the figure is a text.
        chosen: p; nan where the score fell back to MSP.
        reference: split and aurc, that of MSP. A split without rows gets no line.

    Returns:
        The figure and its data, which hold the mean AURC of MSP, `msp`, and the number of seeds that chose p, `chosen`.
    """
    require_columns(chosen, [*CELL, "p"], "chosen")
    require_columns(reference, [*CELL, "split", "aurc"], "reference")
    title = single_experiment(chosen, "chosen")
    if sweep.empty:
        return undefined(title, NORMALISED_SCORE, width), sweep
    require_columns(sweep, [*CELL, "split", "p", "aurc"], "sweep")
    by = [*CONFIGURATION, "split"]
    data = sweep.groupby([*by, "p"])["aurc"].agg(mean="mean", std="std", seeds="size").reset_index()
    data = data.merge(reference.groupby(by)["aurc"].mean().rename("msp").reset_index(), on=by, how="left")
    counts = chosen.groupby([*CONFIGURATION, "p"]).size().rename("chosen").reset_index()
    data = data.merge(counts, on=[*CONFIGURATION, "p"], how="left").fillna({"chosen": 0}).astype({"chosen": int})
    data = in_order(data, losses)

    drawn = sweep.merge(reference.rename(columns={"aurc": "msp"}), on=[*CELL, "split"], how="left")
    drawn = in_order(drawn.assign(change=100.0 * (drawn["aurc"] - drawn["msp"])), losses)
    figure = new_figure(width, 3.2)
    orders = np.sort(data["p"].unique())
    places = dict(zip(orders, _places(orders), strict=True))
    drawn["place"], data_place = drawn["p"].map(places), data["p"].map(places)
    styles = line_styles(configurations_of(data, losses), losses)
    splits = [split for split in SPLIT_TITLES if drawn.loc[drawn["split"] == split, "change"].notna().any()]
    for axes, split in zip(figure.subplots(1, len(splits), squeeze=False, sharey=True)[0], splits, strict=True):
        mine = drawn[drawn["split"] == split]
        missing = [key for key in styles if key not in configurations_of(mine, losses)]
        if missing:
            raise ValueError(f"sweep must have {losses.label(*missing[0])} on {split!r}")
        axes.axhline(0.0, **MSP_STYLE)
        seed_lines(axes, mine, "place", "change", losses)
        marked = data.assign(place=data_place)[(data["split"] == split) & (data["chosen"] > 0)]
        for row in marked.to_dict("records"):
            color, change = styles[row["loss"], row["alpha"]]["color"], 100.0 * (row["mean"] - row["msp"])
            axes.plot(row["place"], change, color=color, zorder=4, **CHOSEN_STYLE)
        shown = [order for order in orders if order in LABELLED_ORDERS or np.isinf(order)]
        axes.xaxis.set_major_locator(FixedLocator([places[order] for order in shown]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(["∞" if np.isinf(order) else f"{order:g}" for order in shown])
        axes.set(xlabel="Norm order p", ylabel="", title=SPLIT_TITLES[split])
    means = drawn.groupby([*CONFIGURATION, "split", "p"])["change"].mean()
    lowest, highest = means.min(), means[np.isfinite(means.index.get_level_values("p"))].max()
    reach = max(-lowest, 0.25 * highest)
    figure.axes[0].set_ylim(min(1.2 * lowest, -0.2 * reach), 1.6 * reach)  # curves worse than MSP may exceed the panel
    figure.axes[0].set_ylabel("AURC minus that of MSP\n(points, below 0 is better)")
    figure.suptitle(f"{title}, {score_label(NORMALISED_SCORE)}")
    entries = {losses.label(*key): style for key, style in styles.items()} | {"MSP": MSP_STYLE}
    entries["p of a seed (none: MSP)"] = {"color": "0.3", "linestyle": "", **CHOSEN_STYLE}
    legend_below(figure, entries, title=seeds_text(data["seeds"]), columns=4)
    return figure, data


def _places(orders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions of p on the axis: log2, with 0 and infinity half an octave beyond the others."""
    between = (orders > 0) & np.isfinite(orders)
    places = np.log2(np.where(between, orders, 1.0))
    first, last = (places[between].min(), places[between].max()) if between.any() else (0.0, 0.0)
    return np.select([orders == 0, np.isinf(orders)], [first - 0.5, last + 0.5], places)
