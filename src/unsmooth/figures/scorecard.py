"""Figure of this run against published numbers."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from unsmooth.figures.style import CORRECT_COLOR, WRONG_COLOR, legend_below, new_figure, styled
from unsmooth.registry.metrics import metric_style
from unsmooth.tables.labels import KINDS, Losses, require_columns
from unsmooth.tables.scorecard import OUTSIDE, SCORECARD, model_text, published_text

MODEL = ["experiment", "architecture", "loss", "alpha", "score"]
BLOCKS = (  # metrics that are published together
    ("error", "aurc"),
    ("accuracy", "mean_iou", "ece", "ece_mbls", "adaptive_ece_mbls"),
    ("nll", "classwise_ece_mbls"),
)
AGREES_STYLE: dict[str, Any] = {"color": CORRECT_COLOR, "marker": "o", "markersize": 4}
DIFFERS_STYLE: dict[str, Any] = {"color": WRONG_COLOR, "marker": "s", "markersize": 4}
FROM_EDGE: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
PUBLISHED_STYLE: dict[str, Any] = {"color": "0.3", "linewidth": 0.9}


@styled
def scorecard_figure(
    scorecard: DataFrame, *, losses: Mapping[str, Losses] | None = None, width: float = 7.0
) -> tuple[Figure, DataFrame]:
    """Ours minus every published number, with the noise of one run; nll in nats. The data are rows of `scorecard`.

    Metrics that are published together share a row of panels, with a line per model. Experiments that did not run are
    only in the table. `losses` are those of each experiment, by its name.
    """
    require_columns(scorecard, SCORECARD, "scorecard")
    started = scorecard.loc[scorecard["seeds"] > 0, "experiment"].unique()
    if len(started) == 0:
        raise ValueError("no experiment with published numbers was run: there is nothing to compare")
    scorecard = scorecard[scorecard["experiment"].isin(started)]
    blocks = [
        (metrics, scorecard.loc[scorecard["metric"].isin(metrics), MODEL].drop_duplicates(ignore_index=True))
        for names in BLOCKS
        if (metrics := [name for name in names if name in set(scorecard["metric"])])
    ]
    heights = [0.7 + 0.2 * len(models) for _, models in blocks]
    figure = new_figure(width, 0.7 + sum(heights))
    columns = math.lcm(*(len(metrics) for metrics, _ in blocks))
    grid = figure.add_gridspec(len(blocks), columns, height_ratios=heights)
    for row, (metrics, models) in enumerate(blocks):
        names = [
            f"{model['experiment']}, {model_text(model, (losses or {}).get(model['experiment'], KINDS))}"
            for _, model in models.iterrows()
        ]
        span = columns // len(metrics)
        for place, metric in enumerate(metrics):
            axes = figure.add_subplot(grid[row, place * span : (place + 1) * span])
            _draw(axes, models.merge(scorecard[scorecard["metric"] == metric], on=MODEL, how="left"), metric)
            axes.set_yticks(range(len(models)), [] if place else names)
            axes.set_ylim(len(models) - 0.5, -0.5)
    legend_below(
        figure,
        {
            "published (number on the right)": PUBLISHED_STYLE,
            "here, within noise or without a verdict": AGREES_STYLE,
            "here, outside noise": DIFFERS_STYLE,
        },
        title="difference: here minus published; bars: 95 % prediction interval of one new run",
    )
    return figure, scorecard


def _draw(axes: Axes, rows: DataFrame, metric: str) -> None:
    style = metric_style(metric)
    axes.axvline(0, **PUBLISHED_STYLE)
    for differs, marker in ((False, AGREES_STYLE), (True, DIFFERS_STYLE)):
        mine = rows[(rows["seeds"] > 0) & ((rows["verdict"] == OUTSIDE) == differs)]
        bars = style.scale * np.nan_to_num(mine["noise"].to_numpy(dtype=float))
        axes.errorbar(style.scale * mine["difference"], mine.index, xerr=bars, linestyle="", capsize=2, **marker)
    for place, row in rows.dropna(subset=["published"]).iterrows():
        text = published_text(row) + ("" if row["seeds"] else ", not run")
        axes.annotate(text, (1, place), (-2, 0), va="center", ha="right", fontsize=6.5, color="0.35", **FROM_EDGE)
    widest = np.nanmax([0.1, *(style.scale * (rows["difference"].abs() + rows["noise"].fillna(0)))])
    unit = "points" if style.unit == "%" else style.unit
    axes.set(xlim=(-1.1 * widest, 2.1 * widest), title=" ".join((style.label, style.better)))
    axes.set_xlabel(f"Difference, {unit}")
