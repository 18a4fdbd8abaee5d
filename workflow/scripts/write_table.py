"""Write a table of the summary of an experiment."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.registry import resolve
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__, snakemake.params.table):
        summary = pd.read_csv(snakemake.input.summary)
        table = resolve(snakemake.params.table)(summary, losses=Losses.of(json.loads(snakemake.params.losses)))
        write_table(table, Path(snakemake.output.csv).with_suffix(""))
