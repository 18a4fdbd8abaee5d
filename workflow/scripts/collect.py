"""Summarise all cells of an experiment."""

import json
from pathlib import Path

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses
from unsmooth.tables.summary import paired_differences, summarise


def collect(
    metrics: list[str], bootstrap: list[str], cells: list[dict], losses: Losses, summary: Path, differences: Path
) -> None:
    """Write the summary over seeds and the paired differences."""
    values, replicates = read_cells(metrics, cells), read_cells(bootstrap, cells)
    for make, path in ((summarise, summary), (paired_differences, differences)):
        with atomic_path(path) as temporary:
            make(values, replicates, losses=losses).to_csv(temporary, index=False)


if __name__ == "__main__":
    with job(snakemake, __file__):
        collect(
            list(snakemake.input.metrics),
            list(snakemake.input.bootstrap),
            json.loads(snakemake.params.cells),
            Losses.of(json.loads(snakemake.params.losses)),
            Path(snakemake.output.summary),
            Path(snakemake.output.differences),
        )
