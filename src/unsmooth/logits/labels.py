"""Targets as people store them, as class indices: integers, whole floats, booleans, one-hot rows, names of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.checks import LogitsFileError, as_targets


def class_indices(
    values: NDArray[Any], path: Path, class_names: Sequence[str] = (), *, num_classes: int = 2
) -> NDArray[np.int64]:
    """Class indices (N,) int64 of targets in any usual form.

    Args:
        values: (N,) or (N, 1) integers, whole floats, booleans or strings; or (N, K) one-hot rows.
        path: the file, for messages.
        class_names: names of the classes in order, for strings, and for integers if all names are numbers: targets 1
            to K of columns 1 to K are 0 to K - 1.
        num_classes: K, which truth values must fit.

    Raises:
        LogitsFileError: anything else, naming the file and the first bad row.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "OUS" and values.ndim == 1:
        return _from_names(values, path, class_names)
    if values.ndim == 2 and values.dtype.kind in "biuf":
        return _from_one_hot(values, path)
    if values.dtype.kind == "b":
        if num_classes > 2:
            raise LogitsFileError(
                f"{path}: targets must be class indices in 0..{num_classes - 1}, got truth values, as errors are"
            )
        names = [name.lower() for name in class_names]
        return (values != (names == ["true", "false"])).astype(np.int64)
    if values.dtype.kind == "f":
        broken = ~np.isfinite(values) | (values != np.round(values))
        if broken.any():
            row = int(np.argwhere(broken)[0][0])
            missing = " (missing)" if np.isnan(values[row]).any() else ""
            raise LogitsFileError(f"{path}: row {row}: target {values[row]}{missing} is not a class index")
        values = values.astype(np.int64)
    return _of_numbers(as_targets(values, path), class_names)


def _of_numbers(targets: NDArray[np.int64], class_names: Sequence[str]) -> NDArray[np.int64]:
    """Indices of the classes whose names are the targets, where all are."""
    if not class_names or not all(name.isdecimal() for name in class_names):
        return targets
    places = {int(name): place for place, name in enumerate(class_names)}
    found = [places.get(target, -1) for target in targets.tolist()]
    return targets if -1 in found else np.array(found, dtype=np.int64)


def _from_one_hot(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    broken = ~(((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1))
    if broken.any():
        row = int(broken.argmax())
        raise LogitsFileError(
            f"{path}: row {row}: targets of shape {values.shape} must be one-hot, with a single 1 in a row; "
            "or are they the logits?"
        )
    return values.argmax(axis=1).astype(np.int64)


def _from_names(values: NDArray[Any], path: Path, class_names: Sequence[str]) -> NDArray[np.int64]:
    missing = np.array([value is None or value != value for value in values])
    if missing.any():
        raise LogitsFileError(f"{path}: row {int(missing.argmax())}: the target is missing")
    texts = [value.decode() if isinstance(value, bytes) else str(value).strip() for value in values]
    indices = {name: index for index, name in enumerate(class_names)}
    if not set(texts) <= set(indices) and all(text.isdecimal() for text in texts):
        indices = {text: int(text) for text in texts}
    for row, text in enumerate(texts):
        if text not in indices:
            expected = ", ".join(class_names[:12]) or "class indices, or columns named after the classes"
            raise LogitsFileError(f"{path}: row {row}: target {text!r} is no class; expected {expected}")
    return np.array([indices[text] for text in texts], dtype=np.int64)
