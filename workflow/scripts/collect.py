"""Summarise all cells of an experiment."""

import json
from pathlib import Path

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job
from unsmooth.tables import findings_text, paired_differences, summarise
from unsmooth.tables.collection import read_cells


def collect(
    metrics: list[str], bootstrap: list[str], cells: list[dict], summary: Path, differences: Path, sentences: Path
) -> None:
    """Write the summary over seeds, the paired differences, and what they show in sentences."""
    values, replicates = read_cells(metrics, cells), read_cells(bootstrap, cells)
    summarised, compared = summarise(values, replicates), paired_differences(values, replicates)
    found = findings_text(summarised, compared)
    for frame, path in ((summarised, summary), (compared, differences)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic_path(sentences) as temporary:
        temporary.write_text(found, encoding="utf-8")
    print(found)


if __name__ == "__main__":
    with job(snakemake, __file__):
        collect(
            list(snakemake.input.metrics),
            list(snakemake.input.bootstrap),
            json.loads(snakemake.params.cells),
            Path(snakemake.output.summary),
            Path(snakemake.output.differences),
            Path(snakemake.output.findings),
        )
