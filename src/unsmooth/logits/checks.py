"""Checks that every logits file passes, ours or foreign: shapes, types, finite numbers, targets in range."""

from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_ELEMENTS = 1 << 20
_IGNORED = (-100, -1, 255)
_ONE_COLUMN = "write one sigmoid logit z as the two columns (0, z), one probability p as (1 - p, p)"


class LogitsFileError(ValueError):
    """A logits file that cannot be trusted: the message names the file, what came and what was expected."""


def validate(
    logits: NDArray[np.floating[Any]],
    targets: NDArray[np.int64],
    path: Path,
    *,
    targets_path: Path | None = None,
    num_classes: int | None = None,
    masked_allowed: bool = False,
    look_at_values: bool = True,
) -> None:
    """Raise LogitsFileError, naming the file and the first bad row, unless the arrays are logits and targets."""
    check_axes(logits, path)
    if targets.ndim != 1:
        raise LogitsFileError(f"{path}: targets must have shape (N,), got {targets.shape}")
    beside = "" if targets_path is None else f" in {targets_path}"
    if len(logits) != len(targets):
        hint = transpose_hint(logits.shape, len(targets)) or _header_hint(targets, len(logits))
        raise LogitsFileError(f"{path}: {len(logits)} rows of logits but {len(targets)} targets{beside}{hint}")
    if len(logits) == 0:
        raise LogitsFileError(f"{path}: no rows; expected at least one sample")
    classes = logits.shape[1]
    if num_classes is not None and classes != num_classes:
        raise LogitsFileError(f"{path}: expected {num_classes} classes, found {classes}")
    if classes < 2:
        raise LogitsFileError(f"{path}: expected at least 2 classes, found {classes}; {_ONE_COLUMN}")
    outside = (targets < 0) | (targets >= classes)
    if outside.any():
        row = int(outside.argmax())
        where = targets_path or path
        raise LogitsFileError(
            f"{where}: row {row}: target {targets[row]} is outside [0, {classes}){outside_hint(targets, classes)}"
        )
    if look_at_values:
        _check_finite(logits, path, masked_allowed=masked_allowed)


def check_axes(logits: NDArray[Any], path: Path) -> None:
    """Raise LogitsFileError unless logits have an axis of samples and one of classes."""
    if logits.ndim != 2:
        hint = _ONE_COLUMN if logits.ndim == 1 else "give each position, such as a pixel or a token, a row of its own"
        raise LogitsFileError(f"{path}: logits must have shape (N, K), got {logits.shape}; {hint}")


def transpose_hint(shape: tuple[int, ...], num_targets: int) -> str:
    """What to do about logits of a shape that has the number of targets in the wrong place; empty otherwise."""
    return "; expected a row for each sample: transpose the logits" if shape[1] == num_targets else ""


def _header_hint(targets: NDArray[Any], num_rows: int) -> str:
    """What to do about one target too many that is the number of a column; empty otherwise."""
    numbered = len(targets) == num_rows + 1 and targets[0] == 0
    return "; is the first, 0, a header, as pandas writes it? Name the column, or write no header" if numbered else ""


def outside_hint(targets: NDArray[Any], classes: int) -> str:
    """What targets outside [0, K) seem to be; empty where nothing is known."""
    outside = targets[(targets < 0) | (targets >= classes)]
    if classes == 2 and bool((abs(targets) == 1).all()):
        return "; targets of -1 and 1 are the classes 0 and 1: write (targets + 1) // 2"
    if targets.min() == 1 and targets.max() == classes:
        return "; the targets seem to count from 1, so subtract 1"
    if len(outside) and outside[0] in _IGNORED and bool((outside == outside[0]).all()):
        return f"; {len(outside)} targets are {outside[0]}, which seems to mean ignored samples: leave those rows out"
    return ""


def row_blocks(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Views of consecutive rows of an (N, K) array, of a million elements at most where N allows."""
    return np.array_split(values, min(values.size // _BLOCK_ELEMENTS + 1, max(1, len(values))))


def _check_finite(logits: NDArray[np.floating[Any]], path: Path, *, masked_allowed: bool) -> None:
    start = 0
    for block in row_blocks(logits):
        finite = np.isfinite(block)
        if not finite.all():
            fine = finite | (block == -np.inf) if masked_allowed else finite
            lone = fine.all(axis=1) & (finite.sum(axis=1) < 2)
            if lone.any():
                row = start + int(lone.argmax())
                raise LogitsFileError(f"{path}: row {row} has fewer than two classes that are not masked (-inf)")
            if not fine.all():
                row, column = np.argwhere(~fine)[0].tolist()
                hint = "; leave a masked class's column out" if block[row, column] == -np.inf else ""
                found = f"logit of class {column} is {block[row, column]}, must be finite{hint}"
                raise LogitsFileError(f"{path}: row {start + row}: {found}")
        start += len(block)


def to_numpy(values: Any) -> NDArray[Any]:  # noqa: ANN401
    """Numbers in any container as an array of native byte order, in their precision where numpy has that."""
    if isinstance(values, list | tuple) and values and hasattr(values[0], "detach"):
        values = [to_numpy(value) for value in values]
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values if str(values.layout) == "torch.strided" else values.to_dense()
        values = values.dequantize() if values.is_quantized else values
        # numpy has no bfloat16 and no float8; each of their numbers is a float32.
        values = (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()
    array = np.asarray(values)
    # Data frames of nullable or mixed types are arrays of Python numbers.
    if array.dtype == object and all(isinstance(value, Real) for value in array.flat):
        array = np.array(array.tolist()).reshape(array.shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_float32(values: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Real numbers as float32, which must hold them."""
    if values.dtype.kind not in "fiu":
        raise LogitsFileError(f"{path}: logits must be real numbers, got dtype {values.dtype}")
    if values.dtype.kind == "f" and values.dtype.itemsize > 4:
        lost = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
        if lost.any():
            row = int(np.argwhere(lost)[0][0])
            raise LogitsFileError(f"{path}: row {row}: {values[lost][0]} does not fit in float32")
    return np.ascontiguousarray(values, dtype=np.float32)


def as_targets(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Integer class indices as int64."""
    if values.dtype.kind not in "iu":
        raise LogitsFileError(f"{path}: targets must be integer class indices, got dtype {values.dtype}")
    return np.ascontiguousarray(values, dtype=np.int64)
