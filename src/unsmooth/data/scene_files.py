"""Scenes as image files with a label image each: a table of both, and batches decoded on the way.

What is done to a training scene, to the image and to its labels alike, is a function of (a number drawn for the epoch,
its index), as in `unsmooth.data.image_files`.
"""

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transforms

from unsmooth.atomic_files import sha256_of
from unsmooth.config.specs.recipes import ColourShift, SceneCrop
from unsmooth.data.arrays import IGNORED, MANIFEST, DatasetError, Manifest
from unsmooth.data.image_files import IMAGES, Batch, FilesLoader, Request, write_listed
from unsmooth.data.sources import data_root

JITTERS = (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation)


@dataclass(frozen=True)
class SceneManifest(Manifest):
    """What a prepared dataset of scenes in files holds; `sha256` is that of the table."""

    root: str  # folder of the source of the files, relative to the manifest's
    # Class index of each value of a label image, from 0 on; `IGNORED` where it is none, as is any above
    labels: list[int]
    # Longer side of whole scenes, and side of the padded square, pixels; None keeps the original size
    image_size: int | None = None


def write_scene_files(
    folder: Path,
    splits: Mapping[str, Sequence[tuple[str, str]]],
    *,
    root: Path,
    image_size: int | None = None,
    **fields: Any,  # noqa: ANN401
) -> SceneManifest:
    """Write the table of scenes and its manifest to `folder`, each file whole or not at all.

    `splits` holds the paths of image and label image of each scene, relative to the root; the other arguments are
    fields of `SceneManifest`, whose `input_shape` is that of the first training scene where `image_size` is None.
    """
    first = root / splits["train"][0][0]
    try:
        with Image.open(first) as image:
            width, height = image.size
    except (OSError, ValueError) as error:
        raise DatasetError(f"{first} cannot be decoded: {error}") from None
    fields |= {"input_shape": [3, image_size or height, image_size or width], "image_size": image_size}
    return write_listed(SceneManifest, folder, splits, ["path", "labels"], root, ignore_index=IGNORED, **fields)


def holds_scenes(folder: Path) -> bool:
    """Return whether the prepared dataset in `folder` is one of scenes in files."""
    return "labels" in json.loads((folder / MANIFEST).read_text())


def scene_files_loader(
    folder: Path,
    split: str,
    *,
    crop: SceneCrop | None = None,
    flip: bool = False,
    **settings: Any,  # noqa: ANN401
) -> FilesLoader:
    """Return the batches of one split of a prepared dataset; `crop` and `flip`, of training scenes, move labels too.

    `settings` are those of `FilesLoader`. DatasetError if the dataset is missing or damaged, or has no such split.
    """
    manifest = SceneManifest(**json.loads((folder / MANIFEST).read_text()))
    if split not in manifest.sizes:
        raise DatasetError(f"{folder} has no split {split!r}; it has {', '.join(manifest.sizes)}")
    path = folder / IMAGES
    if not path.exists() or sha256_of(path) != manifest.sha256:
        raise DatasetError(f"{path} is missing or not what {MANIFEST} says: delete {MANIFEST} to rebuild the dataset")
    root = data_root((folder / manifest.root).resolve())
    if not root.is_dir():
        raise DatasetError(f"{root}, the folder of the scenes of {manifest.dataset}, does not exist")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = table[table["split"] == split]
    decoder = _SceneDecoder(root, rows[["path", "labels"]].to_numpy(), manifest, crop, flip)
    return FilesLoader(decoder, len(rows), mean=manifest.mean, std=manifest.std, scale=255, **settings)


class _SceneDecoder(Dataset[Batch | str]):
    """Scenes of one split as batches of pixels (B, H, W, 3) uint8 and classes (B, H, W) int64, or what went wrong."""

    def __init__(
        self, root: Path, paths: NDArray[np.object_], manifest: SceneManifest, crop: SceneCrop | None, flip: bool
    ) -> None:
        self.root, self.crop, self.flip = os.fsencode(root), crop, flip
        self.image_size = manifest.image_size
        # Bytes in one block, which processes share.
        self.paths = np.array([[os.fsencode(name) for name in row] for row in paths], dtype=np.bytes_)
        self.classes = np.full(256, IGNORED, dtype=np.int64)
        self.classes[: len(manifest.labels)] = manifest.labels

    def __getitem__(self, request: Request) -> Batch | str:
        indices, draw = request
        scenes = []
        for index in indices:
            image, labels = (os.path.join(self.root, path) for path in self.paths[index])
            randomness = None if draw is None else random.Random(f"{draw}/{index}")
            try:
                scenes.append(self._read(image, labels, randomness))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                return f"{os.fsdecode(image)} with {os.fsdecode(labels)} cannot be decoded: {error}"
        pixels, classes = zip(*scenes, strict=True)
        return torch.stack(pixels), torch.stack(classes)

    def _read(self, image_path: bytes, labels_path: bytes, randomness: random.Random | None) -> tuple[Tensor, Tensor]:
        with Image.open(image_path) as image, Image.open(labels_path) as labels:
            if image.size != labels.size:
                raise ValueError(f"the image has {image.size} pixels, its labels have {labels.size}")
            if labels.mode not in ("L", "P"):
                raise ValueError(f"labels must be one byte a pixel, got mode {labels.mode}")
            colours = image.convert("RGB")
            if randomness is not None and self.crop is not None:
                colours, classes = _random_part(colours, labels, self.classes, self.crop, randomness)
                if self.crop.shift is not None:
                    colours = _shifted(colours, self.crop.shift, randomness)
            elif self.image_size is not None:
                colours, classes = _whole(colours, labels, self.classes, self.image_size)
            else:
                classes = self.classes[np.asarray(labels)]
        pixels = torch.from_numpy(np.array(colours))
        if randomness is not None and self.crop is not None and self.crop.jitter:
            pixels = _jittered(pixels, self.crop.jitter, randomness)
        if randomness is not None and self.flip and randomness.random() < 0.5:
            return pixels.flip(1), torch.from_numpy(classes[:, ::-1].copy())
        return pixels, torch.from_numpy(classes)


