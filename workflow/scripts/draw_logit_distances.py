"""Draw the logit distances of every loss."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.calibration import logit_distances
from unsmooth.figures.style import save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__):
        summary = pd.read_csv(snakemake.input.summary)
        figure, data = logit_distances(
            summary[summary["architecture"] == snakemake.wildcards.architecture],
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
