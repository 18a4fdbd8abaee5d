"""Write the main results of an experiment: a short table and one of every metric."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses
from unsmooth.tables.main import all_metrics_table, main_table
from unsmooth.tables.writing import write_table


def write_main(summary: str, fitted: list[str], cells: list[dict], losses: Losses, stem: Path) -> None:
    """Write a short table, and one of every metric with `_all` in its name."""
    frames = pd.read_csv(summary), read_cells(fitted, cells)
    write_table(main_table(*frames, losses=losses), stem)
    write_table(all_metrics_table(*frames, losses=losses), stem.with_name(f"{stem.name}_all"))


if __name__ == "__main__":
    with job(snakemake, __file__):
        write_main(
            snakemake.input.summary,
            list(snakemake.input.fitted),
            json.loads(snakemake.params.cells),
            Losses.of(json.loads(snakemake.params.losses)),
            Path(snakemake.output.csv).with_suffix(""),
        )
