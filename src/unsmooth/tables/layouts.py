"""Formatted tables, in percent, from the tidy summary."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from unsmooth.registry.metrics import ALL_PIXELS, CALIBRATION_METRICS, LOGIT_DISTANCES, metric_style
from unsmooth.registry.scores import BASELINE_SCORE, MAIN_SCORES, NLL_TEMPERATURE, score_label
from unsmooth.tables.labels import CELL, CONFIGURATION, DASH, KINDS, Losses, in_order, require_columns
from unsmooth.tables.summary import restricted

STATISTICS = {"mean": "", "std": "_std", "low": "_low", "high": "_high"}  # of a summary row -> suffix of its column
STAGES = {"before": BASELINE_SCORE, "after": NLL_TEMPERATURE}
SHOWN_METRICS = ("accuracy", "nll", "ece", "adaptive_ece", "classwise_ece", *LOGIT_DISTANCES)
CHANGED = {"nll", "ece", "adaptive_ece", "classwise_ece"}  # changed by a temperature beyond scale
COSTS = {
    "epochs": ("Epochs", 0),
    "parameters": ("Parameters", 0),
    "wall_time_s": ("Time (s)", 1),
    "images_per_s": ("Images/s", 0),
    "peak_memory_mb": ("Peak memory (MB)", 0),
    "peak_device_memory_mb": ("Peak device memory (MB)", 0),
}


@dataclass(frozen=True)
class Table:
    """A table in two forms: `data` with one number per column, and `display` with formatted text.

    The first `label_columns` columns of `display` name a row; the others hold its numbers.
    """

    caption: str
    data: DataFrame
    display: DataFrame
    label_columns: int
    notes: tuple[str, ...] = ()


def scores_table(summary: DataFrame, *, losses: Losses = KINDS) -> Table:
    """AURC and risk at 20 % coverage, percent, of every score (rows) for every loss and alpha (columns)."""
    metrics = {"aurc": "AURC", "risk_at_coverage_20": "R@20"}
    rows = restricted(summary, losses, metric=metrics)
    texts = []
    for _, group in rows.groupby(["experiment", "architecture", "score"], sort=False):
        found = group.set_index(["loss", "alpha", "metric"])[[*STATISTICS]].to_dict("index")
        text = headings(group.iloc[0], rows, None) | {"Score": score_label(group["score"].iloc[0])}
        for key in rows[["loss", "alpha"]].drop_duplicates().itertuples(index=False):
            for metric, short in metrics.items():
                mean, std, *_ = measured(found, (*key, metric)).values()
                text[f"{losses.label(*key)} {short}"] = plus_minus(mean, std)
        texts.append(text)
    data = rows.pivot(index=[*CONFIGURATION, "score"], columns="metric", values=list(STATISTICS)) * 100.0
    data.columns = data.columns.map(lambda pair: f"{pair[1]}_pct{STATISTICS[pair[0]]}")
    return Table(
        "AURC and risk at 20 % coverage (R@20) of every score, in percent, lower is better (mean ± std over seeds).",
        in_order(data.reset_index(), losses),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, None)) + 1,
    )


def segmentation_table(summary: DataFrame, *, losses: Losses = KINDS) -> Table:
    """Segmentation and selective metrics of every labelled test pixel, before and after repair, in percent.

    `_lower` and `_upper` are the means over seeds of the certified bounds of selective metrics.
    """
    metrics = ["mean_iou", "pixel_accuracy", f"{ALL_PIXELS}aurc", f"{ALL_PIXELS}augrc"]
    bounds = [f"{metric}_{side}" for metric in metrics[2:] for side in ("lower", "upper")]
    rows = restricted(summary, losses, metric=[*metrics, *bounds], score=MAIN_SCORES)
    records, texts = [], []
    for record, text, values, _ in measured_rows(rows, losses, [*CONFIGURATION, "score"]):
        text["Score"] = score_label(score := record["score"])
        for metric in metrics:
            mean, std, *_ = measured(values, (score, metric)).values()
            record |= {f"{metric}_pct": mean, f"{metric}_pct_std": std}
            text[metric_style(metric).title] = plus_minus(mean, std, 3)
            if metric.startswith(ALL_PIXELS):
                lower, upper = (100.0 * values[score, f"{metric}_{side}"]["mean"] for side in ("lower", "upper"))
                record |= {f"{metric}_pct_lower": lower, f"{metric}_pct_upper": upper}
                text[f"{metric_style(metric).title} bounds"] = f"{lower:.6f} to {upper:.6f}"
        records.append(record)
        texts.append(text)
    return Table(
        "Segmentation and selective classification of every labelled test pixel, before and after repair (mean ± std "
        "over seeds), and certified bounds of the exact values.",
        DataFrame(records),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, losses)) + 1,
        ("The other tables are of a sample of these pixels, the same number of each scene.",),
    )


def calibration_table(summary: DataFrame, *, losses: Losses = KINDS) -> Table:
    """Accuracy, NLL and calibration errors of every loss and alpha before and after temperature; logit distances.

    `data` also has the MbLS variants and the distances after it; `display` has "before → after", and metrics that the
    temperature leaves or divides only before.
    """
    metrics = dict.fromkeys([*SHOWN_METRICS, *CALIBRATION_METRICS])  # in this order
    rows = restricted(summary, losses, score=STAGES.values(), metric=metrics)
    records, texts = [], []
    for record, text, values, seeds in measured_rows(rows, losses):
        record["seeds"] = seeds
        for metric in metrics:
            style, means = metric_style(metric), []
            for stage, score in STAGES.items():
                found = measured(values, (score, metric), f"{style.column(metric)}_{stage}")
                record |= found
                mean, std, *_ = found.values()
                means.append(plus_minus(mean, std, style.decimals))
            if metric in SHOWN_METRICS:
                text[style.title] = " → ".join(means) if metric in CHANGED else means[0]
        records.append(record)
        texts.append(text)
    return Table(
        "Accuracy, calibration before → after the temperature that minimises NLL on the validation split, and "
        "distances between logits before it (mean ± std over seeds).",
        DataFrame(records),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, losses)),
    )


def cost_table(runs: DataFrame, *, losses: Losses = KINDS) -> Table:
    """Training cost of each cell, and the total: time summed, peak memory the largest of any cell.

    `runs` has a row a cell: `CELL`, device, precision that it trained in, and `COSTS`; nan for unknown memory.
    """
    columns = [*CELL, "device", "precision", *COSTS]
    require_columns(runs, columns, "runs")
    rows = in_order(runs[columns], losses)
    total: dict[str, Any] = {"experiment": "total", "wall_time_s": rows["wall_time_s"].sum()}
    total |= {column: rows[column].max() for column in ("peak_memory_mb", "peak_device_memory_mb")}
    labelled = rows.assign(loss=[losses.label(*key) for key in zip(rows["loss"], rows["alpha"], strict=True)])
    named = labelled[["experiment", "architecture", "loss", "seed", "device", "precision"]].astype({"seed": str})
    labels, last = named.rename(columns=str.capitalize), {"Experiment": "total"}
    for column, (title, decimals) in COSTS.items():
        labels[title] = [_number(value, decimals) for value in rows[column]]
        last[title] = _number(total[column], decimals) if column in total else ""
    return Table(
        "Cost of training, by cell; the total adds times and takes the largest memory.",
        pd.concat([rows, DataFrame([total])], ignore_index=True),
        pd.concat([labels, DataFrame([last])], ignore_index=True).fillna(""),
        len(labels.columns) - len(COSTS),
    )


def measured_rows(
    rows: DataFrame, losses: Losses, by: Sequence[str] = CONFIGURATION
) -> Iterator[tuple[dict[str, Any], dict[str, str], Mapping[Any, Mapping[Any, float]], int]]:
    """Yield leading numbers and texts of each row of a table, its statistics by score and metric, and its seeds."""
    for key, group in rows.groupby([*by], sort=False):
        values = group.set_index(["score", "metric"])[[*STATISTICS]].to_dict("index")
        yield dict(zip(by, key, strict=True)), headings(group.iloc[0], rows, losses), values, int(group["seeds"].min())


def measured(values: Mapping[Any, Mapping[Any, float]], key: Any, column: str = "") -> dict[str, float]:  # noqa: ANN401
    """Statistics of a metric, the last of `key`, in its unit, by their columns; nan where absent."""
    found, scale = values.get(key, {}), metric_style(key[-1]).scale
    return {column + suffix: scale * found.get(name, np.nan) for name, suffix in STATISTICS.items()}


def headings(row: Series, rows: DataFrame, losses: Losses | None) -> dict[str, str]:
    """Leading text columns: experiment and architecture if the table has more than one, and the loss if named."""
    named = [name for name in ("experiment", "architecture") if rows[name].nunique() > 1]
    heading = {name.capitalize(): str(row[name]) for name in named}
    return heading | ({} if losses is None else {"Loss": losses.label(row["loss"], row["alpha"])})


def plus_minus(mean: float, std: float = np.nan, decimals: int = 2) -> str:
    if np.isnan(mean):
        return DASH
    return f"{mean:.{decimals}f}" + ("" if np.isnan(std) else f" ± {std:.{decimals}f}")


def with_interval(mean: float, low: float, high: float) -> str:
    """The mean and its interval, all in percent; a dash where undefined."""
    if np.isnan(mean):
        return DASH
    return f"{mean:.2f}" + ("" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]")


def _number(value: float, decimals: int) -> str:
    return DASH if np.isnan(value) else f"{value:,.{decimals}f}"
