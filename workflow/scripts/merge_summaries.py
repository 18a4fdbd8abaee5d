"""Merge the summaries of all experiments, in their order."""

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job

if __name__ == "__main__":
    with job(snakemake, __file__), atomic_path(snakemake.output[0]) as temporary:
        pd.concat(map(pd.read_csv, snakemake.input)).to_csv(temporary, index=False)
