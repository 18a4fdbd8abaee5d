"""Published numbers beside this run's, as a picture."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from unsmooth.figures.style import CORRECT_COLOR, WRONG_COLOR, legend_below, new_figure, styled
from unsmooth.tables.labels import BASELINE_SCORE, loss_label, require_columns, score_label
from unsmooth.tables.scorecard import METRICS, OUTSIDE, SCORECARD

AGREES_STYLE: dict[str, Any] = {"color": CORRECT_COLOR, "marker": "o", "markersize": 4}
DIFFERS_STYLE: dict[str, Any] = {"color": WRONG_COLOR, "marker": "s", "markersize": 4}
FROM_EDGE: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
PUBLISHED_STYLE: dict[str, Any] = {"color": "0.3", "linewidth": 0.9}


@styled
def scorecard_figure(scorecard: DataFrame, *, width: float = 7.0) -> tuple[Figure, DataFrame]:
    """Error and AURC of every published model: ours minus the published number, with the noise of one run.

    Args:
        scorecard: from `tables.scorecard`.
        width: inches; the height follows from the number of rows.

    Returns:
        The figure, in percent, and its data: `scorecard`, fractions.

    Raises:
        ValueError: on missing columns or no rows.
    """
    require_columns(scorecard, SCORECARD, "scorecard")
    keys = ["experiment", "architecture", "loss", "alpha", "score"]
    models = scorecard[keys].drop_duplicates().reset_index(drop=True)
    names = [_name(row) for _, row in models.iterrows()]
    figure = new_figure(width, 1.1 + 0.2 * len(models))
    panels = figure.subplots(1, len(METRICS), sharey=True, squeeze=False)[0]
    for axes, (metric, (_, title, decimals)) in zip(panels, METRICS.items(), strict=True):
        rows = models.merge(scorecard[scorecard["metric"] == metric], on=keys, how="left")
        axes.axvline(0, **PUBLISHED_STYLE)
        for differs, style in ((False, AGREES_STYLE), (True, DIFFERS_STYLE)):
            mine = rows[(rows["seeds"] > 0) & ((rows["verdict"] == OUTSIDE) == differs)]
            bars = 100 * np.nan_to_num(mine["noise"].to_numpy(dtype=float))
            axes.errorbar(100 * mine["difference"], mine.index, xerr=bars, linestyle="", capsize=2, **style)
        for place, published, seeds in zip(rows.index, rows["published"], rows["seeds"], strict=True):
            text = f"{100 * published:.{decimals}f}" + ("" if seeds else ", not run")
            axes.annotate(text, (1, place), (-2, 0), va="center", ha="right", fontsize=6.5, color="0.35", **FROM_EDGE)
        widest = np.nanmax([0.1, *(100 * (rows["difference"].abs() + rows["noise"].fillna(0)))])
        axes.set(xlim=(-1.1 * widest, 2.1 * widest), ylim=(len(models) - 0.5, -0.5), title=title)
        axes.set_xlabel("Here minus published, points")
        axes.set_yticks(range(len(models)), names)
    legend_below(
        figure,
        {
            "published (number on the right, %)": PUBLISHED_STYLE,
            "here, within noise or one seed": AGREES_STYLE,
            "here, outside noise": DIFFERS_STYLE,
        },
        title="bars: where 95 % of single further runs are expected; lower is better",
    )
    return figure, scorecard


def _name(row: Series) -> str:
    label = f"{row['experiment']}, {loss_label(row['loss'], row['alpha'])}"
    return label if row["score"] == BASELINE_SCORE else f"{label}, {score_label(row['score'])}"
