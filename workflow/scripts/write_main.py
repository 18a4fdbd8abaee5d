"""Write the main results of an experiment: a short table and one of every metric."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses
from unsmooth.tables.main import all_metrics_table, main_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        losses = Losses.of(json.loads(snakemake.params.losses))
        summary = pd.read_csv(snakemake.input.summary)
        fitted = read_cells(list(snakemake.input.fitted), json.loads(snakemake.params.cells))
        for make, file in ((main_table, snakemake.output.csv), (all_metrics_table, snakemake.output.all_csv)):
            write_table(make(summary, fitted, losses=losses), Path(file).with_suffix(""))
