"""List the experiments with published numbers, and how to run each."""

import json
from pathlib import Path

from unsmooth.runtime.jobs import job
from unsmooth.tables.scorecard import published_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        write_table(
            published_table(json.loads(snakemake.params.experiments)), Path(snakemake.output.csv).with_suffix("")
        )
