"""Compare this run with every published number."""

import json
from pathlib import Path

from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_costs, read_summaries
from unsmooth.tables.scorecard import scorecard_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        table = scorecard_table(
            json.loads(snakemake.params.experiments),
            read_summaries(snakemake.input.summaries),
            read_costs(snakemake.input.costs),
        )
        write_table(table, Path(snakemake.output.csv).with_suffix(""))
