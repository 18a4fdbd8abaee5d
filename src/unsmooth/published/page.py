"""The page of the results of the published experiments, with the numbers behind it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pandas import DataFrame

from unsmooth.config.cells import Cell
from unsmooth.config.kinds import Experiment
from unsmooth.data.sources import SOURCES
from unsmooth.published.planning import AS_RELEASED, PLAN, planned_folders, published_experiments
from unsmooth.published.sections import markdown, section
from unsmooth.registry.metrics import metric_style
from unsmooth.tables.collection import read_costs, read_summaries
from unsmooth.tables.labels import CELL, DASH, Losses
from unsmooth.tables.scorecard import (
    NO_INTERVAL,
    NOISE,
    NOT_RUN,
    OUTSIDE,
    WITHIN,
    measured_text,
    model_text,
    published_text,
    scorecard,
    verdict_text,
)

INTRODUCTION = (
    "The published experiments on their own data, trained with this repository. `make published DATA=FOLDER` runs "
    "those whose data FOLDER holds, and writes this page and the files beside it; nothing here is written by hand.\n"
    '"As shipped" is the experiment file of this repository; "as released" switches back those deviations from the '
    "released code that can be.\n"
    "AURC is the area under the curve of risk against coverage; MSP is the maximum softmax probability, the usual "
    "confidence score."
)
SCORECARD_NOTE = (
    "Difference: as released minus published, and as shipped minus published where nothing was run as released; "
    "percentage points. AURC in the convention of the paper."
)


def write_page(run: Path, experiments: Path, target: Path) -> None:
    """Write index.md, its figures and the CSV files behind its numbers into the folder `target`, whole or not at all.

    `run` is the folder of a workflow with a finished published experiment; `experiments` has the shipped ones.
    """
    known = published_experiments(experiments)
    names = [name for shipped in known for name in (shipped, shipped + AS_RELEASED)]
    finished = [name for name in names if (run / "results" / "tables" / name / "summary.csv").exists()]
    if not finished:
        raise FileNotFoundError(f"{run / 'results'} holds no finished tables of a published experiment")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        new = Path(folder) / target.name
        new.mkdir()
        text = _page(run, known, finished, new)
        (new / "index.md").write_text(text, encoding="utf-8")
        if target.exists():
            target.rename(Path(folder) / "before")
        new.rename(target)


def _page(run: Path, known: Mapping[str, Experiment], finished: Sequence[str], folder: Path) -> str:
    tables = [run / "results" / "tables" / name for name in finished]
    summary = read_summaries([path / "summary.csv" for path in tables])
    costs = read_costs([path / "cost.csv" for path in tables])
    compared = {
        name: {**known[name.removesuffix(AS_RELEASED)].compared, "as_released": name.endswith(AS_RELEASED)}
        for name in finished
    }
    card = scorecard(compared, summary)
    card.to_csv(folder / "scorecard.csv", index=False)
    parts = ["# Results on the published data", INTRODUCTION, "## Scorecard", _scorecard(card, known)]
    parts += [section(run / "results", known, name, costs, folder) for name in known if name in finished]
    parts += ["## What was run where", _machines(run, finished, costs), _not_run(run, known, finished)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _scorecard(card: DataFrame, known: Mapping[str, Experiment]) -> str:
    """One row a published number: as released, as shipped, and the verdict on the first that was run."""
    card = card.assign(released=card["experiment"].str.endswith(AS_RELEASED))
    card["experiment"] = card["experiment"].str.removesuffix(AS_RELEASED)
    rows, judged = [], {}
    for _, both in card.groupby(["experiment", "loss", "alpha", "score", "metric"], sort=False):
        ran = {row["released"]: row for _, row in both.iterrows() if row["verdict"] != NOT_RUN}
        if not ran:
            continue
        chosen = ran[max(ran)]
        losses = Losses.of(known[chosen["experiment"]].named_losses)
        model, style = model_text(chosen, losses), metric_style(chosen["metric"])
        judged[f"{chosen['experiment']}, {model}, {style.label}"] = chosen
        rows.append(
            {
                "Experiment": chosen["experiment"],
                "Model": model,
                "Metric": style.title,
                "Published": published_text(chosen),
                "As released": measured_text(ran[True]) if True in ran else DASH,
                "As shipped": measured_text(ran[False]) if False in ran else DASH,
                "Difference": f"{style.scale * chosen['difference']:+.{style.decimals}f}",
                "Verdict": verdict_text(chosen),
            }
        )
    if not rows:
        return "No experiment with published numbers was run."
    return "\n\n".join(
        [_agreement(judged), markdown(rows), f"{SCORECARD_NOTE} {NOISE}", "[scorecard.csv](scorecard.csv)"]
    )


def _agreement(judged: Mapping[str, pd.Series]) -> str:
    """How many published numbers lie within noise, by name those that do not, and how many have no verdict."""
    several = {name: row["verdict"] for name, row in judged.items() if row["seeds"] > 1}
    text = f"Of {len(judged)} published numbers, {len(several)} were run with several seeds"
    if not several:
        return f"{text}."
    counts = Counter(several.values())
    text += f", and {counts[WITHIN]} of these lie within noise"
    if counts[NO_INTERVAL]:
        text += f"; without an interval: {counts[NO_INTERVAL]}"
    if counts[OUTSIDE]:
        text += f"; outside: {'; '.join(name for name, verdict in several.items() if verdict == OUTSIDE)}"
    return f"{text}."


def _machines(run: Path, names: Sequence[str], costs: DataFrame) -> str:
    """One row an experiment with its device, hours and data, and the versions of the libraries below it."""
    rows, versions = [], set()
    for name in names:
        mine = costs[costs["experiment"] == name]
        folders = [run / Cell(*key).folder for key in mine[CELL].itertuples(index=False)]
        runs = [json.loads((folder / "run.json").read_text()) for folder in folders]
        versions |= {", ".join(f"{library} {number}" for library, number in made["versions"].items()) for made in runs}
        rows.append(
            {
                "Experiment": name,
                "Cells": str(len(runs)),
                "Hours of training": f"{mine['wall_time_s'].sum() / 3600:.3f}",
                "Device": _listed(
                    made.get("processor", "cpu") if made["device"] == "cpu" else made["device"] for made in runs
                ),
                "Precision": _listed(made["precision"] for made in runs),
                "Commit": _listed(made["git_commit"][:10] for made in runs),
                "SHA-256 of the data": _listed(made["data_sha256"][:16] for made in runs),
            }
        )
    return f"{markdown(rows)}\n\nVersions: {'; '.join(sorted(versions))}."


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def _not_run(run: Path, known: Mapping[str, Experiment], finished: Sequence[str]) -> str:
    """The published experiments without results, with the data that each needs."""
    downloaded = {path.parent.name for path in (run / "resources" / "sources").glob("*/source.json")}
    present = downloaded | planned_folders(run / PLAN).keys()
    rows = []
    for name, experiment in known.items():
        if name in finished:
            continue
        missing = [
            source if SOURCES[source].terms is None else f"{source} (behind a login)"
            for source in experiment.dataset.sources
            if source not in present
        ]
        rows.append(
            {
                "Experiment": name,
                "Reason": f"data not at hand: {', '.join(missing)}" if missing else "not trained",
                "Command": f"`snakemake --cores all {name}`",
            }
        )
    return f"## Not run\n\n{markdown(rows)}" if rows else ""
