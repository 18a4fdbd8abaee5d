"""Table of machines: device, hours, versions and data of every experiment."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame

from unsmooth.config.cells import Cell
from unsmooth.published.sections import markdown
from unsmooth.tables.labels import CELL


def machines_table(run: Path, names: Sequence[str], costs: DataFrame) -> str:
    """Return one row an experiment that was run in Markdown, and below it the versions of the libraries.

    `costs` are those of all their cells in the folder `run` of a workflow.
    """
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
                "Device": _listed(_device(made) for made in runs),
                "Precision": _listed(made["precision"] for made in runs),
                "Commit": _listed(made["git_commit"][:10] for made in runs),
                "SHA-256 of the data": _listed(made["data_sha256"][:16] for made in runs),
            }
        )
    return f"{markdown(rows)}\n\nVersions: {'; '.join(sorted(versions))}."


def _device(made: Mapping[str, Any]) -> str:
    """The processor where nothing else computed; runs of older versions do not name it."""
    return made.get("processor", "cpu") if made["device"] == "cpu" else made["device"]


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))
