"""Write the main table of an experiment."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables import main_table, write_table
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses


def write_main(summary: str, fitted: list[str], cells: list[dict], losses: Losses, stem: Path) -> None:
    """Write every metric of all losses and alphas under MSP and both repairs."""
    write_table(main_table(pd.read_csv(summary), read_cells(fitted, cells), losses=losses), stem)


if __name__ == "__main__":
    with job(snakemake, __file__):
        write_main(
            snakemake.input.summary,
            list(snakemake.input.fitted),
            json.loads(snakemake.params.cells),
            Losses.of(json.loads(snakemake.params.losses)),
            Path(snakemake.output.csv).with_suffix(""),
        )
