"""Draw the errors of two models in a few scenes by confidence rank."""

import json
from pathlib import Path

from unsmooth.figures.maps import CellScenes, ranking_maps
from unsmooth.figures.style import save_figure
from unsmooth.registry.scores import MAIN_SCORES, NORMALISED_SCORE
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import score_targets
from unsmooth.scores import usable_scores
from unsmooth.segmentation import read_scenes
from unsmooth.tables.collection import read_fitted
from unsmooth.tables.labels import Losses
from unsmooth.tables.titles import place_title

if __name__ == "__main__":
    with job(snakemake, __file__, *score_targets(MAIN_SCORES)):
        cells = [
            CellScenes(
                cell["loss"],
                cell["alpha"],
                read_scenes(Path(maps)),
                usable_scores(read_fitted(fitted)).get(NORMALISED_SCORE),
            )
            for cell, maps, fitted in zip(
                json.loads(snakemake.params.cells), snakemake.input.maps, snakemake.input.fitted, strict=True
            )
        ]
        figure, data = ranking_maps(
            cells,
            losses=Losses.of(json.loads(snakemake.params.losses)),
            title=place_title(snakemake.wildcards.experiment, snakemake.wildcards.architecture),
            width=json.loads(snakemake.params.settings)["figures.width"],
        )
        save_figure(figure, data, Path(snakemake.output.csv).with_suffix(""))
