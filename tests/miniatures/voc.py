"""A small PASCAL VOC 2012 in the archive of the real one: photographs and their labels, with files nobody reads."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ARCHIVE = "VOCtrainval_11-May-2012.tar"
VOID = 255


def write_voc2012(
    folder: Path, *, train: int = 8, val: int = 10, size: tuple[int, int] = (60, 45), seed: int = 0
) -> dict[str, Path]:
    """Write the archive and return its path by name.

    Args:
        folder: where it goes.
        train, val: images of those lists.
        size: longer and shorter side, pixels; every third image is upright.
        seed: of the scenes: background, an object of one class with a colour of its own, and a void rim around it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    names = {"train": [f"2007_{2 * n:06d}" for n in range(train)], "val": [f"2007_{2 * n + 1:06d}" for n in range(val)]}
    with tarfile.open(folder / ARCHIVE, "w") as archive:
        for side, listed in names.items():
            for number, name in enumerate(listed):
                classes = scene(size if number % 3 else size[::-1], 1 + int(generator.integers(20)), generator)
                _add(archive, f"JPEGImages/{name}.jpg", _encoded(photograph(classes, generator), "JPEG"))
                _add(archive, f"SegmentationClass/{name}.png", _encoded(_with_palette(classes), "PNG"))
                _add(archive, f"SegmentationObject/{name}.png", _encoded(_with_palette(classes > 0), "PNG"))
                _add(archive, f"Annotations/{name}.xml", b"<annotation/>")
            _add(archive, f"ImageSets/Segmentation/{side}.txt", "".join(f"{name}\n" for name in listed).encode())
            _add(archive, f"ImageSets/Main/{side}.txt", b"2008_000001\n")
        _add(archive, "JPEGImages/2008_000001.jpg", b"an image without labels")
    return {ARCHIVE: folder / ARCHIVE}


def scene(size: tuple[int, int], label: int, generator: np.random.Generator) -> np.ndarray:
    """Labels of a scene (H, W) uint8 of width and height `size`: one rectangle in a rim of void."""
    width, height = size
    classes = np.zeros((height, width), np.uint8)
    top, left = generator.integers(4, height // 3), generator.integers(4, width // 3)
    classes[top - 3 : 2 * height // 3 + 3, left - 3 : 2 * width // 3 + 3] = VOID
    classes[top : 2 * height // 3, left : 2 * width // 3] = label
    return classes


def photograph(classes: np.ndarray, generator: np.random.Generator) -> Image.Image:
    """The scene in colours, with noise."""
    colours = np.random.default_rng(1).integers(40, 256, (256, 3))[classes]
    return Image.fromarray((colours + generator.normal(0, 5, colours.shape)).clip(0, 255).astype(np.uint8))


def _with_palette(classes: np.ndarray) -> Image.Image:
    image = Image.fromarray(classes.astype(np.uint8))
    image.putpalette(np.random.default_rng(2).integers(0, 256, 768).tolist())
    return image


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=95)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"VOCdevkit/VOC2012/{path}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
