"""A small Cityscapes in the archives of the real one: street scenes and their label ids, with files nobody reads."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES, LABELS = "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"
CITIES = {"train": ("ulm", "aachen"), "val": ("munster", "frankfurt"), "test": ("berlin",)}
IDS = (0, 7, 8, 11, 21, 23, 26)  # unlabelled, road, sidewalk, building, vegetation, sky, car


def write_cityscapes(
    folder: Path, *, train: int = 8, val: int = 10, size: tuple[int, int] = (64, 128), seed: int = 0
) -> dict[str, Path]:
    """Write both archives and return their paths by name.

    Args:
        folder: where they go.
        train, val: scenes of those splits, cities taking turns; the test split has two, without labels.
        size: height and width, pixels.
        seed: of the scenes: blocks of classes, each with a colour of its own and noise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with zipfile.ZipFile(folder / IMAGES, "w") as images, zipfile.ZipFile(folder / LABELS, "w") as labels:
        for archive in (images, labels):
            archive.writestr("README", "Cityscapes")
        for split, count in (("train", train), ("val", val), ("test", 2)):
            for number in range(count):
                city = CITIES[split][number % len(CITIES[split])]
                name = f"{split}/{city}/{city}_{number:06d}_000019"
                ids = scene(size, generator)
                shown = np.zeros_like(ids) if split == "test" else ids
                images.writestr(f"leftImg8bit/{name}_leftImg8bit.png", _png(photograph(ids, generator)))
                labels.writestr(f"gtFine/{name}_gtFine_labelIds.png", _png(shown))
                labels.writestr(f"gtFine/{name}_gtFine_color.png", _png(shown))
                labels.writestr(f"gtFine/{name}_gtFine_polygons.json", "{}")
    return {name: folder / name for name in (IMAGES, LABELS)}


def scene(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Label ids of a scene, (H, W) uint8, in blocks of 16 pixels."""
    blocks = generator.choice(IDS, size=(-(-size[0] // 16), -(-size[1] // 16)))
    return blocks.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]].astype(np.uint8)


def photograph(ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The scene in colours, (H, W, 3) uint8."""
    colours = np.random.default_rng(1).integers(0, 256, (256, 3))[ids]
    return (colours + generator.normal(0, 20, colours.shape)).clip(0, 255).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
