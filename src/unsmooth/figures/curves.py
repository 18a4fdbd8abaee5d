"""Risk-coverage curves."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from pandas import DataFrame

from unsmooth.figures.style import (
    UNDEFINED,
    configurations_of,
    explanation,
    legend_below,
    line_styles,
    new_figure,
    single_experiment,
    styled,
)
from unsmooth.tables.labels import CELL, CONFIGURATION, KINDS, Losses, in_order, require_columns, score_label
from unsmooth.tables.summary import SUMMARY


@styled
def risk_coverage(
    curves: DataFrame,
    summary: DataFrame,
    *,
    score: str = "msp",
    compared_with: Sequence[str] = ("msp", "max_logit_pnorm"),
    zoom_coverage: float = 0.6,
    min_coverage: float = 0.01,
    band: Literal["std", "minmax"] = "std",
    losses: Losses = KINDS,
    width: float = 7.0,
    height: float = 3.4,
) -> tuple[Figure, DataFrame]:
    """Selective risk against coverage, one line a loss and alpha, over the full range and at low coverage.

    Lines are means over seeds at equal coverage; bands are one standard deviation or the extremes over seeds.

    Args:
        curves: one row a cell, score and coverage: experiment, architecture, loss, alpha, seed, score, coverage,
            selective_risk (fractions). The coverage grid must be the same in all cells.
        summary: from `tables.summarise`, for the error and AURC in the legend.
        score: score whose curves are drawn.
        compared_with: scores whose curves also set the axis limits, so that their figures can stand side by side.
        zoom_coverage: largest coverage of the second panel, in (0, 1].
        min_coverage: smallest coverage drawn, in [0, 1): below it a curve is the luck of a handful of samples.
        band: "std" for +-1 standard deviation, "minmax" for the range over seeds; none with one seed.
        losses: those of the experiment.
        width: inches.
        height: inches.

    Returns:
        The figure, in percent (words where there is no p-norm, as for two classes), and its data: experiment,
        architecture, loss, alpha, score, coverage, mean, std, min,
        max, seeds (fractions; risk, lower is better).

    Raises:
        ValueError: on missing columns or scores, several experiments, or coverage grids that differ.
    """
    require_columns(curves, [*CELL, "score", "coverage", "selective_risk"], "curves")
    require_columns(summary, SUMMARY, "summary")
    if not 0.0 < zoom_coverage <= 1.0:
        raise ValueError(f"zoom_coverage must be in (0, 1], got {zoom_coverage}")
    title = single_experiment(curves, "curves")
    limiting = _over_seeds(curves[curves["score"].isin([score, *compared_with])], losses)
    data = limiting[limiting["score"] == score].reset_index(drop=True)
    if data.empty and score == "max_logit_pnorm":
        return explanation(f"{title}, {score_label(score)}", UNDEFINED.format(score_label(score)), width), data
    require_columns(data, ["mean"], f"curves restricted to the score {score!r}")
    lower, upper = _band(limiting, band)
    limiting = limiting.assign(upper=np.fmax(upper, limiting["mean"]))
    limiting = limiting[limiting["coverage"] >= min_coverage]
    full_limit = 105.0 * limiting["upper"].max()
    zoom_limit = 105.0 * limiting.loc[limiting["coverage"] <= zoom_coverage, "upper"].max()

    figure = new_figure(width, height)
    full, zoom = figure.subplots(1, 2)
    styles = line_styles(configurations_of(data, losses), losses)
    drawn = data[data["coverage"] >= min_coverage]
    for axes in (full, zoom):
        for (loss, alpha), style in styles.items():
            _draw(axes, drawn[(drawn["loss"] == loss) & (drawn["alpha"] == alpha)], band, style)
        axes.set_xlabel("Coverage (%)")
    full.set_ylabel("Selective risk (%, lower is better)")
    full.set(xlim=(0.0, 100.0), ylim=(0.0, full_limit or 1.0), title="Full range")
    zoom.set(xlim=(0.0, 100.0 * zoom_coverage), ylim=(0.0, zoom_limit or 1.0))
    zoom.set_title(f"Coverage below {100 * zoom_coverage:.0f} %")
    full.add_patch(
        Rectangle((0, 0), 100 * zoom_coverage, zoom_limit, fill=False, linestyle=":", linewidth=0.8, color="0.4")
    )
    seeds = int(data["seeds"].min())
    spread = {"std": "± 1 std", "minmax": "min to max"}[band]
    figure.suptitle(f"{title}, {score_label(score)}")
    legend_below(
        figure,
        {_legend_text(summary, title, *key, score, losses): style for key, style in styles.items()},
        title="loss, alpha (error %, AURC %; both lower is better)"
        + (f"; band: {spread} over {seeds} seeds" if seeds > 1 else ""),
        columns=4,
    )
    return figure, data


def _over_seeds(curves: DataFrame, losses: Losses) -> DataFrame:
    """Mean, standard deviation, extremes and number of seeds of the risk at every coverage."""
    for score, rows in curves.groupby("score"):
        if len(rows) != rows["coverage"].nunique() * len(rows[CELL].drop_duplicates()):
            raise ValueError(f"curves must have the same coverage grid in every cell, {score!r} has several")
    groups = curves.groupby([*CONFIGURATION, "score", "coverage"])["selective_risk"]
    data = groups.agg(["mean", "std", "min", "max", "size"]).reset_index().rename(columns={"size": "seeds"})
    return in_order(data, losses)


def _band(data: DataFrame, band: Literal["std", "minmax"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if band == "minmax":
        return data["min"].to_numpy(), data["max"].to_numpy()
    return np.maximum((data["mean"] - data["std"]).to_numpy(), 0.0), (data["mean"] + data["std"]).to_numpy()


def _draw(axes: Axes, line: DataFrame, band: Literal["std", "minmax"], style: dict[str, Any]) -> None:
    coverage = 100.0 * line["coverage"].to_numpy()
    axes.plot(coverage, 100.0 * line["mean"].to_numpy(), **style)
    if line["seeds"].min() > 1:
        lower, upper = _band(line, band)
        axes.fill_between(coverage, 100.0 * lower, 100.0 * upper, color=style["color"], alpha=0.18, linewidth=0)


def _legend_text(summary: DataFrame, title: str, loss: str, alpha: float, score: str, losses: Losses) -> str:
    place = summary["experiment"] + ", " + summary["architecture"] == title
    rows = summary[place & (summary["loss"] == loss) & (summary["alpha"] == alpha) & (summary["score"] == score)]
    means = rows.set_index("metric")["mean"]
    missing = [metric for metric in ("error", "aurc") if metric not in means]
    if missing:
        raise ValueError(f"summary must have {missing} of {losses.label(loss, alpha)} under {score!r} in {title}")
    return f"{losses.label(loss, alpha)} ({100 * means['error']:.1f}, {100 * means['aurc']:.2f})"
