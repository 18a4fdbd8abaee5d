"""Plain JSON-ready data of the page."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from unsmooth.tables.layouts import Table
from unsmooth.tables.scorecard import NOT_RUN, scorecard_table

Content = dict[str, Any]
SMALLEST_COVERAGE = 0.01  # below it a curve is noise of a handful of samples
MIN_WINDOW = 10  # samples; as in the printed figure
NOT_COMPARED = "Published numbers without a result of this run."
NOTHING_COMPARED = "No result of this run has a published number beside it."


def plain_table(table: Table) -> Content:
    return {
        "caption": table.caption,
        "columns": [str(name) for name in table.display.columns],
        "rows": table.display.astype(str).to_numpy().tolist(),
        "labels": table.label_columns,
        "notes": list(table.notes),
    }


def scorecard_contents(
    experiments: Mapping[str, Mapping[str, Any]], summary: DataFrame, costs: DataFrame | None = None
) -> list[Content]:
    """Scorecard tables of the experiments that ran, possibly without rows, and of those that did not, if any.

    Arguments are as for `tables.scorecard_table`; the second table has `fold`, its text while closed.
    """
    started = set(summary["experiment"])
    ran, rest = (
        scorecard_table(
            {name: entry for name, entry in experiments.items() if (name in started) is kept}, summary, costs
        )
        for kept in (True, False)
    )
    missing = ran.display.isin([NOT_RUN]).any(axis=1)
    compared = replace(ran, display=ran.display[~missing])
    if compared.display.empty:
        compared = replace(compared, caption=NOTHING_COMPARED)
    remaining = pd.concat([ran.display[missing], rest.display]).fillna("")
    left = replace(rest, caption=NOT_COMPARED, display=remaining)
    if left.display.empty:
        return [plain_table(compared)]
    numbers = counted(int(left.display.isin([NOT_RUN]).any(axis=1).sum()), "number")
    fold = f"Not run: {numbers} of {counted(left.display['Experiment'].nunique(), 'experiment')}"
    return [plain_table(compared), {**plain_table(left), "fold": fold}]


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plain_columns(frame: DataFrame) -> Content:
    """Columns of numbers as lists, rounded to six digits; None for nan."""
    return {
        str(name): [None if np.isnan(value) else float(f"{value:.6g}") for value in values]
        for name, values in frame.items()
    }


def by_score(frame: DataFrame) -> dict[str, Content]:
    """`plain_columns` of the rows of each score."""
    return {str(score): plain_columns(rows.drop(columns="score")) for score, rows in frame.groupby("score", sort=False)}


def plain_curves(curves: DataFrame) -> Content:
    """Risk-coverage curves on their common coverage grid, from `evaluation.curve_frame`."""
    shown = curves[curves["coverage"] >= SMALLEST_COVERAGE].rename(columns={"selective_risk": "risk"})
    coverage = shown.loc[shown["score"] == shown["score"].iloc[0], ["coverage"]]
    return {**plain_columns(coverage), "scores": by_score(shown[["score", "risk", "threshold"]])}


def plain_windows(windows: DataFrame, *, step: int = 1) -> dict[str, Content]:
    """Lines of the largest logit given the largest probability, by outcome, from every `step`-th window."""
    shown = windows[windows["count"] >= MIN_WINDOW]
    shown = shown.assign(standard_error=shown["std"] / np.sqrt(shown["count"]))
    return {
        str(outcome): plain_columns(rows[["probability", "mean", "standard_error"]].iloc[::step])
        for outcome, rows in shown.groupby("outcome")
    }
