"""Collect the page content of an experiment."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.page.run import experiment_content
from unsmooth.registry.scores import MAIN_SCORES
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import score_targets
from unsmooth.tables.labels import Losses


def collect_page(
    cells: list[dict],
    summary: Path,
    differences: Path,
    windows: dict[str, Path],
    losses: Losses,
    trained: bool,
    dataset: Path | None,
    output: Path,
) -> None:
    """Write a JSON list with one object per architecture."""
    contents = [
        experiment_content(
            [cell for cell in cells if cell["architecture"] == architecture],
            summary=pd.read_csv(summary),
            differences=pd.read_csv(differences),
            windows=pd.read_csv(windows[architecture]) if architecture in windows else None,
            dataset=dataset,
            losses=losses,
            trained=trained,
        )
        for architecture in dict.fromkeys(cell["architecture"] for cell in cells)
    ]
    with atomic_path(output) as temporary:
        temporary.write_text(json.dumps(contents, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with job(snakemake, __file__, *score_targets(MAIN_SCORES)):
        experiment = json.loads(snakemake.params.experiment)
        collect_page(
            json.loads(snakemake.params.cells),
            Path(snakemake.input.summary),
            Path(snakemake.input.differences),
            {Path(path).parent.name: Path(path) for path in snakemake.input.windows},
            Losses.of(experiment["losses"]),
            experiment["trained"],
            Path(snakemake.input.manifest).parent if experiment["images"] else None,
            Path(snakemake.output[0]),
        )
