"""Dataset of a researcher's own arrays, prepared as every other: checked, divided where need be, standardised."""

from pathlib import Path

import torch
from torch import Tensor

from unsmooth.data.array_files import SPLITS, check_arrays, read_arrays, read_headers
from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.splits import hold_out


def build(
    folder: Path, *, dataset: str, path: str, num_val: int | None, num_test: int | None, split_seed: int
) -> Manifest:
    """Prepare the arrays of the file `path` and write them; classes are called by their index.

    Mean and standard deviation of the training split, by feature or by channel, normalise the inputs. `num_val` and
    `num_test` are None for a file with splits. Inputs must be finite, targets not negative, and training lack no class.
    """
    file = Path(path)
    check_arrays(file, read_headers(file))
    arrays = read_arrays(file)
    if "inputs" in arrays:
        if num_val is None or num_test is None:  # the file had splits when the experiment was read
            raise DatasetError(f"{file} has no splits: num_val and num_test say how many samples are held out")
        inputs, targets = _inputs(file, arrays, "inputs"), arrays["targets"].long()
        test, rest = hold_out(len(targets), num_test, split_seed)
        val, train = hold_out(len(rest), num_val, split_seed)
        chosen = {"train": rest[train], "val": rest[val], "test": test}
        splits = {split: Split(inputs[rows], targets[rows], indices=rows) for split, rows in chosen.items()}
    else:
        splits = {
            split: Split(_inputs(file, arrays, f"{split}_inputs"), arrays[f"{split}_targets"].long())
            for split in SPLITS
        }
    num_classes = _count_classes(file, splits)
    mean, std = _statistics(splits["train"].inputs)
    return write_dataset(
        folder, splits, dataset=dataset, classes=[str(index) for index in range(num_classes)], mean=mean, std=std
    )


def _inputs(file: Path, arrays: dict[str, Tensor], name: str) -> Tensor:
    """Return vectors as float32, images as uint8; floating-point images are kept at 256 levels."""
    inputs = arrays[name]
    if not inputs.is_floating_point():
        if inputs.dtype != torch.uint8:
            raise DatasetError(f"{file}: {name}: images must be uint8 or floating point, got {inputs.dtype}")
        return inputs
    finite = inputs.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise DatasetError(f"{file}: {name}: sample {int(finite.int().argmin())} is not finite")
    if inputs.ndim == 2:
        return inputs.float()
    if inputs.min() < 0 or inputs.max() > 1:
        raise DatasetError(
            f"{file}: {name}: floating-point images must be in [0, 1], got {inputs.min():g} to {inputs.max():g}"
        )
    return (inputs.float() * 255).round().to(torch.uint8)


def _count_classes(file: Path, splits: dict[str, Split]) -> int:
    targets = torch.cat([split.targets for split in splits.values()])
    if targets.min() < 0:
        raise DatasetError(f"{file}: targets must be class indices from 0 on, got {int(targets.min())}")
    num_classes = max(int(targets.max()) + 1, 2)
    if missing := sorted({*range(num_classes)} - {*splits["train"].targets.tolist()}):
        raise DatasetError(
            f"{file}: no training sample is of class {missing[0]}; targets must be 0 to {num_classes - 1}"
        )
    return num_classes


def _statistics(inputs: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation by channel, or by feature; a constant one is only centred."""
    values = inputs.transpose(0, 1).flatten(1).double() / (255 if inputs.ndim == 4 else 1)
    deviation = values.std(dim=1, correction=0)
    return values.mean(dim=1).tolist(), torch.where(deviation == 0, 1.0, deviation).tolist()
