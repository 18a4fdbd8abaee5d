"""Main results of an experiment: a short table, one of every metric, and plain text."""

from typing import Any

import numpy as np
from pandas import DataFrame
from tabulate import tabulate

from unsmooth.registry.metrics import ALL_PIXELS, CALIBRATION_METRICS, METRICS, metric_style
from unsmooth.registry.scores import BASELINE_SCORE, MAIN_SCORES, REPAIRED_SCORES, score_label
from unsmooth.tables.findings import TWO_CLASSES, is_two_class
from unsmooth.tables.labels import CELL, CONFIGURATION, DAGGER, KINDS, Losses, in_order, require_columns
from unsmooth.tables.layouts import Table, headings, measured, measured_rows, plus_minus, with_interval
from unsmooth.tables.summary import SUMMARY, restricted
from unsmooth.tables.titles import place_title

MAIN = {  # title: score, metric
    "Error": ("msp", "error"),
    "AURC, MSP": ("msp", "aurc"),
    "Risk at 20 %, MSP": ("msp", "risk_at_coverage_20"),
    "AURC, p-norm": ("max_logit_pnorm", "aurc"),
    "Risk at 20 %, p-norm": ("max_logit_pnorm", "risk_at_coverage_20"),
}
TERMINAL = {
    "error": ("msp", "error"),
    "AURC\nMSP": ("msp", "aurc"),
    "AURC\ntemp.": ("msp_temperature", "aurc"),
    "AURC\np-norm": ("max_logit_pnorm", "aurc"),
    "risk@20\nMSP": ("msp", "risk_at_coverage_20"),
    "risk@20\np-norm": ("max_logit_pnorm", "risk_at_coverage_20"),
}
FELL_BACK = f"{DAGGER} did not beat MSP on the validation split in at least one seed and is MSP there."
SAMPLED = (
    "mIoU and pixel accuracy are of every labelled test pixel, the other metrics of a sample, the same number "
    "of each scene; the table of the segmentation has those of every pixel."
)


def main_table(summary: DataFrame, fitted: DataFrame | None = None, *, losses: Losses = KINDS) -> Table:
    """Error, AURC and risk at 20 % coverage of every loss and alpha under MSP, and the last two after normalisation.

    `fitted` is as for `all_metrics_table`. With two classes there is no normalisation, and a note says so.
    """
    scores, metrics = zip(*MAIN.values(), strict=True)
    rows = restricted(summary, losses, score=dict.fromkeys(scores), metric=dict.fromkeys(metrics))
    present = {*zip(rows["score"], rows["metric"], strict=True)}
    columns = {title: key for title, key in MAIN.items() if key in present}
    fallbacks = _fallbacks(fitted)
    records, texts = [], []
    for record, text, values, seeds in measured_rows(rows, losses):
        configuration = tuple(record.values())
        record["seeds"] = seeds
        for title, (score, metric) in columns.items():
            column = f"{metric}_pct" if score == BASELINE_SCORE else f"{metric}_pnorm_pct"
            found = measured(values, (score, metric), column)
            record |= found
            mean, _, low, high = found.values()
            fell_back = score != BASELINE_SCORE and fallbacks.get((*configuration, score))
            text[f"{title}, %"] = with_interval(mean, low, high) + (f" {DAGGER}" if fell_back else "")
        records.append(record)
        texts.append(text)
    marked = any(DAGGER in cell for text in texts for cell in text.values())
    two_classes = [TWO_CLASSES] if is_two_class(summary) else []
    return Table(
        f"Selective classification before and after repair, {_over_seeds(rows)} with its 95 % bootstrap interval; "
        "lower is better. Risk at 20 %: error rate among the most confident fifth.",
        DataFrame(records),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, losses)),
        (*[FELL_BACK] * marked, *two_classes),
    )


def all_metrics_table(summary: DataFrame, fitted: DataFrame | None = None, *, losses: Losses = KINDS) -> Table:
    """Every metric of every loss and alpha under MSP, fitted temperature and p-norm, but those of calibration alone.

    `fitted` has a row a cell and fitted score: `CELL`, score and `fell_back` (bool: it did not beat MSP on the
    validation split, so it is MSP); None marks nothing. `display` has a dash where a metric is undefined and a dagger
    where a score fell back in one of the seeds that `data` counts in `fell_back`.
    """
    rows = restricted(summary, losses, score=MAIN_SCORES)
    fallbacks = _fallbacks(fitted)
    records, texts = [], []
    present = {name for name in rows["metric"] if not name.startswith(ALL_PIXELS)} - {*CALIBRATION_METRICS}
    metrics = [name for name in METRICS if name in present] + sorted(present - METRICS.keys())
    for keys, names, values, seeds in measured_rows(rows, losses):
        for score in MAIN_SCORES:
            key, defined = (*keys.values(), score), any(name == score for name, _ in values)
            if not defined and key not in fallbacks:
                continue
            fell_back = fallbacks.get(key, 0) if defined else 0
            record = {**keys, "score": score, "seeds": seeds, "fell_back": fell_back}
            text = {**names, "Score": score_label(score) + (f" {DAGGER}" if fell_back else "")}
            for metric in metrics:
                style = metric_style(metric)
                found = measured(values, (score, metric), style.column(metric))
                record |= found
                mean, std, *_ = found.values()
                text[style.title] = plus_minus(mean, std, style.decimals)
            records.append(record)
            texts.append(text)
    fell_back = any(record["fell_back"] for record in records)
    return Table(
        "Error and selective classification of every loss, before and after repair (mean ± std over seeds).",
        DataFrame(records),
        DataFrame(texts),
        len(headings(rows.iloc[0], rows, losses)) + 1,
        (*[FELL_BACK] * fell_back, *[SAMPLED] * ("mean_iou" in metrics)),
    )


def short_table(summary: DataFrame, *, losses: Losses = KINDS) -> str:
    """Plain text for a terminal: error, AURC by MSP and both repairs, and risk at 20 % coverage before and after."""
    require_columns(summary, SUMMARY, "summary")
    blocks = []
    ordered = in_order(summary, losses)
    for (experiment, architecture), rows in ordered.groupby(["experiment", "architecture"], sort=False):
        two_classes = is_two_class(rows)
        columns = {title: key for title, key in TERMINAL.items() if not (two_classes and key[0] in REPAIRED_SCORES)}
        means = rows.set_index(["loss", "alpha", "score", "metric"])["mean"]
        lines = [
            [losses.label(loss, alpha)]
            + [plus_minus(100.0 * means.get((loss, alpha, *key), np.nan)) for key in columns.values()]
            for loss, alpha in rows[["loss", "alpha"]].drop_duplicates().itertuples(index=False)
        ]
        alignment = ("left", *["right"] * len(columns))
        table = tabulate(lines, ["loss", *columns], tablefmt="simple", colalign=alignment, disable_numparse=True)
        title = f"{place_title(str(experiment), str(architecture))} (percent, {_over_seeds(rows)})"
        blocks.append(f"{title}\n{table}" + (f"\n{TWO_CLASSES}" if two_classes else ""))
    return "\n\n".join(blocks)


def _over_seeds(rows: DataFrame) -> str:
    seeds = int(rows["seeds"].min())
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def _fallbacks(fitted: DataFrame | None) -> dict[Any, int]:
    if fitted is None:
        return {}
    require_columns(fitted, [*CELL, "score", "fell_back"], "fitted")
    return fitted.groupby([*CONFIGURATION, "score"])["fell_back"].sum().to_dict()
