"""Calibration and logit distances of every loss, before and after a temperature fitted by likelihood."""

from typing import Any

import numpy as np
from pandas import DataFrame

from unsmooth.tables.labels import (
    BASELINE_SCORE,
    CALIBRATED_SCORE,
    CALIBRATION_METRICS,
    CONFIGURATION,
    KINDS,
    LOGIT_DISTANCES,
    Losses,
    metric_style,
)
from unsmooth.tables.layouts import STATISTICS, Table, headings, plus_minus
from unsmooth.tables.summary import restricted

STAGES = {"before": BASELINE_SCORE, "after": CALIBRATED_SCORE}
SHOWN_METRICS = ("accuracy", "nll", "ece", "adaptive_ece", "classwise_ece", *LOGIT_DISTANCES)
CHANGED = {"nll", "ece", "adaptive_ece", "classwise_ece"}  # changed by a temperature beyond scale


def calibration_table(summary: DataFrame, *, losses: Losses = KINDS) -> Table:
    """Accuracy, NLL and calibration errors of every loss and alpha before and after temperature; logit distances.

    Returns:
        `data` has `<metric>[_pct]_before` and `_after` with `_std`, `_low`, `_high`, for these metrics, the MbLS
        variants and the distances; `display` has "before → after", each "mean ± std", and distances only before: a
        temperature divides them. Percent or nats, by metric.
    """
    metrics = dict.fromkeys([*SHOWN_METRICS, *CALIBRATION_METRICS])  # in this order
    rows = restricted(summary, losses, score=STAGES.values(), metric=metrics)
    records, texts = [], []
    for configuration, group in rows.groupby(CONFIGURATION, sort=False):
        values = group.set_index(["score", "metric"])[[*STATISTICS]].to_dict("index")
        record: dict[str, Any] = dict(zip(CONFIGURATION, configuration, strict=True))
        record["seeds"] = int(group["seeds"].min())
        text = headings(group.iloc[0], rows, losses)
        for metric in metrics:
            style = metric_style(metric)
            column = f"{metric}_pct" if style.unit == "%" else metric
            means = {}
            for stage, score in STAGES.items():
                found = values.get((score, metric), {})
                scaled = {name: style.scale * found.get(name, np.nan) for name in STATISTICS}
                record |= {f"{column}_{stage}{suffix}": scaled[name] for name, suffix in STATISTICS.items()}
                means[stage] = plus_minus(scaled["mean"], scaled["std"], style.decimals)
            if metric in SHOWN_METRICS:
                text[style.title] = " → ".join(means.values()) if metric in CHANGED else means["before"]
        records.append(record)
        texts.append(text)
    return Table(
        "Accuracy, calibration before → after the temperature that minimises NLL on the validation split, and "
        "distances between logits before it (mean ± std over seeds).",
        DataFrame(records),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, losses)),
    )
