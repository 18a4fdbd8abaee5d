"""Comparison of all losses with CE under MSP and its repairs."""

from collections.abc import Iterator

import numpy as np
from pandas import DataFrame

from unsmooth.diagnosis.wording import p_text
from unsmooth.metrics import holm
from unsmooth.registry.metrics import metric_style
from unsmooth.registry.scores import BASELINE_SCORE, MAIN_SCORES, score_label
from unsmooth.tables.labels import CONFIGURATION, DASH, KINDS, Losses, in_order, require_columns
from unsmooth.tables.layouts import Table, headings, with_interval
from unsmooth.tables.summary import DIFFERENCES, restricted

METRICS = ("accuracy", "ece", "aurc", "augrc", "risk_at_coverage_20")
TESTED = ("aurc", "risk_at_coverage_20")  # of each loss under each score with CE under MSP
LEVEL = 0.05
SHORT_NAMES = {"aurc": "AURC", "risk_at_coverage_20": "risk at 20 %"}
ARROWS = {"worse": " ↑", "better": " ↓", "": ""}
WORSE = "Worse than CE under MSP"
UNDECIDED = "Undecided: an interval lies above 0, but the correction does not confirm it"
BETTER = "Better than CE under MSP in one or both, worse in neither"
NO_DIFFERENCE = "Not measurably different from CE under MSP"
Key = tuple[str, float]  # loss and alpha


def loss_comparisons(differences: DataFrame, *, losses: Losses = KINDS) -> DataFrame:
    """Every loss under MSP and both repairs against CE under MSP, by AURC and risk at 20 % coverage.

    Returns:
        Rows of `differences`, fractions, with `p_holm`, Holm's adjustment of `p_value` over all rows of an experiment,
        architecture and score, and `verdict`: where it is at most 0.05 "worse" or "better" than CE under MSP, else "".
    """
    require_columns(differences, DIFFERENCES, "differences")
    against_ce = differences["comparison"].eq("repair") | (
        differences["comparison"].eq("loss") & differences["score"].eq(BASELINE_SCORE)
    )
    rows = in_order(differences[against_ce & differences["metric"].isin(TESTED)].dropna(subset=["p_value"]), losses)
    require_columns(rows, DIFFERENCES, f"differences restricted to {list(TESTED)} against {losses.baseline}")
    adjusted = rows.groupby(["experiment", "architecture", "score"])["p_value"].transform(holm)
    direction = np.where(rows["difference"] > 0, "worse", "better")
    return rows.assign(p_holm=adjusted, verdict=np.where(adjusted <= LEVEL, direction, ""))


def losses_table(summary: DataFrame, differences: DataFrame, *, losses: Losses = KINDS) -> Table:
    """Accuracy, ECE, AURC, AUGRC and risk at 20 % coverage of every loss under MSP and both repairs, with intervals.

    `data` has a row a loss, alpha, score and metric, with the difference from CE under MSP where `loss_comparisons` has
    one; `display` has a row a loss, with an arrow where it is worse (up) or better (down) than CE under MSP.
    """
    keys = [*CONFIGURATION, "score", "metric"]
    found = restricted(summary, losses, metric=METRICS, score=MAIN_SCORES)
    compared = loss_comparisons(differences, losses=losses).rename(
        columns={"low": "difference_low", "high": "difference_high"}
    )
    columns = ["difference", "difference_low", "difference_high", "p_value", "p_holm", "verdict"]
    data = found.merge(compared[[*keys, *columns]], on=keys, how="left").fillna({"verdict": ""})
    present = {*zip(data["metric"], data["score"], strict=True)}
    texts = []
    for _, rows in data.groupby(CONFIGURATION, sort=False):
        text = headings(rows.iloc[0], data, losses)
        cells = {
            (row["metric"], row["score"]): with_interval(*100 * row[["mean", "low", "high"]]) + ARROWS[row["verdict"]]
            for _, row in rows.iterrows()
        }
        for metric in METRICS:
            for score in (BASELINE_SCORE,) if metric == "accuracy" else MAIN_SCORES:
                if (metric, score) in present:
                    label = metric_style(metric).label
                    title = label if metric == "accuracy" else f"{label}, {score_label(score)}"
                    text[title] = cells.get((metric, score), DASH)
        texts.append(text)
    percent = ["mean", "std", "low", "high", *columns[:3]]
    data[percent] *= 100.0
    return Table(
        "Every loss under MSP and both repairs, in percent (mean over seeds with its 95 % bootstrap interval).",
        data.rename(columns={name: f"{name}_pct" for name in percent}),
        DataFrame(texts),
        len(headings(data.iloc[0], data, losses)),
        (
            f"AURC and risk at 20 % coverage: ↑ worse, ↓ better than CE ranked by MSP in the same seeds, p at most "
            f"{LEVEL:g} after Holm's correction for the comparisons under one score. The other columns are not tested.",
        ),
    )


