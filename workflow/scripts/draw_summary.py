"""Draw a figure of the summary of an architecture."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.style import save_figure
from unsmooth.registry import resolve
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__, snakemake.params.figure):
        summary = pd.read_csv(snakemake.input.summary)
        figure, data = resolve(snakemake.params.figure)(
            summary[summary["architecture"] == snakemake.wildcards.architecture],
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
