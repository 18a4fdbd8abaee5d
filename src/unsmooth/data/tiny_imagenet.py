"""Tiny-ImageNet (Stanford CS231n, 2015): 64 x 64 colour photographs of 200 classes of ImageNet.

The images of its folder `val` are the test split; those of `test` have no labels. All are decoded once and kept as one
tensor: their 1.4 GB of 8-bit pixels fit into memory, where the loader of tensors pads and crops them on the device.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.imagenet import MEAN, STD
from unsmooth.data.splits import legacy_permutations

SIZE = 64  # side of an image, pixels


def build(folder: Path, *, dataset: str, sources: dict[str, Path], val_per_class: int, split_seed: int) -> Manifest:
    """Decode, divide and write Tiny-ImageNet.

    Classes are numbered in the order of their WordNet identifiers, training images in the order of class and name.
    """
    root = sources["tiny_imagenet"] / "tiny-imagenet-200"
    wnids = sorted(_read_lines(root / "wnids.txt"))
    by_class = [sorted((root / "train" / wnid).rglob("*.JPEG")) for wnid in wnids]
    if empty := [wnid for wnid, paths in zip(wnids, by_class, strict=True) if not paths]:
        raise DatasetError(f"{root / 'train'} has no images of {empty[0]}, a class of wnids.txt")
    paths = [path for images in by_class for path in images]
    counts = [len(images) for images in by_class]
    targets = torch.arange(len(wnids)).repeat_interleave(torch.tensor(counts))
    held_out, rest = hold_out_by_class(counts, val_per_class, split_seed)
    splits = {
        name: Split(_read_images([paths[index] for index in chosen.tolist()]), targets[chosen], indices=chosen)
        for name, chosen in (("train", rest), ("val", held_out))
    }
    test_paths, test_targets = _read_annotations(root / "val", wnids)
    splits["test"] = Split(_read_images(test_paths), test_targets)
    return write_dataset(folder, splits, dataset=dataset, classes=wnids, mean=MEAN, std=STD)


def hold_out_by_class(counts: Sequence[int], num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide the images of each class as MbLS does: the last `num` of a permutation are held out, at least one is left.

    `counts` are the images of each class, numbered through all classes. Returns the indices of the held-out images,
    (num * classes,), and of the rest; int64, both ascending.
    """
    if num >= min(counts):
        raise DatasetError(f"cannot hold out {num:,} images of every class: one of them has only {min(counts):,}")
    held_out, rest, start = [], [], 0
    for count, order in zip(counts, legacy_permutations(counts, seed), strict=True):
        rest.append(start + order[:-num])
        held_out.append(start + order[-num:])
        start += count
    return torch.cat(held_out).sort().values, torch.cat(rest).sort().values


def _read_annotations(folder: Path, wnids: list[str]) -> tuple[list[Path], Tensor]:
    """Return the labelled images of the folder and their targets, (N,) int64."""
    paths, targets = [], []
    for line in _read_lines(folder / "val_annotations.txt"):
        name, wnid, *_ = (*line.split("\t"), "")
        if wnid not in wnids:
            raise DatasetError(
                f"{folder / 'val_annotations.txt'}: {line!r} must name an image and a class of wnids.txt"
            )
        paths.append(folder / "images" / name)
        targets.append(wnids.index(wnid))
    return paths, torch.tensor(targets)


def _read_images(paths: Sequence[Path]) -> Tensor:
    """Return the images, (N, 3, 64, 64) uint8; grey ones have three equal channels."""
    pixels = torch.empty(len(paths), 3, SIZE, SIZE, dtype=torch.uint8)
    for row, path in zip(pixels, paths, strict=True):
        try:
            with Image.open(path) as image:
                decoded = torch.from_numpy(np.array(image.convert("RGB")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(f"{path} cannot be decoded: {error}") from None
        if decoded.shape != (SIZE, SIZE, 3):
            height, width, _ = decoded.shape
            raise DatasetError(f"{path} must have {SIZE} x {SIZE} pixels, got {height} x {width}")
        row.copy_(decoded.permute(2, 0, 1))
    return pixels


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    if not lines:
        raise DatasetError(f"{path} must not be empty")
    return lines