def losses_summary(differences: DataFrame, *, losses: Losses = KINDS) -> list[str]:
    """Paragraphs in Markdown by experiment and architecture on the losses that rank errors no worse than CE."""
    paragraphs = []
    for place, rows in loss_comparisons(differences, losses=losses).groupby(["experiment", "architecture"], sort=False):
        seeds = int(rows["seeds"].min())
        among = "seed" if seeds == 1 else f"{seeds} seeds"
        paragraphs += [
            f"# {', '.join(map(str, place))}: which losses keep selective classification intact?",
            f"Configurations other than CE: {len(_keys(rows))}, each against CE ranked by MSP in the same {among}, by "
            "AURC (which a lower error lowers too) and by the risk at 20 % coverage. Worse and better mean that p is "
            f"at most {LEVEL:g} after Holm's correction for the comparisons under one score; p is two-sided, from the "
            "paired bootstrap over test samples, and does not cover the spread of training. Differences are in "
            "percentage points with 95 % intervals before correction: where none is called, a difference as large as "
            "the end of the interval may have been missed.",
            *_paragraphs(rows, losses),
        ]
    return paragraphs


def _paragraphs(rows: DataFrame, losses: Losses) -> Iterator[str]:
    """Paragraph of each score on the comparisons of one experiment and architecture."""
    broken: list[Key] = []
    for score in MAIN_SCORES:
        name = score_label(score)
        yield f"## Ranked by {name}"
        ranked = rows[rows["score"] == score]
        pairs = {key: ranked[(ranked["loss"] == key[0]) & (ranked["alpha"] == key[1])] for key in _keys(ranked)}
        if not pairs:
            yield f"{name} is not defined for these logits."
            continue
        judged = {key: _judgement(pair) for key, pair in pairs.items()}
        if score == BASELINE_SCORE:
            broken = [key for key in judged if judged[key] == WORSE]
        elif broken:
            still = [key for key in broken if judged.get(key) == WORSE]
            repaired = [key for key in broken if key not in still]
            worse = f"still worse: {_names(still, losses)}"
            yield f"Worse under MSP, no longer measurably so here: {_names(repaired, losses)}; {worse}."
        for judgement in (WORSE, UNDECIDED, NO_DIFFERENCE, BETTER):
            found = [key for key in judged if judged[key] == judgement]
            lines = "".join(f"\n- {losses.label(*key)}: {_described(pairs[key])}" for key in found)
            yield f"{judgement}:\n{lines}" if found else f"{judgement}: none."


def _keys(rows: DataFrame) -> list[Key]:
    return [*rows[["loss", "alpha"]].drop_duplicates().itertuples(index=False, name=None)]


def _judgement(pair: DataFrame) -> str:
    if "worse" in set(pair["verdict"]):
        return WORSE
    if (pair["sign"] > 0).any():
        return UNDECIDED
    return BETTER if "better" in set(pair["verdict"]) else NO_DIFFERENCE


def _described(pair: DataFrame) -> str:
    return ", ".join(
        f"{SHORT_NAMES[row['metric']]} {100 * row['difference']:+.2f} "
        f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}] (p {p_text(row['p_holm'])})"
        for _, row in pair.iterrows()
    )


def _names(keys: list[Key], losses: Losses) -> str:
    return ", ".join(losses.label(*key) for key in keys) or "none"
