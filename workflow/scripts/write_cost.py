"""Write the cost of training the cells of an experiment."""

import json
from pathlib import Path

from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses
from unsmooth.tables.layouts import cost_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        runs = read_cells(list(snakemake.input.runs), json.loads(snakemake.params.cells))
        write_table(
            cost_table(runs, losses=Losses.of(json.loads(snakemake.params.losses))),
            Path(snakemake.output.csv).with_suffix(""),
        )
