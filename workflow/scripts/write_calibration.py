"""Write the table of calibration and logit distances of an experiment."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.runtime.jobs import job
from unsmooth.tables.calibration import calibration_table
from unsmooth.tables.labels import Losses
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        write_table(
            calibration_table(
                pd.read_csv(snakemake.input.summary), losses=Losses.of(json.loads(snakemake.params.losses))
            ),
            Path(snakemake.output.csv).with_suffix(""),
        )
