"""Draw AURC against the norm order p."""

import json
from pathlib import Path

from unsmooth.figures.style import save_figure
from unsmooth.figures.sweeps import pnorm_sweep
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cells
from unsmooth.tables.labels import CELL, Losses

if __name__ == "__main__":
    with job(snakemake, __file__):
        cells = json.loads(snakemake.params.cells)
        sweep = read_cells(list(snakemake.input.sweep), cells)
        fitted = read_cells(list(snakemake.input.fitted), cells)
        is_msp = sweep["p"].isna()
        figure, data = pnorm_sweep(
            sweep[~is_msp],
            fitted.loc[fitted["score"] == "max_logit_pnorm", [*CELL, "p"]],
            sweep[is_msp].drop(columns="p"),
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
