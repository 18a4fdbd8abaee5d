"""Draw AURC against the norm order p."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.figures import pnorm_sweep, save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import CELL_KEYS, read_cells
from unsmooth.tables.labels import Losses


def chosen_orders(fitted: list[str], cells: list[dict]) -> pd.DataFrame:
    """Return the fitted p of every cell; nan where the score fell back to MSP."""
    rows = []
    for path, cell in zip(fitted, cells, strict=True):
        found = json.loads(Path(path).read_text())["max_logit_pnorm"]
        p = float("nan") if found["fell_back"] else float(found["params"]["p"])
        rows.append({**{key: cell[key] for key in CELL_KEYS}, "p": p})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    with job(snakemake, __file__):
        cells = json.loads(snakemake.params.cells)
        sweep = read_cells(list(snakemake.input.sweep), cells)
        is_msp = sweep["p"].isna()
        figure, data = pnorm_sweep(
            sweep[~is_msp],
            chosen_orders(list(snakemake.input.fitted), cells),
            sweep[is_msp].drop(columns="p"),
            losses=Losses.of(json.loads(snakemake.params.losses)),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
