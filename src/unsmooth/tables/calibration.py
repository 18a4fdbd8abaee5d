"""Calibration and logit distances of every loss, before and after a temperature fitted by likelihood."""

from pandas import DataFrame

from unsmooth.registry.metrics import CALIBRATION_METRICS, LOGIT_DISTANCES, metric_style
from unsmooth.registry.scores import BASELINE_SCORE, NLL_TEMPERATURE
from unsmooth.tables.labels import KINDS, Losses
from unsmooth.tables.layouts import Table, headings, measured, measured_rows, plus_minus
from unsmooth.tables.summary import restricted

STAGES = {"before": BASELINE_SCORE, "after": NLL_TEMPERATURE}
SHOWN_METRICS = ("accuracy", "nll", "ece", "adaptive_ece", "classwise_ece", *LOGIT_DISTANCES)
CHANGED = {"nll", "ece", "adaptive_ece", "classwise_ece"}  # changed by a temperature beyond scale


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
