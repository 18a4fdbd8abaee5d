"""Ranking maps: segmentation errors in scenes and their confidence ranks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas import DataFrame, Series

from unsmooth.data.arrays import IGNORED
from unsmooth.figures.style import new_figure, styled
from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE, score_label
from unsmooth.scores import FittedScore, score_all
from unsmooth.segmentation import Scene
from unsmooth.tables.labels import KINDS, Losses

CORRECT, UNLABELLED = 60 / 255, 0.0  # grey
# Errors are mostly among the least confident pixels: a root spreads their colours.
RANKS = ScalarMappable(PowerNorm(0.5, 0, 1), "plasma")


class CellScenes(NamedTuple):
    """Some test scenes of one cell by place, and its fitted p-norm score; None if the score ranks nothing."""

    loss: str
    alpha: float
    scenes: Mapping[int, Scene]
    repair: FittedScore | None


@styled
def ranking_maps(
    cells: Sequence[CellScenes], *, title: str = "", losses: Losses = KINDS, width: float = 7.0
) -> tuple[Figure, DataFrame]:
    """Scenes, ground truth, predictions, and wrong pixels coloured by their confidence rank among all pixels.

    The brightest are the most confident errors, which a threshold rejects last. The two cells, cross-entropy and
    smoothed, must have the same scenes. The data are the wrong pixels; their rank is that of `confidence_ranks` among
    the labelled pixels of the scene.
    """
    places = [list(cell.scenes) for cell in cells]
    if len(cells) != 2 or places[0] != places[1]:
        raise ValueError(f"cells must be two with the same scenes, got scenes {places}")
    shapes = [scene.targets.shape for scene in cells[0].scenes.values()]
    height = sum(2 * (0.2 + width / 4.4 * rows / columns) for rows, columns in shapes) + 0.9
    figure = new_figure(width, height)
    grid = figure.subplots(2 * len(shapes), 4, squeeze=False)
    parts = []
    for block, place in enumerate(places[0]):
        scene = cells[0].scenes[place]
        left = (("Image", _picture(scene)), ("Ground truth", _class_map(scene.targets.numpy(), scene)))
        for row, cell, (name, picture) in zip(grid[2 * block : 2 * block + 2], cells, left, strict=True):
            _show(row[0], picture, f"{name}, scene {place}")
            prediction = cell.scenes[place].logits.argmax(dim=0).numpy()
            label = losses.label(cell.loss, cell.alpha)
            _show(row[1], _class_map(prediction, scene), f"{label}: prediction")
            for axes, score in zip(row[2:], (BASELINE_SCORE, NORMALISED_SCORE), strict=True):
                parts.append(_draw_errors(axes, cell, place, score, losses))
    if title:
        figure.suptitle(title)
    text = "wrong pixels: share of labelled pixels that are less confident (brightest: most confident errors)"
    figure.colorbar(RANKS, ax=grid, location="bottom", shrink=0.6, aspect=40, pad=0.02, label=text)
    return figure, pd.concat(parts, ignore_index=True)


def confidence_ranks(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of samples that are less confident than each, half of its ties counted, in (0, 1).

    Example:
        >>> confidence_ranks(np.array([0.9, 0.1, 0.5, 0.5])).tolist()
        [0.875, 0.125, 0.5, 0.5]
    """
    return (Series(confidence).rank().to_numpy() - 0.5) / len(confidence)


def _draw_errors(axes: Axes, cell: CellScenes, place: int, score: str, losses: Losses) -> DataFrame:
    scene = cell.scenes[place]
    targets = scene.targets.numpy()
    labelled = targets != IGNORED
    colours = np.full((*targets.shape, 3), UNLABELLED)
    colours[labelled] = CORRECT
    name = f"{losses.label(cell.loss, cell.alpha)}: {score_label(score)}"
    key = {"scene": place, "loss": cell.loss, "alpha": cell.alpha, "score": score}
    found = DataFrame(columns=[*key, "row", "column", "rank"])
    fitted: str | FittedScore | None = cell.repair if score == NORMALISED_SCORE else score
    if isinstance(fitted, FittedScore):
        name += " (falls back)" if fitted.fell_back else f", p = {fitted.params['p']:g}"
    if fitted is not None and labelled.any():
        logits = scene.logits.flatten(1).T[labelled.ravel()]
        scored = score_all(logits, scores={score: fitted}, ps=())
        wrong = scored.predictions != targets[labelled]
        ranks = confidence_ranks(scored[score])[wrong]
        rows, columns = (axis[wrong] for axis in np.nonzero(labelled))
        colours[rows, columns] = RANKS.to_rgba(ranks)[:, :3]
        found = DataFrame({**key, "row": rows, "column": columns, "rank": ranks})
    _show(axes, colours, name)
    return found


def _show(axes: Axes, picture: NDArray[np.floating], title: str) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()


def _picture(scene: Scene) -> NDArray[np.float64]:
    """(H, W, 3) in [0, 1]; (H, W) if grey."""
    pixels = scene.image.permute(1, 2, 0).numpy() / 255
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _class_map(classes: NDArray[np.integer], scene: Scene) -> NDArray[np.float64]:
    """One colour per class, (H, W, 3); unlabelled pixels are black."""
    palette = np.concatenate([matplotlib.colormaps[name](range(20))[:, :3] for name in ("tab20", "tab20b")])
    colours = palette[classes.astype(np.int64) % len(palette)]
    colours[scene.targets.numpy() == IGNORED] = UNLABELLED
    return colours
