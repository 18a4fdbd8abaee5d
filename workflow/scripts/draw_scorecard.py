"""Draw this run against published numbers."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.scorecard import scorecard_figure
from unsmooth.figures.style import save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__):
        width = json.loads(snakemake.params.settings)["figures.width"]
        losses = {name: Losses.of(named) for name, named in json.loads(snakemake.params.losses).items()}
        figure, data = scorecard_figure(pd.read_csv(snakemake.input[0]), losses=losses, width=width)
        save_figure(figure, data, Path(snakemake.output.pdf).with_suffix(""))
