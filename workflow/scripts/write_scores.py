"""Write the table of all scores of an experiment."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.layouts import scores_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        write_table(
            scores_table(pd.read_csv(snakemake.input.summary), losses=Losses.of(json.loads(snakemake.params.losses))),
            Path(snakemake.output.csv).with_suffix(""),
        )
