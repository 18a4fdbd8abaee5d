"""Sentences about what the numbers show, and only that."""

from typing import NamedTuple

import numpy as np
from pandas import DataFrame, Series

from unsmooth.tables.labels import (
    BASELINE_LOSS,
    BASELINE_SCORE,
    in_order,
    loss_label,
    require_columns,
    score_label,
)
from unsmooth.tables.summary import DIFFERENCES, SUMMARY

_METRIC_WORDS = {"error": "error", "aurc": "AURC", "risk_at_coverage_20": "risk at 20 % coverage"}
_VERBS = {1: "rises", -1: "falls", 0: "does not measurably change"}


class Finding(NamedTuple):
    """One sentence, and what it is about.

    Attributes:
        comparison: "loss" (a loss against CE), "score" (a repair against MSP), "repair" (both against CE under MSP) or
            "growth" (of smoothing, step by step).
        configuration: loss and alpha that are compared; None for "growth".
        score: by which they are ranked.
    """

    experiment: str
    architecture: str
    comparison: str
    configuration: tuple[str, float] | None
    score: str
    text: str


def findings(summary: DataFrame, differences: DataFrame) -> list[str]:
    """The texts of `compared_findings`, each with its experiment and architecture before it.

    Args:
        summary: from `summarise`.
        differences: from `paired_differences`.

    Raises:
        ValueError: on missing columns or no rows.
    """
    found = compared_findings(summary, differences)
    return [f"{finding.experiment}, {finding.architecture}: {finding.text}" for finding in found]


def compared_findings(summary: DataFrame, differences: DataFrame) -> list[Finding]:
    """Sentences on error, AURC and risk at 20 % coverage: each loss against CE, each repair against MSP, and both.

    A rise or fall is named only where its 95 % paired bootstrap interval excludes 0; without an interval none is.

    Args:
        summary: from `summarise`.
        differences: from `paired_differences`.

    Returns:
        One sentence a comparison, in the order experiment, architecture, kind of comparison, loss, alpha. Values in
        percent, differences in percentage points.

    Raises:
        ValueError: on missing columns or no rows.
    """
    require_columns(summary, SUMMARY, "summary")
    require_columns(differences, DIFFERENCES, "differences")
    kept = differences["metric"].isin(_METRIC_WORDS) & np.isfinite(differences["difference"])
    # A score does not change the prediction, and losses under the other scores are in the tables.
    against_ce = (differences["comparison"] == "loss") & (differences["score"] == BASELINE_SCORE)
    kept &= against_ce | ((differences["comparison"] != "loss") & (differences["metric"] != "error"))
    found, by = [], ["comparison", "loss", "alpha", "score"]
    for place, rows in in_order(differences[kept]).groupby(["experiment", "architecture"], sort=False):
        experiment, architecture = map(str, place)
        for _, group in rows.groupby(by, sort=False):
            comparison, loss, alpha, score = group[by].iloc[0]
            found.append(Finding(experiment, architecture, comparison, (loss, alpha), score, _sentence(group)))
        mine = summary[(summary["experiment"] == experiment) & (summary["architecture"] == architecture)]
        found += [Finding(experiment, architecture, "growth", None, BASELINE_SCORE, text) for text in _growth(mine)]
    return found


def _sentence(rows: DataFrame) -> str:
    first = rows.iloc[0]
    name, score = loss_label(first["loss"], first["alpha"]), score_label(first["score"])
    subject = {
        "loss": f"{name} instead of CE, ranked by {score}",
        "score": f"{name} ranked by {score} instead of MSP",
        "repair": f"{name} ranked by {score} instead of CE ranked by MSP",
    }[first["comparison"]]
    seeds = "1 seed" if first["seeds"] == 1 else f"{first['seeds']} seeds"
    return f"{subject} ({seeds}): {'; '.join(_clause(row) for _, row in rows.iterrows())}."


def _clause(row: Series) -> str:
    verb = _VERBS[row["sign"]]
    if row["sign"] > 0 and row["value"] >= 2.0 * row["baseline"] > 0.0:
        verb += f" {row['value'] / row['baseline']:.1f}-fold"
    interval = "no interval"
    if np.isfinite(row["low"]):
        interval = f"95 % interval {100 * row['low']:+.2f} to {100 * row['high']:+.2f}"
    change = f"{100 * row['baseline']:.2f} to {100 * row['value']:.2f} %, {100 * row['difference']:+.2f} points"
    return f"{_METRIC_WORDS[row['metric']]} {verb} ({change}, {interval})"


def _growth(summary: DataFrame) -> list[str]:
    """Whether MSP AURC grows with every step of the smoothing, from CE at alpha 0."""
    rows = summary[(summary["score"] == BASELINE_SCORE) & (summary["metric"] == "aurc")]
    values = rows[rows["loss"].isin([BASELINE_LOSS, "ls"])].set_index("alpha")["mean"].sort_index()
    if len(values) < 3 or not (np.diff(values) > 0.0).all():
        return []
    listed = ", ".join(f"{100 * value:.2f} % at {alpha:g}" for alpha, value in values.items())
    return [f"mean AURC under MSP grows with every step of alpha (means; the steps are not tested): {listed}."]
