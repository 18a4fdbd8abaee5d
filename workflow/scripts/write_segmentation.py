"""Write the table of pixel metrics of an experiment on scenes."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.layouts import segmentation_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        summary = pd.read_csv(snakemake.input.summary)
        write_table(
            segmentation_table(summary, losses=Losses.of(json.loads(snakemake.params.losses))),
            Path(snakemake.output.csv).with_suffix(""),
        )
