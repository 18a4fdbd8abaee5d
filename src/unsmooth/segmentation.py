"""Streaming scores of segmentation: every labelled pixel is scored, and only a sample of logits is kept.

Each score has one accumulator of all labelled test pixels; fitting, figures and bootstrap use the logits of a sample
with the same number of pixels of each scene.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unsmooth.atomic_files import atomic_path
from unsmooth.data.arrays import IGNORED
from unsmooth.metrics import StreamingMetrics
from unsmooth.scores import FittedScore, score_all

CAPACITY = 1 << 21  # bins of an accumulator: 128 MiB, and bounds of AURC within 1e-6 of each other


class Scene(NamedTuple):
    """One scene with its logits, for pictures."""

    image: Tensor  # (C, H, W) uint8
    targets: Tensor  # (H, W) uint8, `IGNORED` where a pixel has no class
    logits: Tensor  # (K, H, W) float32


class PixelMetrics:
    """Selective metrics of any number of pixels in constant memory, and the confusion matrix of each scene.

    Args:
        scores: the fitted scores, by name.
        capacity: bins of the accumulator of each score.
    """

    def __init__(self, scores: Mapping[str, FittedScore], *, capacity: int = CAPACITY) -> None:
        self.scores = dict(scores)
        self.streams = {name: StreamingMetrics(capacity) for name in self.scores}
        self._confusions: list[NDArray[np.int64]] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add the labelled pixels of one scene.

        Args:
            logits: (K, H, W) floating point, on any device.
            targets: (H, W) class indices, `IGNORED` where a pixel has none.
        """
        labelled = (targets != IGNORED).flatten().cpu().numpy()
        truth = targets.flatten().long().cpu().numpy()[labelled]
        classes = len(logits)
        # All pixels, because to pick the labelled ones takes longer than to score them.
        scored = score_all(logits.flatten(1).T, scores=self.scores, ps=())
        predictions = scored.predictions[labelled]
        errors = predictions != truth
        pairs = np.bincount(truth * classes + predictions, minlength=classes**2)
        self._confusions.append(pairs.reshape(classes, classes))
        for name, stream in self.streams.items():
            stream.update(scored[name][labelled], errors)

    @property
    def confusions(self) -> NDArray[np.int64]:
        """(M, K, K) pixels of each scene, truth by prediction."""
        return np.stack(self._confusions)

    def frame(self, coverages: Sequence[float]) -> DataFrame:
        """Return `score, metric, value, lower, upper`: AURC, AUGRC and the risk at `coverages`, with certified bounds.

        The bounds hold for the value that the in-memory metrics would return for all pixels together; fractions, lower
        is better.
        """
        rows = []
        for name, stream in self.streams.items():
            bounds = stream.bounds(coverages)
            values = {"aurc": stream.aurc(), "augrc": stream.augrc()} | stream.risks_at(coverages)
            rows += [(name, metric, value, *bounds[metric]) for metric, value in values.items()]
        return DataFrame(rows, columns=["score", "metric", "value", "lower", "upper"])


def small_scene(image: Tensor, targets: Tensor, logits: Tensor, size: int) -> Scene:
    """Return a scene of at most `size` pixels on its longer side: logits bilinear, image by area, targets nearest.

    `image` (C, H, W) is in [0, 1], `targets` (H, W) are class indices, `logits` (K, H, W).
    """
    height, width = targets.shape
    shrink = min(1.0, size / max(height, width))
    shape = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    resize = nn.functional.interpolate
    return Scene(
        (resize(image[None].cpu(), shape, mode="area")[0].clamp(0, 1) * 255).round().to(torch.uint8),
        resize(targets[None, None].cpu().to(torch.uint8), shape, mode="nearest")[0, 0],
        resize(logits[None].cpu(), shape, mode="bilinear", align_corners=False)[0],
    )


def write_scenes(path: Path, scenes: Mapping[int, Scene]) -> None:
    """Write scenes by their places in the test split, whole or not at all."""
    with atomic_path(path) as temporary:
        parts = [(place, *part) for place, scene in scenes.items() for part in scene._asdict().items()]
        save_file({f"{place}.{name}": tensor.contiguous() for place, name, tensor in parts}, temporary)


def read_scenes(path: Path) -> dict[int, Scene]:
    """Read what `write_scenes` wrote, by place, in ascending order."""
    tensors = load_file(path)
    places = sorted({int(name.split(".")[0]) for name in tensors})
    return {place: Scene(*(tensors[f"{place}.{name}"] for name in Scene._fields)) for place in places}
