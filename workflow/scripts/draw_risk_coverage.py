"""Draw the risk-coverage curves of an experiment under one score."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.curves import risk_coverage
from unsmooth.figures.style import save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__):
        settings = json.loads(snakemake.params.settings)
        summary = pd.read_csv(snakemake.input.summary)
        figure, data = risk_coverage(
            read_cells(list(snakemake.input.curves), json.loads(snakemake.params.cells)),
            summary[summary["architecture"] == snakemake.wildcards.architecture],
            score=snakemake.wildcards.score,
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=settings["figures.width"],
            **settings["figures.risk_coverage"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
