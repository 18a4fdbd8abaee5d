"""Draw the published numbers beside this run's."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures import save_figure, scorecard_figure
from unsmooth.runtime.jobs import job

if __name__ == "__main__":
    with job(snakemake, __file__):
        width = json.loads(snakemake.params.settings)["figures.width"]
        figure, data = scorecard_figure(pd.read_csv(snakemake.input[0]), width=width)
        save_figure(figure, data, Path(snakemake.output.pdf).with_suffix(""))
