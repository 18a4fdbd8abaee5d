"""Compare every published number with this run's, as a table and a figure."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures import save_figure, scorecard_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables import SUMMARY, scorecard_table, write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        summaries = [pd.read_csv(path) for path in snakemake.input]
        summary = pd.concat(summaries) if summaries else pd.DataFrame(columns=SUMMARY)
        table = scorecard_table(json.loads(snakemake.params.experiments), summary)
        write_table(table, Path(snakemake.output.csv).with_suffix(""))
        figure, data = scorecard_figure(table.data, width=json.loads(snakemake.params.settings)["figures.width"])
        save_figure(figure, data, Path(snakemake.output.pdf).with_suffix(""))
