"""Scorecard of this run against published results."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from scipy.special import stdtrit  # scipy.stats takes half a second to start

from unsmooth.data.sources import SOURCES
from unsmooth.registry.metrics import COMPARED, metric_style
from unsmooth.registry.scores import BASELINE_SCORE, score_label
from unsmooth.tables.labels import DASH, Losses, require_columns
from unsmooth.tables.layouts import Table, plus_minus
from unsmooth.tables.summary import SUMMARY

SCORECARD = [
    *["experiment", "architecture", "loss", "alpha", "score", "metric"],
    *["published", "mean", "std", "seeds", "difference", "noise", "verdict", "source"],
]
WITHIN, OUTSIDE = "within noise", "outside noise"
ONE_SEED, NO_INTERVAL, NOT_RUN = "one seed", "no interval", "not run"  # no verdict
NOISE = (
    "Within noise (± half-width): the published number lies in the 95 % prediction interval of one new run on new test "
    "samples, mean ± √((t · std)² (1 + 1/seeds) + 2 h²), widened by half of its last digit; t is Student's quantile "
    "with seeds - 1 degrees of freedom, std the standard deviation over seeds, h half of the 95 % bootstrap interval "
    "over test samples, counted for ours and for theirs. The rule is wide where both measure the same samples, and for "
    "two seeds, where t is 12.7."
)
_CPU_PRECISION = "Half precision (fp16) needs a GPU"


def scorecard(experiments: Mapping[str, Mapping[str, Any]], summary: DataFrame) -> DataFrame:
    r"""Compare every published number with the mean over seeds of this run.

    A published number, one training measured on one test set, is within the noise of ours in the 95 % prediction
    interval of one new run on new test samples, :math:`m \pm \sqrt{t_{0.975,\,S-1}^2\, s^2 (1 + 1/S) + 2 h^2}`, widened
    by half of its last digit. :math:`m` and :math:`s` are mean and sample standard deviation over :math:`S` seeds
    (Student's t; runs taken as normal), :math:`h` is half of the 95 % bootstrap interval of the mean over test samples.
    One seed has no spread, and a metric without replicates no interval; neither has a verdict.

    `experiments` has by name `published`, a list of loss, alpha, score, source and any of `COMPARED` in the unit of the
    metric. `summary`, of those that were run, may be empty.

    Returns:
        Columns `SCORECARD`, one row a published number, in the order of `experiments`; numbers are fractions (nll in
        nats), `difference` is ours - published, `noise` the half-width of the interval; nan where not run.
    """
    if not summary.empty:
        require_columns(summary, SUMMARY, "summary")
    records = []
    for experiment, told in experiments.items():
        for published in told["published"]:
            keys = {name: published[name] for name in ("loss", "alpha", "score")}
            for metric in [name for name in COMPARED if name in published]:
                scale, entry = metric_style(metric).scale, COMPARED[metric]
                record = {"experiment": experiment, **keys, "metric": metric, "source": published["source"]}
                record["published"] = published[metric] / scale
                found = _rows(summary, {"experiment": experiment, **keys, "metric": entry.measured or metric})
                records += [
                    record | _compared(record["published"], 0.5 * 10.0**-entry.decimals / scale, row) for row in found
                ] or [record | {"architecture": "", "seeds": 0, "verdict": NOT_RUN}]
    return DataFrame(records, columns=SCORECARD)


def scorecard_table(
    experiments: Mapping[str, Mapping[str, Any]], summary: DataFrame, costs: DataFrame | None = None
) -> Table:
    """The scorecard with one row per published number, and the deviations from the released code below it.

    Args:
        experiments: as for `scorecard`; also `losses`, the arguments of `labels.LossName`, `deviations` (what, why,
            whether `as_released` can switch it back), `as_released`, whether it did, and the `precision` of the recipe.
        summary: as for `scorecard`.
        costs: `data` of `cost_table`; a precision other than that of the recipe is noted below the table.

    Returns:
        `data` is the scorecard; `display` also has a row for experiments without published numbers.
    """
    data = scorecard(experiments, summary)
    texts = []
    for experiment, entry in experiments.items():
        losses, mine = Losses.of(entry["losses"]), data[data["experiment"] == experiment]
        if mine.empty:
            texts.append({"Experiment": experiment, "Model": "nothing published"})
        for _, row in mine.iterrows():
            style = metric_style(row["metric"])
            difference = f"{style.scale * row['difference']:+.{style.decimals}f}, {verdict_text(row)}"
            texts.append(
                {
                    "Experiment": experiment,
                    "Model": losses.label(row["loss"], row["alpha"]),
                    "Score": score_label(row["score"]),
                    "Metric": style.title,
                    "Published": published_text(row),
                    "Here": measured_text(row),
                    "Difference": difference if row["seeds"] else DASH,
                    "Published in": row["source"],
                }
            )
    noise = (NOISE,) if data["seeds"].gt(0).any() else ()
    return Table(
        "Published numbers and this run's (mean ± std over seeds, their number); AURC in the convention of its paper.",
        data,
        DataFrame(texts).fillna(""),
        4,
        (*noise, *deviations(experiments, costs)),
    )


def model_text(row: Series, losses: Losses) -> str:
    """The loss of a row with its strength, and the score if it is another than MSP."""
    label = losses.label(row["loss"], row["alpha"])
    return label if row["score"] == BASELINE_SCORE else f"{label}, {score_label(row['score'])}"


def published_text(row: Series) -> str:
    return f"{metric_style(row['metric']).scale * row['published']:.{COMPARED[row['metric']].decimals}f}"


def verdict_text(row: Series) -> str:
    """The verdict with the half-width of its interval, if it has one, as in "within noise (± 0.23)"."""
    if np.isnan(row["noise"]):
        return str(row["verdict"])
    style = metric_style(row["metric"])
    return f"{row['verdict']} (± {style.scale * row['noise']:.{style.decimals}f})"


def _rows(summary: DataFrame, keys: Mapping[str, object]) -> list[Series]:
    for name, value in keys.items():
        summary = summary[summary[name] == value]
    return [row for _, row in summary.sort_values("architecture", kind="stable").iterrows()]


def _compared(published: float, rounding: float, row: Series) -> dict[str, Any]:
    seeds, difference = int(row["seeds"]), row["mean"] - published
    noise = np.nan
    if seeds > 1:
        training = stdtrit(seeds - 1, 0.975) * row["std"] * np.sqrt(1 + 1 / seeds)
        sampling = (row["high"] - row["low"]) / 2
        noise = np.sqrt(training**2 + 2 * sampling**2) + rounding
    verdict = WITHIN if abs(difference) <= noise else OUTSIDE
    if np.isnan(noise):
        verdict = ONE_SEED if seeds == 1 else NO_INTERVAL
    kept = {name: row[name] for name in ("architecture", "mean", "std")}
    return kept | {"seeds": seeds, "difference": difference, "noise": noise, "verdict": verdict}


def measured_text(row: Series) -> str:
    """The mean of a row of `scorecard` with its spread and number of seeds, as in "22.05 ± 0.14 (3)"."""
    if row["seeds"] == 0:
        return NOT_RUN
    style = metric_style(row["metric"])
    spread = style.scale * row["std"] if row["seeds"] > 1 else np.nan
    return f"{plus_minus(style.scale * row['mean'], spread, style.decimals)} ({row['seeds']})"


def deviations(experiments: Mapping[str, Mapping[str, Any]], costs: DataFrame | None = None) -> list[str]:
    """Sentences on deviations from the released code; arguments as for `scorecard_table`."""
    lines = []
    for experiment, entry in experiments.items():
        for deviation in entry["deviations"]:
            switched = entry["as_released"] and deviation["switchable"]
            what = "As released" if switched else deviation["what"].rstrip(".")
            can = " (as_released: true switches it back)" if deviation["switchable"] and not switched else ""
            lines.append(f"{experiment}: {what}{can}. {deviation['why']}")
        if costs is not None:
            trained = costs.loc[costs["experiment"] == experiment, "precision"].unique()
            lines += [
                f"{experiment}: Precision {precision} instead of {entry['precision']}. {_CPU_PRECISION}."
                for precision in trained
                if precision != entry["precision"]
            ]
    return lines


def published_table(experiments: Mapping[str, Mapping[str, Any]]) -> Table:
    """Experiments with published numbers, and how to run each; `data` in an entry are the sources of its dataset."""
    access = {name: "downloaded" if source.terms is None else "behind a login" for name, source in SOURCES.items()}
    rows = [
        {
            "Experiment": name,
            "Published numbers": str(sum(len(result.keys() & COMPARED.keys()) for result in entry["published"])),
            "Data": ", ".join(f"{source} ({access[source]})" for source in entry["data"]),
            "Command": f"snakemake --cores all {name}",
        }
        for name, entry in experiments.items()
        if entry["published"]
    ]
    return Table(
        "Experiments with published numbers, the data that each needs and how to run it. The key downloads of "
        "config.yaml names folders that hold the data already.",
        DataFrame(rows),
        DataFrame(rows),
        1,
    )
