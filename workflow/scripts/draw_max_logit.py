"""Draw the max logit given the max probability, for correct and wrong predictions."""

import json
from pathlib import Path

from unsmooth.figures.mechanism import max_logit_given_probability
from unsmooth.figures.style import save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cell_logits
from unsmooth.tables.labels import Losses
from unsmooth.tables.titles import place_title

if __name__ == "__main__":
    with job(snakemake, __file__):
        settings = json.loads(snakemake.params.settings)
        cells = read_cell_logits(list(snakemake.input), json.loads(snakemake.params.cells))
        figure, data = max_logit_given_probability(
            cells,
            splits=list(dict.fromkeys(cell.split for cell in cells)),
            loss=json.loads(snakemake.params.smoothed)[0],
            losses=Losses.of(json.loads(snakemake.params.losses)),
            title=place_title(snakemake.wildcards.experiment, snakemake.wildcards.architecture),
            width=settings["figures.width"],
            **settings["figures.max_logit"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
