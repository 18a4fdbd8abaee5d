"""Draw the gradient that label smoothing adds to the max logit, against the probability of error."""

import json
from pathlib import Path

from unsmooth.data.arrays import ARRAYS, load_split
from unsmooth.figures.mechanism import extra_gradient
from unsmooth.figures.style import save_figure
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_cell_logits
from unsmooth.tables.labels import Losses
from unsmooth.tables.titles import place_title

if __name__ == "__main__":
    with job(snakemake, __file__):
        data = Path(snakemake.input.get("data", ""))  # empty for imported logits
        posterior = load_split(data.parent, "test").posterior if data.name == ARRAYS else None
        cells = read_cell_logits(list(snakemake.input.logits), json.loads(snakemake.params.cells))
        if posterior is not None:
            cells = [cell._replace(posterior=posterior.numpy()) if cell.split == "test" else cell for cell in cells]
        figure, data = extra_gradient(
            cells,
            error="estimated" if posterior is None else "exact",
            losses=Losses.of(json.loads(snakemake.params.losses)),
            title=place_title(snakemake.wildcards.experiment, snakemake.wildcards.architecture),
            **json.loads(snakemake.params.settings)["figures.extra_gradient"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
