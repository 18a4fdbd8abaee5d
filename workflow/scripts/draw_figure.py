"""Draw the figure of an architecture that a rule names, from files of its cells, if any, and the summary."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures.style import save_figure
from unsmooth.registry import resolve
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__, snakemake.params.figure):
        cells = json.loads(snakemake.params.get("cells", "[]"))
        summary = pd.read_csv(snakemake.input.summary)
        figure, data = resolve(snakemake.params.figure)(
            *(read_cells(list(files), cells) for name, files in snakemake.input.items() if name != "summary"),
            summary[summary["architecture"] == snakemake.wildcards.architecture],
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
