"""Write the table of what normalisation gains for each model."""

from pathlib import Path

import pandas as pd

from unsmooth.jobs import job_log
from unsmooth.tables import write_table, zoo_gains, zoo_table

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        gains = zoo_gains(pd.read_csv(snakemake.input.summary), pd.read_csv(snakemake.input.differences))
        write_table(zoo_table(gains), Path(snakemake.output.csv).with_suffix(""))
