"""Logits as other people save them: npz, npy, pt, parquet, csv and foreign safetensors.

torch is imported only to read a ``.pt`` file, pyarrow only for tables.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.logits_file import (
    METADATA_KEY,
    STORED_DTYPES,
    LogitsFile,
    LogitsFileError,
    as_float32,
    as_targets,
    read_header,
    read_logits,
    to_numpy,
    validate,
    widen,
)
from unsmooth.logits.probabilities import are_probabilities

__all__ = ["read_any"]

_LOGITS_NAMES = ("logits", "logit", "outputs", "preds", "scores", "probs", "probabilities", "softmax")
_TARGETS_NAMES = ("targets", "target", "labels", "label", "y", "y_true", "gt")


def read_any(
    path: str | os.PathLike[str],
    targets_path: str | os.PathLike[str] | None = None,
    *,
    num_classes: int | None = None,
) -> LogitsFile:
    """Read logits and targets from whatever a practitioner saved.

    Formats, by suffix: ``.safetensors`` (ours, or any with tensors ``logits`` and ``targets``), ``.npz``, ``.npy``,
    ``.pt`` / ``.pth`` (``weights_only``), ``.parquet``, ``.csv``. Archives and tables find the two parts by name
    (``logits``, ``outputs``, ``probs``...; ``targets``, ``labels``, ``y``...). In a table every column but the targets
    is a class, in order, or one column holds lists. ``.npy`` and bare tensors need ``targets_path``, which may be in
    any of these formats.

    Args:
        path: file with logits, or softmax outputs, and possibly targets.
        targets_path: file with the targets; overrides those in ``path``.
        num_classes: expected K; None accepts any.

    Returns:
        The content, with ``is_probabilities`` set for softmax outputs, which stay float64 where they were. ``-inf`` (a
        masked class) is let through where the row has a finite logit left.

    Raises:
        LogitsFileError: for anything malformed, naming the file and the first bad row.
    """
    path = Path(path)
    metadata: dict[str, Any] = {}
    if path.suffix == ".safetensors" and _is_ours(path):
        file = read_logits(path, num_classes=num_classes)
        found: tuple[Any, Any] = (file.logits, file.targets)
        metadata = file.metadata
    else:
        found = _read_foreign(path)
    values, classes = found
    if values is None:
        raise LogitsFileError(f"{path}: found no logits; expected a name among {', '.join(_LOGITS_NAMES)}")
    if targets_path is not None:
        values_beside, classes = _read_foreign(Path(targets_path))
        classes = values_beside if classes is None else classes
    if classes is None:
        raise LogitsFileError(
            f"{path}: found no targets; expected a name among {', '.join(_TARGETS_NAMES)}, or a separate targets file"
        )
    logits = to_numpy(values)
    # Before narrowing: a float64 probability below 1e-45 has a logarithm, but is zero in float32.
    is_probabilities = logits.dtype.kind in "fiu" and are_probabilities(logits)
    if not (is_probabilities and logits.dtype == np.float64):
        logits = as_float32(logits, path)
    targets = as_targets(to_numpy(classes), Path(targets_path or path), floats_allowed=True)
    validate(logits, targets, path, num_classes=num_classes, masked_allowed=True)
    return LogitsFile(logits, targets, metadata, is_probabilities=is_probabilities)


def _is_ours(path: Path) -> bool:
    header, _ = read_header(path)
    return METADATA_KEY in header.get("__metadata__", {})


def _read_foreign(path: Path) -> tuple[Any, Any]:
    """(logits or None, targets or None) of a foreign file."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LogitsFileError(f"{path}: unknown suffix {path.suffix!r}, expected one of {', '.join(_READERS)}")
    if not path.is_file():
        raise LogitsFileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise LogitsFileError(f"{path}: the file is empty")
    try:
        return reader(path)
    except LogitsFileError:
        raise
    except Exception as error:  # every reader library has its own exceptions for a damaged file
        raise LogitsFileError(f"{path}: cannot be read as {path.suffix}: {error}") from error


def _pick(parts: Mapping[str, Any]) -> tuple[Any, Any]:
    by_name = {name.lower(): value for name, value in parts.items()}
    logits = next((by_name[name] for name in _LOGITS_NAMES if name in by_name), None)
    targets = next((by_name[name] for name in _TARGETS_NAMES if name in by_name), None)
    return logits, targets


def _read_bare(values: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """An array without a name is logits if it has two dimensions and more than one column, targets otherwise."""
    return (values, None) if values.ndim == 2 and values.shape[1] > 1 else (None, values)


def _read_safetensors(path: Path) -> tuple[Any, Any]:
    header, start = read_header(path)
    raw = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    parts: dict[str, Any] = {}
    for name, entry in header.items():
        if name.lower() in _LOGITS_NAMES:
            tags = (*STORED_DTYPES, "F64")
            dtypes: dict[str, np.dtype[Any]] = {**STORED_DTYPES, "F64": np.dtype("<f8")}
        elif name.lower() in _TARGETS_NAMES:
            dtypes = {f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)}
            tags = tuple(dtypes)
        else:
            continue
        tag = entry["dtype"]
        if tag not in tags:
            raise LogitsFileError(f"{path}: tensor {name!r} is {tag}, expected one of {', '.join(tags)}")
        begin, end = entry["data_offsets"]
        stored = np.frombuffer(raw[begin:end].tobytes(), dtype=dtypes[tag]).reshape(entry["shape"])
        parts[name] = widen(stored, tag) if tag == "BF16" else stored
    return _pick(parts)


def _read_npz(path: Path) -> tuple[Any, Any]:
    # numpy leaves a file open that it opened itself and could not read.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _pick({name: archive[name] for name in archive.files})


def _read_npy(path: Path) -> tuple[Any, Any]:
    return _read_bare(np.load(path, allow_pickle=False))


def _read_pt(path: Path) -> tuple[Any, Any]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        return _read_bare(content)
    if isinstance(content, tuple | list) and len(content) == 2:
        return content[0], content[1]
    if isinstance(content, dict):
        return _pick(content)
    raise LogitsFileError(f"{path}: expected a tensor, a pair or a dict of tensors, got {type(content).__name__}")


def _read_table(columns: Mapping[str, NDArray[Any]]) -> tuple[Any, Any]:
    _, targets = _pick(columns)
    classes = {name: values for name, values in columns.items() if name.lower() not in _TARGETS_NAMES}
    if not classes:
        return None, targets
    if len(classes) == 1:
        (only,) = classes.values()
        if only.dtype == object:
            return np.stack([np.asarray(row) for row in only]), targets
        return (only[:, None], targets) if targets is not None else (None, only)
    return np.column_stack(list(classes.values())), targets


def _read_parquet(path: Path) -> tuple[Any, Any]:
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    return _read_table({name: table[name].to_numpy() for name in table.column_names})


def _read_csv(path: Path) -> tuple[Any, Any]:
    import pyarrow.csv as csv

    table = csv.read_csv(path)
    return _read_table({name: table[name].to_numpy() for name in table.column_names})


_READERS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".pt": _read_pt,
    ".pth": _read_pt,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}
