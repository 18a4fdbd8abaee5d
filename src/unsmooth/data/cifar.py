"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from the archives "for Python" of their author.

Each file is a pickled dictionary with `data`, (N, 3072) uint8 pixels by channel, row and column, and a list of labels.
A pickle can run code, so only containers and numpy arrays are read.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.splits import hold_out

IMAGE_SHAPE = (3, 32, 32)
# Mean and standard deviation by channel, as the released experiments have them; their notebook normalises CIFAR-10 by
# the constants of CIFAR-100.
CONSTANTS = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "cifar100": ([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
}
# Globals of a pickled numpy array, under the names of numpy 1 and 2.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def build_cifar10(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    split_seed: int,
    shuffle: Literal["torch", "numpy"] = "torch",
    constants: str,
) -> Manifest:
    """Divide and write CIFAR-10; `shuffle` "numpy" with seed 1 is the division of MbLS."""
    archive = sources["cifar10"] / "cifar-10-batches-py"
    classes = _read_classes(archive / "batches.meta", "label_names")
    train = _read_images([archive / f"data_batch_{number}" for number in range(1, 6)], "labels", len(classes))
    test = _read_images([archive / "test_batch"], "labels", len(classes))
    divided = hold_out(len(train[1]), num_val, split_seed, shuffle=shuffle)
    return _write(folder, train, test, divided, dataset=dataset, classes=classes, constants=constants)


def build_cifar100(folder: Path, *, dataset: str, sources: dict[str, Path], num_val: int, split_seed: int) -> Manifest:
    """Divide and write CIFAR-100 with its 100 fine classes."""
    archive = sources["cifar100"] / "cifar-100-python"
    classes = _read_classes(archive / "meta", "fine_label_names")
    train = _read_images([archive / "train"], "fine_labels", len(classes))
    test = _read_images([archive / "test"], "fine_labels", len(classes))
    divided = hold_out(len(train[1]), num_val, split_seed)
    return _write(folder, train, test, divided, dataset=dataset, classes=classes, constants="cifar100")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no such archive holds")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_pickle(path: Path, keys: Sequence[str]) -> list[Any]:
    """Return the values of `keys` in the dictionary that the file holds."""
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DatasetError(f"{path} is not a batch of CIFAR: {error}") from None
    if not isinstance(content, dict) or not set(keys) <= content.keys():
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f"{path} must hold {', '.join(keys)}, got {found}")
    return [content[key] for key in keys]


def _read_classes(path: Path, key: str) -> list[str]:
    [classes] = _read_pickle(path, [key])
    if not isinstance(classes, list) or len(classes) < 2:
        raise DatasetError(f"{path}: {key} must be a list of class names, got {classes!r:.80}")
    return [str(name) for name in classes]


def _read_images(paths: Sequence[Path], key: str, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return images (N, 3, 32, 32) uint8 and targets (N,) int64 of all files, in order."""
    images, targets = [], []
    for path in paths:
        data, labels = _read_pickle(path, ["data", key])
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (len(labels), 3072):
            shape = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise DatasetError(f"{path}: data must be uint8 ({len(labels)}, 3072), one row a label, got {shape}")
        if wrong := [label for label in labels if label not in range(num_classes)]:
            raise DatasetError(f"{path}: {key} must lie in 0 to {num_classes - 1}, got {wrong[0]!r}")
        images.append(torch.from_numpy(data).view(-1, *IMAGE_SHAPE))
        targets.append(torch.tensor(labels, dtype=torch.int64))
    return torch.cat(images), torch.cat(targets)


def _write(
    folder: Path,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    divided: tuple[Tensor, Tensor],
    *,
    dataset: str,
    classes: list[str],
    constants: str,
) -> Manifest:
    images, targets = train
    held_out, rest = divided
    splits = {
        "train": Split(images[rest], targets[rest], indices=rest),
        "val": Split(images[held_out], targets[held_out], indices=held_out),
        "test": Split(*test),
    }
    mean, std = CONSTANTS[constants]
    return write_dataset(folder, splits, dataset=dataset, classes=classes, mean=mean, std=std)