def _random_part(
    image: Image.Image, labels: Image.Image, classes: NDArray[np.int64], crop: SceneCrop, randomness: random.Random
) -> tuple[Image.Image, NDArray[np.int64]]:
    """Draw a scale and a square of `crop.size` pixels of the scaled scene."""
    scale = randomness.uniform(*crop.rescale)
    if crop.longest is not None:
        scale *= crop.longest / max(image.size)
    spans = [_random_span(side, scale, crop.size, randomness) for side in image.size]
    return _square(image, labels, classes, crop.size, scale, spans)


def _whole(
    image: Image.Image, labels: Image.Image, classes: NDArray[np.int64], size: int
) -> tuple[Image.Image, NDArray[np.int64]]:
    """Scale the longer side to `size` pixels and centre the scene in a square."""
    scale = size / max(image.size)
    sides = [max(1, round(side * scale)) for side in image.size]
    return _square(image, labels, classes, size, scale, [(0, (size - side) // 2, side) for side in sides])


def _square(
    image: Image.Image,
    labels: Image.Image,
    classes: NDArray[np.int64],
    size: int,
    scale: float,
    spans: Sequence[tuple[int, int, int]],
) -> tuple[Image.Image, NDArray[np.int64]]:
    """Place a part of the scaled scene, its spans by column and by row, in a square that is else black and unlabelled.

    Only the part that is kept is resized.
    """
    (left, place_x, columns), (top, place_y, rows) = spans
    box = (
        left / scale,
        top / scale,
        min((left + columns) / scale, image.width),
        min((top + rows) / scale, image.height),
    )
    part = Image.new("RGB", (size, size))
    part.paste(image.resize((columns, rows), Image.Resampling.BILINEAR, box=box), (place_x, place_y))
    kept = np.full((size, size), IGNORED, dtype=np.int64)
    found = np.asarray(labels.resize((columns, rows), Image.Resampling.NEAREST, box=box))
    kept[place_y : place_y + rows, place_x : place_x + columns] = classes[found]
    return part, kept


def _random_span(side: int, scale: float, size: int, randomness: random.Random) -> tuple[int, int, int]:
    """Draw where a crop begins in a scaled side, where that lies in the crop, and how long it is, pixels."""
    scaled = max(1, round(side * scale))
    if scaled >= size:
        return randomness.randint(0, scaled - size), 0, size
    return 0, randomness.randint(0, size - scaled), scaled


def _shifted(image: Image.Image, shift: ColourShift, randomness: random.Random) -> Image.Image:
    """Change contrast and brightness, and hue, saturation and value, either with probability 1/2."""
    levels = np.arange(256)
    if randomness.random() < 0.5:
        contrast, brightness = (randomness.uniform(-limit, limit) for limit in (shift.contrast, shift.brightness))
        table = (levels * (1 + contrast) + 255 * brightness).round().clip(0, 255)
        image = image.point(table.astype(int).tolist() * 3)
    if randomness.random() < 0.5:
        limits = (shift.hue / 360 * 256, shift.saturation, shift.value)
        hue, saturation, value = (levels + round(randomness.uniform(-limit, limit)) for limit in limits)
        tables = np.concatenate([hue % 256, saturation.clip(0, 255), value.clip(0, 255)])
        image = image.convert("HSV").point(tables.tolist()).convert("RGB")
    return image


def _jittered(pixels: Tensor, strength: float, randomness: random.Random) -> Tensor:
    """Change brightness, contrast and saturation by factors of 1 - strength to 1 + strength, in an order drawn."""
    image = pixels.permute(2, 0, 1)
    for adjust in randomness.sample(JITTERS, len(JITTERS)):
        image = adjust(image, randomness.uniform(max(0.0, 1 - strength), 1 + strength))
    return image.permute(1, 2, 0)
