"""Write the table that a rule names, from its inputs: CSV files of an experiment, or files of its cells."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.registry import resolve
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__, snakemake.params.table):
        cells = json.loads(snakemake.params.get("cells", "[]"))
        frames = [
            pd.read_csv(files) if isinstance(files, str) else read_cells(list(files), cells)
            for _, files in snakemake.input.items()
        ]
        table = resolve(snakemake.params.table)(*frames, losses=Losses.of(json.loads(snakemake.params.losses)))
        write_table(table, Path(snakemake.output.csv).with_suffix(""))
