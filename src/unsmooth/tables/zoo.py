"""Gains of normalisation for published models.

Strong classifiers can be poor at selective classification, and normalisation improves those that are (Galil et al.,
ICLR 2023; Cattelan & Silva, UAI 2024).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from unsmooth.registry.metrics import metric_style
from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE
from unsmooth.tables.labels import CONFIGURATION, DASH, KINDS, Losses, require_columns
from unsmooth.tables.layouts import Table, plus_minus
from unsmooth.tables.summary import DIFFERENCES, SUMMARY

METRICS = ("aurc", "failure_auroc")
GAINS = [*CONFIGURATION, "accuracy", "metric", "before", "after", "difference", "low", "high", "sign"]


def zoo_gains(summary: DataFrame, differences: DataFrame) -> DataFrame:
    """Return AURC and failure AUROC of every model under MSP and under the p-norm, and their paired difference.

    Columns `GAINS`, fractions, the least accurate model first; `sign` is 0 where the 95 % interval contains 0.
    """
    require_columns(summary, SUMMARY, "summary")
    require_columns(differences, DIFFERENCES, "differences")
    kept = (differences["comparison"] == "score") & (differences["score"] == NORMALISED_SCORE)
    gains = differences[kept & differences["metric"].isin(METRICS)].rename(
        columns={"baseline": "before", "value": "after"}
    )
    require_columns(gains, ["before", "after"], f"differences between {BASELINE_SCORE} and {NORMALISED_SCORE}")
    errors = summary[(summary["metric"] == "error") & (summary["score"] == BASELINE_SCORE)]
    accuracy = errors.assign(accuracy=1.0 - errors["mean"])[[*CONFIGURATION, "accuracy"]]
    gains = gains.merge(accuracy, on=CONFIGURATION, validate="many_to_one")
    return gains.sort_values(["accuracy", *CONFIGURATION, "metric"], ignore_index=True)[GAINS]


def zoo_table(summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS) -> Table:
    """AURC and failure AUROC of every model before and after normalisation, and the difference with its interval."""
    gains, texts = zoo_gains(summary, differences), []
    for _, group in gains.groupby(CONFIGURATION, sort=False):
        rows: list[dict[str, Any]] = group.to_dict("records")  # type: ignore[assignment]
        text = {"Model": rows[0]["architecture"], "Trained with": losses.label(rows[0]["loss"], rows[0]["alpha"])}
        text["Accuracy % ↑"] = plus_minus(100.0 * rows[0]["accuracy"])
        for row in rows:
            style = metric_style(row["metric"])
            text[f"{style.label} MSP"] = plus_minus(100.0 * row["before"])
            text[f"{style.label} p-norm"] = plus_minus(100.0 * row["after"])
            text[f"{style.label} change {style.better}"] = _gain(row)
        texts.append(text)
    numbers = ["accuracy", "before", "after", "difference", "low", "high"]
    data = gains.assign(**{f"{name}_pct": 100.0 * gains[name] for name in numbers}).drop(columns=numbers)
    return Table(
        "Selective classification of each model under MSP and after normalisation with the p of its validation split, "
        "in percent; change in points, with its 95 % paired bootstrap interval.",
        data,
        pd.DataFrame(texts),
        2,
    )


def _gain(row: Mapping[str, float]) -> str:
    if not np.isfinite(row["difference"]):
        return DASH
    difference, low, high = (f"{100.0 * row[name]:+.2f}" for name in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})" if np.isfinite(row["low"]) else difference
