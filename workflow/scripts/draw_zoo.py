"""Draw accuracy against AURC and failure AUROC of each model, before and after normalisation."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.style import save_figure
from unsmooth.figures.zoo import zoo
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.zoo import zoo_gains

if __name__ == "__main__":
    with job(snakemake, __file__):
        gains = zoo_gains(pd.read_csv(snakemake.input.summary), pd.read_csv(snakemake.input.differences))
        figure, data = zoo(
            gains,
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
