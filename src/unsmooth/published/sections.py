"""One section of the page of results: what an experiment found, as a sentence, a table and figures."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame, Series
from tabulate import tabulate

from unsmooth.config.cells import Cell
from unsmooth.config.kinds import Experiment
from unsmooth.published.planning import AS_RELEASED
from unsmooth.tables.findings import headline
from unsmooth.tables.labels import CELL, DASH, Losses, in_order
from unsmooth.tables.layouts import plus_minus
from unsmooth.tables.scorecard import deviations
from unsmooth.tables.titles import place_title

COLUMNS = {  # title: score, metric
    "Error": ("msp", "error"),
    "AURC": ("msp", "aurc"),
    "Risk at 20 % coverage": ("msp", "risk_at_coverage_20"),
    "AURC, p-norm": ("max_logit_pnorm", "aurc"),
    "Risk at 20 %, p-norm": ("max_logit_pnorm", "risk_at_coverage_20"),
}
FIGURES = {
    "risk_coverage_msp": "Risk-coverage curves, ranked by MSP",
    "risk_coverage_max_logit_pnorm": "Risk-coverage curves after normalisation of the logits",
    "max_logit": "Largest logit given the largest probability, of right and of wrong predictions",
}
NOT_OF_TWO_CLASSES = {"risk_coverage_max_logit_pnorm", "max_logit"}
TABLE_NOTE = (
    "Percent, lower is better: mean over seeds ± standard deviation over seeds [95 % bootstrap interval of the mean "
    "over test samples]. The sentence above the table compares two models over the seeds that both have."
)


def section(results: Path, known: Mapping[str, Experiment], name: str, costs: DataFrame, folder: Path) -> str:
    """Return the section of an experiment, and copy its figures and numbers from `results` into a folder of its own.

    `known` are the shipped experiments, `costs` those of all cells that were run, and `folder` is that of the page.
    """
    experiment, tables = known[name], results / "tables" / name
    losses = Losses.of(experiment.named_losses)
    summary, differences = (pd.read_csv(tables / f"{part}.csv") for part in ("summary", "differences"))
    (folder / name).mkdir()
    parts = [f"## {place_title(name, experiment.architecture_names[0])}", experiment.description]
    for architecture in experiment.architecture_names:
        mine = summary[summary["architecture"] == architecture]
        two_classes = not (mine["score"] == "max_logit_pnorm").any()
        compared = differences[differences["architecture"] == architecture]
        parts.append(headline(mine, compared, losses=losses).text)
        parts += [_table(mine, losses, two_classes=two_classes), TABLE_NOTE]
        drawn = results / "figures" / name / architecture
        for figure, caption in FIGURES.items():
            if (drawn / f"{figure}.png").exists() and not (two_classes and figure in NOT_OF_TWO_CLASSES):
                file = f"{name}/{architecture}_{figure}.png"
                shutil.copyfile(drawn / f"{figure}.png", folder / file)
                parts.append(f"![{caption}]({file})")
    for variant in (name, name + AS_RELEASED):
        if (results / "tables" / variant / "summary.csv").exists():
            parts += [_numbers(results, variant, folder, of=name), _missing(experiment, variant, costs)]
    lines = [line.removeprefix(f"{name}: ") for line in deviations({name: experiment.compared}, costs)]
    parts.append("\n".join(["Differences from the released code:\n", *(f"- {line}" for line in lines)]))
    return "\n\n".join(filter(None, parts))


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    return tabulate([*rows], headers="keys", tablefmt="pipe", disable_numparse=True)


def _table(summary: DataFrame, losses: Losses, *, two_classes: bool) -> str:
    columns = {title: key for title, key in COLUMNS.items() if not (two_classes and key[0] != "msp")}
    rows = []
    for _, group in in_order(summary, losses).groupby(["loss", "alpha"], sort=False):
        first = group.iloc[0]
        found = {(row["score"], row["metric"]): row for _, row in group.iterrows()}
        texts = {title: _cell(found.get(key)) for title, key in columns.items()}
        rows.append({"Loss": losses.label(first["loss"], first["alpha"]), "Seeds": str(first["seeds"]), **texts})
    return markdown(rows)


def _cell(values: Series | None) -> str:
    if values is None or np.isnan(values["mean"]):
        return DASH
    mean, std, low, high = (100 * values[name] for name in ("mean", "std", "low", "high"))
    return f"{plus_minus(mean, std)} [{low:.2f}, {high:.2f}]"


def _numbers(results: Path, variant: str, folder: Path, *, of: str) -> str:
    """Copy the tables behind a section; return the line that links them."""
    links = []
    for table in ("summary", "cost"):
        file = f"{of}/{table}{variant.removeprefix(of)}.csv"
        shutil.copyfile(results / "tables" / variant / f"{table}.csv", folder / file)
        links.append(f"[{table}]({file})")
    return f"Numbers {_as(variant)}: {', '.join(links)}."


def _missing(experiment: Experiment, variant: str, costs: DataFrame) -> str:
    """The models of the grid that were not run; seeds are named where only some of them are missing."""
    ran = {Cell(*key) for key in costs[CELL].itertuples(index=False)}
    left: dict[tuple[str, float], set[int]] = {}
    for cell in experiment.cells(variant):
        if cell not in ran:
            left.setdefault((cell.loss, cell.alpha), set()).add(cell.seed)
    losses = Losses.of(experiment.named_losses)
    names = [
        losses.label(*key) + (f" (seed {', '.join(map(str, sorted(seeds)))})" if seeds != set(experiment.seeds) else "")
        for key, seeds in left.items()
    ]
    return f"Not run {_as(variant)}: {', '.join(names)}." if names else ""


def _as(variant: str) -> str:
    return "as released" if variant.endswith(AS_RELEASED) else "as shipped"
