"""Findings of an experiment in sentences.

A rise or fall is reported only if its 95 % paired bootstrap interval excludes 0. Values are in percent, differences in
percentage points. `headline` and `findings` are of one experiment and architecture.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pandas import DataFrame

from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE, REPAIRED_SCORES, score_label
from unsmooth.tables.labels import KINDS, Losses, in_order, require_columns
from unsmooth.tables.summary import DIFFERENCES, SUMMARY
from unsmooth.tables.titles import place_title, single_experiment

TRUSTED = "risk_at_coverage_20"
PLACE = ["experiment", "architecture"]
UNSEEN = 0.005  # percentage points: a smaller difference is not a change
MAX_LOSSES = 5  # with a sentence each
TWO_CLASSES = (
    "With two classes every score of the logits ranks the samples alike, so none can repair the ranking after "
    "training; the remedy is another loss or a smaller alpha."
)
Configuration = tuple[str, float]
Row = Any  # of `paired_differences`, as a named tuple
Rows = Mapping[tuple[str, str, float, str, str], Row]  # by comparison, loss, alpha, score and metric


class Finding(NamedTuple):
    """One sentence with its loss and alpha, or None for all losses."""

    configuration: Configuration | None
    text: str


def headline(summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS) -> Finding:
    """Return one sentence on the effect of smoothing on errors and ranking, and on the repair.

    It describes the strength of smoothing that adds most errors to the most trusted fifth (risk at 20 % coverage,
    ranked by MSP), or that raises AURC most, or the last one.
    """
    rows, configurations = _compared(summary, differences, losses)
    if not configurations:
        return Finding(None, _repair_of_all(rows, summary, losses))
    smoothed = [key for key in configurations if key[0] in losses.smoothed and key[1] > 0] or configurations
    for metric in (TRUSTED, "aurc"):
        harmed = {key: row for key in smoothed if (row := rows.get(_loss(key, metric))) and row.sign > 0}
        if harmed:
            chosen = max(harmed, key=lambda key: harmed[key].difference)
            break
    else:
        chosen = smoothed[-1]
    text = _sentence(rows, chosen, losses)
    return Finding(chosen, f"{text} {TWO_CLASSES}" if is_two_class(summary) else text)


def findings(summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS) -> list[Finding]:
    """Return at most eight sentences: every loss against CE, scores without effect, and growth with alpha."""
    rows, configurations = _compared(summary, differences, losses)
    sizes = {key: abs(row.difference) for key in configurations if (row := rows.get(_loss(key, TRUSTED)))}
    ranked = sorted(configurations, key=lambda key: -sizes.get(key, 0.0))
    kept = [key for key in configurations if key in ranked[:MAX_LOSSES]]
    found = [Finding(key, _sentence(rows, key, losses, area=True)) for key in kept]
    others = [losses.label(*key) for key in configurations if key not in kept]
    if others:
        found.append(Finding(None, f"Smaller effects, in differences.csv: {', '.join(others)}."))
    texts = [TWO_CLASSES] if is_two_class(summary) else [_fallbacks(rows, losses)]
    return found + [Finding(None, text) for text in (*texts, _growth(summary, losses)) if text]


def findings_text(summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS) -> str:
    require_columns(summary, SUMMARY, "summary")
    require_columns(differences, DIFFERENCES, "differences")
    parts = []
    for place, rows in in_order(summary, losses).groupby(PLACE, sort=False):
        experiment, architecture = map(str, place)
        compared = differences[
            (differences["experiment"] == experiment) & (differences["architecture"] == architecture)
        ]
        seeds = int(rows["seeds"].min())
        parts.append(f"# {place_title(experiment, architecture)}\n\n{headline(rows, compared, losses=losses).text}\n")
        parts.append("".join(f"- {finding.text}\n" for finding in findings(rows, compared, losses=losses)))
        parts.append(
            f"Means over {seeds} {'seed' if seeds == 1 else 'seeds'}; brackets: 95 % paired bootstrap interval of the "
            "difference. The most trusted fifth: risk at 20 % coverage, ranked by MSP.\n"
        )
    return "\n".join(filter(None, parts))


def is_two_class(summary: DataFrame) -> bool:
    """Whether the p-norm is undefined and a temperature changes no AURC, as for two classes."""
    values = summary[summary["metric"] == "aurc"].pivot_table(index=["loss", "alpha"], columns="score", values="mean")
    tempered = REPAIRED_SCORES[0]
    comparable = NORMALISED_SCORE not in values and tempered in values
    return comparable and bool(np.allclose(values[tempered], values[BASELINE_SCORE], rtol=1e-9, atol=0))


def _compared(summary: DataFrame, differences: DataFrame, losses: Losses) -> tuple[Rows, list[Configuration]]:
    """The defined differences, and the losses compared with CE, in reading order."""
    require_columns(summary, SUMMARY, "summary")
    single_experiment(summary, "summary")
    defined = in_order(differences[np.isfinite(differences["difference"])], losses)
    defined["sign"] = defined["sign"].where(100 * defined["difference"].abs() >= UNSEEN, 0)
    found: list[Row] = [*defined.itertuples()]
    rows = {(row.comparison, row.loss, row.alpha, row.score, row.metric): row for row in found}
    return rows, [*dict.fromkeys((row.loss, row.alpha) for row in found if row.comparison == "loss")]


def _loss(key: Configuration, metric: str) -> tuple[str, str, float, str, str]:
    return ("loss", *key, BASELINE_SCORE, metric)


def _sentence(rows: Rows, key: Configuration, losses: Losses, *, area: bool = False) -> str:
    error, trusted, aurc = (rows.get(_loss(key, metric)) for metric in ("error", TRUSTED, "aurc"))
    text = f"{losses.label(*key)} is compared with CE"
    if error:
        comparative = "as" if error.sign == 0 or _is_multiple(error) else "than"
        text = f"{losses.label(*key)} makes {_ratio(error, 'errors')} {comparative} CE ({_change(error)})"
    if trusted:
        harm = trusted.sign > 0 and not (error and error.sign > 0)
        text += f", {'but' if harm else 'and'} {_ratio(trusted)} among its most trusted fifth ({_change(trusted)})"
    if aurc and (area or not trusted):
        text += f"; AURC {_verb(aurc)} ({_change(aurc)})"
    harmed = next((row for row in (trusted, aurc) if row and row.sign > 0), None)
    return f"{text}{_repair(rows, key, harmed) if harmed else ''}."


def _is_multiple(row: Row) -> bool:
    return bool(row.value >= 2.0 * row.baseline > 0.0)


def _ratio(row: Row, noun: str = "") -> str:
    """Return "15 times as many" or "11 % fewer" with the noun; no ratio to a baseline of 0."""
    if row.sign == 0:
        return f"about as many {noun}".strip()
    if _is_multiple(row):
        times = row.value / row.baseline
        return f"{times:.{0 if times >= 10 else 1}f} times as many {noun}".strip()
    change = 100 * abs(row.difference) / row.baseline if row.baseline > 0.0 else 0.0
    share = f"{change:.{0 if change >= 1 else 1}f} % " if change else ""
    return f"{share}{'more' if row.sign > 0 else 'fewer'} {noun}".strip()


def _repair(rows: Rows, key: Configuration, harmed: Row) -> str:
    """Effect of the p-norm, or else the temperature, on the harm; empty if both fell back to MSP."""
    tried = False
    for score in reversed(REPAIRED_SCORES):
        row = rows.get(("score", *key, score, harmed.metric))
        if row is None or _is_by_construction(rows, key, score):
            continue
        tried = True
        if row.sign < 0:
            left = rows.get(("repair", *key, score, harmed.metric))
            extent = "part of that" if left and left.sign > 0 else "that"
            return f"; ranking by {score_label(score)} takes {extent} back ({_change(row)})"
    return "; neither repair takes that back" if tried else ""


def _repair_of_all(rows: Rows, summary: DataFrame, losses: Losses) -> str:
    if is_two_class(summary):
        return TWO_CLASSES
    clauses = [
        f"{losses.label(row.loss, row.alpha)}: {score_label(row.score)} instead of MSP, AURC {_verb(row)} "
        f"({_change(row)})"
        for row in rows.values()
        if (row.comparison, row.score, row.metric) == ("score", NORMALISED_SCORE, "aurc")
        and not _is_by_construction(rows, (row.loss, row.alpha), row.score)
    ]
    return f"{'; '.join(clauses)}." if clauses else "No repair differs from MSP here."


def _is_by_construction(rows: Rows, key: Configuration, score: str) -> bool:
    """Whether a repaired score equals MSP in every ranking metric and interval."""
    mine = [row for name, row in rows.items() if name[:4] == ("score", *key, score)]
    return all(np.nanmax(np.abs([row.difference, row.low, row.high])) < 1e-12 for row in mine)


def _fallbacks(rows: Rows, losses: Losses) -> str:
    parts = []
    for score in REPAIRED_SCORES:
        keys = dict.fromkeys(name[1:3] for name in rows if name[0] == "score" and name[3] == score)
        same = [losses.label(*key) for key in keys if _is_by_construction(rows, key, score)]
        if same:
            parts.append(f"{score_label(score)} is MSP for {', '.join(same)}")
    return f"{'; '.join(parts)}: it did not beat MSP on the validation split." if parts else ""


def _verb(row: Row) -> str:
    return {1: "rises", -1: "falls", 0: "does not measurably change"}[row.sign]


def _change(row: Row) -> str:
    """Both values, their difference and its interval, with enough decimals to show the difference."""
    value, baseline, points = 100 * row.value, 100 * row.baseline, 100 * row.difference
    if abs(points) < UNSEEN:
        return f"{value:.2f} %, no change above {UNSEEN} points"
    decimals = 2 if f"{value:.2f}" != f"{baseline:.2f}" else 3
    text = f"{baseline:.{decimals}f} to {value:.{decimals}f} %, {points:+.{decimals}f} points"
    if np.isnan(row.low):
        return f"{text}, no interval"
    return f"{text} [{100 * row.low:+.{decimals}f}, {100 * row.high:+.{decimals}f}]"


def _growth(summary: DataFrame, losses: Losses) -> str:
    """Whether the AURC of MSP grows with every step of alpha of the one label-smoothing loss, from CE at 0."""
    rows = summary[(summary["score"] == BASELINE_SCORE) & (summary["metric"] == "aurc")]
    smoothed = rows["loss"].isin(losses.smoothed) & (rows["alpha"] > 0)
    values = rows[smoothed | (rows["loss"] == losses.baseline)].set_index("alpha")["mean"].sort_index()
    if rows.loc[smoothed, "loss"].nunique() != 1 or len(values) < 3 or not (np.diff(values) > 0.0).all():
        return ""
    listed = ", ".join(f"{100 * value:.2f} % at {alpha:g}" for alpha, value in values.items())
    return f"Mean AURC under MSP grows with every step of alpha (means; the steps are not tested): {listed}."
