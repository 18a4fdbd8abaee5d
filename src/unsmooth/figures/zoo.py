"""Accuracy against selective classification of published models."""

from collections.abc import Hashable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from unsmooth.figures.style import legend_below, line_styles, new_figure, styled
from unsmooth.registry.metrics import metric_style
from unsmooth.tables.labels import CONFIGURATION, KINDS, Losses, configurations_of
from unsmooth.tables.titles import experiment_title
from unsmooth.tables.zoo import zoo_gains


@styled
def zoo(
    summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS, width: float = 7.0
) -> tuple[Figure, DataFrame]:
    """AURC and failure AUROC against accuracy, with an arrow from MSP to the p-norm for each model.

    The data are the `zoo_gains`, with the number of each model.
    """
    gains = zoo_gains(summary, differences)
    models = gains[CONFIGURATION].drop_duplicates(ignore_index=True)
    data = gains.merge(models.assign(number=models.index + 1), on=CONFIGURATION)
    styles = {
        key: {"color": style["color"]} for key, style in line_styles(configurations_of(gains, losses), losses).items()
    }
    figure = new_figure(width, 3.6)
    panels = figure.subplots(1, data["metric"].nunique(), squeeze=False)[0]
    for axes, (metric, rows) in zip(panels, data.groupby("metric"), strict=True):
        look = metric_style(str(metric))
        for row in rows.to_dict("records"):
            _arrow(axes, row, look.scale, styles[row["loss"], row["alpha"]])
        axes.set(xlabel="Accuracy (%)", ylabel=look.axis, title=look.label)
        axes.margins(0.08)
    names = [f"{number} {name}" for number, name in enumerate(models["architecture"], start=1)]
    panels[-1].text(1.04, 1.0, "\n".join(names), transform=panels[-1].transAxes, va="top", fontsize=6.0)
    looks = {losses.label(*key): style for key, style in styles.items()}
    looks |= {"MSP": {"color": "0.4", "markerfacecolor": "white"}, "p-norm": {"color": "0.4"}}
    legend_below(figure, {name: {"marker": "o", "linestyle": "", **look} for name, look in looks.items()}, columns=6)
    figure.suptitle(experiment_title(gains["experiment"].iloc[0]))
    return figure, data


def _arrow(axes: Axes, row: Mapping[Hashable, Any], scale: float, style: dict[str, Any]) -> None:
    x, before, after = 100.0 * row["accuracy"], scale * row["before"], scale * row["after"]
    arrow = {"arrowstyle": "->", "linewidth": 0.9, "shrinkA": 2, "shrinkB": 2} | style
    axes.annotate("", (x, after), (x, before), arrowprops=arrow)
    axes.plot(x, before, marker="o", markersize=4, markerfacecolor="white", **style)
    axes.plot(x, after, marker="o", markersize=4, **style)
    axes.annotate(str(row["number"]), (x, before), (4, 0), textcoords="offset points", va="center", fontsize=6.0)
