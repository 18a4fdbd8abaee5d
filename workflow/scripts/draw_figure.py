"""Draw the figure that a rule names, from its inputs: CSV files of an experiment, or files of its cells."""

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
        frames = [
            pd.read_csv(files) if isinstance(files, str) else read_cells(list(files), cells)
            for _, files in snakemake.input.items()
        ]
        if architecture := snakemake.wildcards.get("architecture"):
            frames = [frame[frame["architecture"] == architecture] for frame in frames]
        settings = json.loads(snakemake.params.settings)
        options = {"width": settings.pop("figures.width"), "losses": Losses.of(json.loads(snakemake.params.losses))}
        for own in settings.values():
            options |= own
        options |= {name: value for name, value in snakemake.wildcards.items() if name == "score"}
        figure, data = resolve(snakemake.params.figure)(*frames, **options)
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
