"""Risk-coverage curves."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from unsmooth.figures.style import (
    MANY_SEEDS,
    legend_below,
    line_styles,
    means_of,
    new_figure,
    seed_lines,
    seeds_text,
    styled,
    undefined,
)
from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE, score_label
from unsmooth.tables.labels import CELL, CONFIGURATION, KINDS, Losses, configurations_of, in_order, require_columns
from unsmooth.tables.summary import SUMMARY
from unsmooth.tables.titles import single_experiment

COMPARED = (BASELINE_SCORE, NORMALISED_SCORE)  # their curves also set the axis limits, so that figures are comparable
LEAST_COVERAGE = 0.01  # below it a curve is noise of a handful of samples
WIDE_RANGE = 20.0  # ratio of risks at low coverage above which their axis is logarithmic
BANDS: dict[str, tuple[str | tuple[str, float], str]] = {
    "std": ("sd", "± 1 std"),
    "minmax": (("pi", 100), "min to max"),
}


@styled
def risk_coverage(
    curves: DataFrame,
    summary: DataFrame,
    *,
    score: str = BASELINE_SCORE,
    zoom_coverage: float = 0.6,
    band: Literal["std", "minmax"] = "std",
    losses: Losses = KINDS,
    width: float = 7.0,
) -> tuple[Figure, DataFrame]:
    """Selective risk against coverage, a line per loss and alpha, over the full range and at low coverage.

    A wide range of risks at low coverage gets a logarithmic axis. If the p-norm is undefined, as for two classes, the
    figure is a text.

    Args:
        curves: score, coverage and selective_risk, with the same coverage grid in all cells.
        summary: for the error and AURC in the legend.
        score: score whose curves are drawn.
        zoom_coverage: largest coverage of the second panel, in (0, 1].
        band: "std" for +-1 standard deviation, "minmax" for the range over seeds; fewer than three are drawn as lines.
    """
    require_columns(curves, [*CELL, "score", "coverage", "selective_risk"], "curves")
    require_columns(summary, SUMMARY, "summary")
    if not 0.0 < zoom_coverage <= 1.0:
        raise ValueError(f"zoom_coverage must be in (0, 1], got {zoom_coverage}")
    title = single_experiment(curves, "curves")
    shown = in_order(curves[curves["score"].isin([score, *COMPARED])], losses)
    limiting = _over_seeds(shown, losses)
    data = limiting[limiting["score"] == score].reset_index(drop=True)
    if data.empty and score == NORMALISED_SCORE:
        return undefined(title, score, width), data
    require_columns(data, ["mean"], f"curves restricted to the score {score!r}")
    kind, spread = BANDS[band]
    limiting = limiting[limiting["coverage"] >= LEAST_COVERAGE]
    drawn = shown[(shown["score"] == score) & (shown["coverage"] >= LEAST_COVERAGE)]
    drawn = drawn.assign(coverage=100.0 * drawn["coverage"], selective_risk=100.0 * drawn["selective_risk"])

    figure = new_figure(width, 3.4)
    full, zoom = figure.subplots(1, 2)
    for axes in (full, zoom):
        seed_lines(axes, drawn, "coverage", "selective_risk", losses, band=kind)
        axes.set(xlabel="Coverage (%)", ylabel="")
    full.set_ylabel("Selective risk (%, lower is better)")
    full.set(xlim=(0.0, 100.0), ylim=(0.0, _highest(limiting, band)), title="Full range")
    zoom.set(xlim=(0.0, 100.0 * zoom_coverage), title=f"Coverage below {100 * zoom_coverage:.0f} %")
    _scale_risk(zoom, limiting[limiting["coverage"] <= zoom_coverage], band)
    figure.suptitle(f"{title}, ranked by {score_label(score)}")
    entries, of_score = {}, summary[summary["score"] == score]
    for key, style in line_styles(configurations_of(data, losses), losses).items():
        error, area = means_of(of_score, key, "metric", ("error", "aurc"), losses, f"under {score!r} in {title}")
        entries[f"{losses.label(*key)} ({100 * error:.1f}, {100 * area:.2f})"] = style
    text = f"loss, alpha (error %, AURC %; both lower is better); {seeds_text(data['seeds'], spread)}"
    legend_below(figure, entries, title=text, columns=4)
    return figure, data


def _over_seeds(curves: DataFrame, losses: Losses) -> DataFrame:
    """Mean, standard deviation, extremes and number of seeds of the risk at every coverage."""
    for score, rows in curves.groupby("score"):
        if len(rows) != rows["coverage"].nunique() * len(rows[CELL].drop_duplicates()):
            raise ValueError(f"curves must have the same coverage grid in every cell, {score!r} has several")
    groups = curves.groupby([*CONFIGURATION, "score", "coverage"])["selective_risk"]
    data = groups.agg(mean="mean", std="std", min="min", max="max", seeds="size").reset_index()
    return in_order(data, losses)


def _highest(data: DataFrame, band: Literal["std", "minmax"]) -> float:
    """Upper axis limit in percent for all curves of `data`; 1 for none, and for curves without risk."""
    extremes = data["max"] if band == "minmax" or data["seeds"].min() < MANY_SEEDS else data["mean"] + data["std"]
    highest = float(np.fmax(extremes, data["mean"]).max())
    return 105.0 * highest if highest > 0 else 1.0


def _scale_risk(axes: Axes, data: DataFrame, band: Literal["std", "minmax"]) -> None:
    """Limit the axis to the curves; logarithmic if their positive means span a wide range."""
    highest = _highest(data, band)
    positive = 100.0 * data["mean"][data["mean"] > 0]
    if positive.empty or positive.max() < WIDE_RANGE * positive.min():
        axes.set_ylim(0.0, highest)
        return
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(ylim=(positive.min() / 1.5, 1.5 * highest), ylabel="Logarithmic scale (%)")
