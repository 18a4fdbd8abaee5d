"""Samples of an image dataset as pictures to look at."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from unsmooth.data.arrays import load_split
from unsmooth.data.image_files import IMAGES, read_image_files


def read_pictures(folder: Path, split: str, rows: Sequence[int], *, side: int = 96) -> list[Image.Image]:
    """Read some samples of one split of a prepared image dataset, grey or in colour, in the order of `rows`.

    Larger images are shrunk to fit a square of `side` pixels, whole, with their proportions.
    """
    if (folder / IMAGES).exists():
        images = read_image_files(folder)
        pictures = [_opened(images.root / os.fsdecode(images.paths[split][row])) for row in rows]
    else:
        inputs = load_split(folder, split).inputs
        pixels = [inputs[row].permute(1, 2, 0).squeeze(2).numpy() for row in rows]  # (C, H, W) -> (H, W[, C])
        pictures = [Image.fromarray(picture) for picture in pixels]
    for picture in pictures:
        picture.thumbnail((side, side))
    return pictures


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
