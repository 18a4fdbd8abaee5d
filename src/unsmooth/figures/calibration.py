"""Reliability diagrams, and logit distances of each loss."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from pandas import DataFrame

from unsmooth.figures.style import (
    AFTER_STYLE,
    BARS_TEXT,
    BEFORE_STYLE,
    legend_below,
    mean_and_bars,
    means_of,
    new_figure,
    styled,
)
from unsmooth.registry.metrics import LOGIT_DISTANCES, metric_style
from unsmooth.registry.scores import BASELINE_SCORE, NLL_TEMPERATURE
from unsmooth.tables.labels import CELL, CONFIGURATION, KINDS, Losses, configurations_of, in_order, require_columns
from unsmooth.tables.summary import SUMMARY, restricted
from unsmooth.tables.titles import single_experiment

STYLES = {
    BASELINE_SCORE: BEFORE_STYLE | {"markersize": 2.5, "linewidth": 0.9},
    NLL_TEMPERATURE: AFTER_STYLE | {"markersize": 2.5, "linewidth": 0.9},
}
LABELS = {BASELINE_SCORE: "before", NLL_TEMPERATURE: "after the temperature that minimises NLL on validation"}
DIAGONAL_STYLE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": ":"}
MAX_COLUMNS = 5
WIDE_RANGE = 5.0  # ratio of distances above which their axis is logarithmic
FEWEST = 20  # fewest samples of a drawn bin: the accuracy of fewer is noise


@styled
def reliability(
    diagrams: DataFrame, summary: DataFrame, *, losses: Losses = KINDS, width: float = 7.0
) -> tuple[Figure, DataFrame]:
    """Reliability diagrams above confidence histograms, before and after temperature, a panel per loss and alpha.

    Samples of all seeds are pooled. `diagrams` has score, bin, low, high, count, confidence and accuracy, with the same
    bins in all cells; the ECE in the titles is from `summary`. The data also have the share of samples in each bin.
    """
    require_columns(diagrams, [*CELL, "score", "bin", "low", "high", "count", "confidence", "accuracy"], "diagrams")
    require_columns(summary, SUMMARY, "summary")
    title = single_experiment(diagrams, "diagrams")
    data = _pooled(diagrams[diagrams["score"].isin(STYLES)], losses)
    require_columns(data, ["count"], f"diagrams restricted to {list(STYLES)}")

    configurations = configurations_of(data, losses)
    rows = -(-len(configurations) // MAX_COLUMNS)
    columns = -(-len(configurations) // rows)
    figure = new_figure(width, 0.9 + 2.2 * rows)
    grid = figure.subplots(2 * rows, columns, sharex=True, sharey="row", squeeze=False, height_ratios=[5, 2] * rows)
    highest = 100.0 * data["share"].max()
    for place, (loss, alpha) in enumerate(configurations):
        row, column = divmod(place, columns)
        diagram, histogram = grid[2 * row, column], grid[2 * row + 1, column]
        mine = data[(data["loss"] == loss) & (data["alpha"] == alpha)]
        diagram.plot([0, 100], [0, 100], **DIAGONAL_STYLE)
        for score, style in STYLES.items():
            _draw(diagram, histogram, mine[mine["score"] == score], style)
        ece = means_of(summary[summary["metric"] == "ece"], (loss, alpha), "score", STYLES, losses, "for the ECE")
        changes = " → ".join(f"{100 * value:.1f}" for value in ece)
        diagram.set(ylim=(0, 100), title=f"{losses.label(loss, alpha)}\nECE {changes} %")
        histogram.set(xlim=(0, 100), ylim=(0, 1.05 * highest))
        if column == 0:
            diagram.set_ylabel("Accuracy (%)")
            histogram.set_ylabel("Share (%)")
        if place + columns >= len(configurations):
            histogram.set_xlabel("Confidence (%)")
            histogram.tick_params(labelbottom=True)
    for axes in grid.reshape(rows, 2, columns).transpose(0, 2, 1).reshape(-1, 2)[len(configurations) :].flat:
        axes.remove()
    figure.suptitle(title)
    legend_below(
        figure,
        {LABELS[score]: style for score, style in STYLES.items()} | {"calibrated": DIAGONAL_STYLE},
        title=f"bins of at least {FEWEST} samples, all seeds together; below the diagonal: overconfident",
    )
    return figure, data


@styled
def logit_distances(summary: DataFrame, *, losses: Losses = KINDS, width: float = 7.0) -> tuple[Figure, DataFrame]:
    """Mean and largest distance of the top logit to the others and its margin, a row per loss and alpha.

    Before and after the temperature that minimises NLL, with 95 % bootstrap intervals. The data are rows of `summary`.
    """
    data = restricted(summary, losses, metric=LOGIT_DISTANCES, score=STYLES)
    title = single_experiment(data, "summary")
    configurations = configurations_of(data, losses)
    places = {configuration: place for place, configuration in enumerate(configurations)}
    figure = new_figure(width, 1.35 + 0.19 * len(configurations))
    sizes = {BASELINE_SCORE: 5.0, NLL_TEMPERATURE: 3.0}  # both are visible where they coincide
    looks = {score: style | {"linestyle": "", "markersize": sizes[score]} for score, style in STYLES.items()}
    for axes, metric in zip(figure.subplots(1, len(LOGIT_DISTANCES), sharey=True), LOGIT_DISTANCES, strict=True):
        for score, style in looks.items():
            rows = data[(data["metric"] == metric) & (data["score"] == score)]
            mean, bars = mean_and_bars(rows)
            heights = [places[key] for key in zip(rows["loss"], rows["alpha"], strict=True)]
            axes.errorbar(mean, heights, xerr=bars, capsize=2, elinewidth=0.9, **style)
        _connect(axes, data[data["metric"] == metric], configurations, losses)
        axes.set(title=metric_style(metric).label, xlabel="Units of the logits")
        axes.set_ylim(len(configurations) - 0.5, -0.5)
        axes.set_yticks(range(len(configurations)), [losses.label(*configuration) for configuration in configurations])
    figure.axes[0].set_ylabel("Loss, strength")
    figure.suptitle(title)
    legend_below(
        figure,
        {LABELS[score]: style for score, style in looks.items()} | {"CE before": DIAGONAL_STYLE},
        title=BARS_TEXT,
    )
    return figure, data


def _connect(axes: Axes, rows: DataFrame, configurations: list[tuple[str, float]], losses: Losses) -> None:
    """Draw arrows from distances before to after the temperature, and CE before it as a reference line."""
    means = rows.pivot_table(index=["loss", "alpha"], columns="score", values="mean").reindex(configurations)
    values = means[list(STYLES)].to_numpy(dtype=np.float64)
    for place, (before, after) in enumerate(values):
        axes.annotate("", (after, place), (before, place), arrowprops={"arrowstyle": "->", "color": "0.6"})
    if configurations[0][0] == losses.baseline:
        axes.axvline(values[0, 0], **DIAGONAL_STYLE)
    if np.nanmax(values) < WIDE_RANGE * np.nanmin(values):
        axes.set_xlim(0, None)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _pooled(diagrams: DataFrame, losses: Losses) -> DataFrame:
    by, means = [*CONFIGURATION, "score"], ["confidence", "accuracy"]
    sums = diagrams.assign(**{name: diagrams[name] * diagrams["count"] for name in means})
    pooled = sums.groupby([*by, "low", "high"])[["count", *means]].sum().reset_index()
    pooled[means] = pooled[means].div(pooled["count"].where(pooled["count"] > 0), axis=0)
    return in_order(pooled.assign(share=pooled["count"] / pooled.groupby(by)["count"].transform("sum")), losses)


def _draw(diagram: Axes, histogram: Axes, bins: DataFrame, style: dict[str, Any]) -> None:
    drawn = bins[bins["count"] >= FEWEST]
    diagram.plot(100.0 * drawn["confidence"], 100.0 * drawn["accuracy"], **style)
    edges = [*(100.0 * bins["low"]), 100.0 * bins["high"].iloc[-1]]
    histogram.stairs(100.0 * bins["share"], edges, color=style["color"], linestyle=style["linestyle"], linewidth=0.9)
