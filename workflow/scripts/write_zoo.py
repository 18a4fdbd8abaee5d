"""Write the table of the gain of normalisation for each model."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.writing import write_table
from unsmooth.tables.zoo import zoo_gains, zoo_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        gains = zoo_gains(pd.read_csv(snakemake.input.summary), pd.read_csv(snakemake.input.differences))
        write_table(
            zoo_table(gains, losses=Losses.of(json.loads(snakemake.params.losses))),
            Path(snakemake.output.csv).with_suffix(""),
        )
