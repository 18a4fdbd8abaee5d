"""The logits file: what a network said about N samples, written once and scored many times.

A safetensors file with two tensors, ``logits`` (N, K) and ``targets`` (N,), and one metadata entry, ``unsmooth``: a
JSON object with the format version, the class count, a sha256 of everything else and the caller's own metadata. Equal
content gives equal bytes. Logits are stored as float32, bfloat16 or float16 and always come back as float32.

Every number in a logits file is finite. A class that a network cannot predict has no logit: leave its column out
instead of writing ``-inf``, or no power sum of the row is defined. Arrays in memory may hold ``-inf`` (see
:mod:`unsmooth.scores`), and :func:`unsmooth.logits.foreign_files.read_any` lets it through, because other people's
dumps contain it.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from unsmooth.atomic_files import atomic_path

FORMAT_VERSION = 1
METADATA_KEY = "unsmooth"
StorageDtype = Literal["float32", "bfloat16", "float16"]

STORED_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "BF16": np.dtype("<u2"), "F16": np.dtype("<f2")}
_CHUNK_ELEMENTS = 1 << 20


class LogitsFileError(ValueError):
    """A logits file that cannot be trusted: the message names the file, what came and what was expected."""


@dataclass(frozen=True)
class LogitsFile:
    """Logits and targets read from a file.

    Attributes:
        logits: (N, K) float32; float64 probabilities of a foreign file stay float64.
        targets: (N,) int64, class indices in [0, K).
        metadata: what the writer said about them; empty for a foreign file.
        is_probabilities: the rows are softmax outputs, not logits: non-negative and summing to one. Only
            :func:`unsmooth.logits.foreign_files.read_any` can return True. Convert with
            :func:`unsmooth.logits.probabilities.logits_from_probabilities` before scoring.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    metadata: dict[str, Any] = field(default_factory=dict)
    is_probabilities: bool = False

    @property
    def num_samples(self) -> int:
        """N, the number of rows."""
        return len(self.logits)

    @property
    def num_classes(self) -> int:
        """K, the number of columns."""
        return int(self.logits.shape[1])


def write_logits(
    path: str | os.PathLike[str],
    logits: Any,  # noqa: ANN401  torch.Tensor or numpy array, and torch is not imported here
    targets: Any,  # noqa: ANN401
    *,
    metadata: Mapping[str, object],
    dtype: StorageDtype = "float32",
) -> None:
    """Write a logits file, whole or not at all: beside its place, synchronised, then renamed.

    Args:
        path: where to write; folders above it are made.
        logits: (N, K) tensor or array, any real dtype and device, finite, N >= 1 and K >= 2.
        targets: (N,) tensor or array of integers in [0, K).
        metadata: JSON-serialisable description: experiment, cell, split, versions. Read back unchanged.
        dtype: storage type. bfloat16 and float16 halve the file and round the logits; float16 ends at 65,504.

    Raises:
        LogitsFileError: for anything that :func:`read_logits` would refuse; the first bad row is named.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "val.safetensors"
        >>> write_logits(path, np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 1]), metadata={"split": "val"})
        >>> read_logits(path).metadata
        {'split': 'val'}
    """
    path = Path(path)
    if dtype not in get_args(StorageDtype):
        raise ValueError(f"dtype must be one of {', '.join(get_args(StorageDtype))}, got {dtype!r}")
    values = as_float32(to_numpy(logits), path)
    classes = as_targets(to_numpy(targets), path)
    validate(values, classes, path)
    import torch  # takes seconds; reading does without
    from safetensors.torch import save_file

    narrow = torch.from_numpy(np.require(values, requirements="W")).to(getattr(torch, dtype))
    _check_fits(~narrow.isfinite().numpy(), values, dtype, path)
    stored = (narrow.view(torch.uint16) if dtype == "bfloat16" else narrow).numpy()
    try:
        described = json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LogitsFileError(f"{path}: metadata must be JSON-serialisable: {error}") from error
    envelope = {
        "format": FORMAT_VERSION,
        "num_classes": values.shape[1],
        "sha256": _digest(stored, classes, described),
        "metadata": json.loads(described),
    }
    with atomic_path(path) as temporary:
        save_file(
            {"logits": narrow, "targets": torch.from_numpy(np.require(classes, requirements="W"))},
            temporary,
            metadata={METADATA_KEY: json.dumps(envelope, sort_keys=True)},
        )


def read_logits(
    path: str | os.PathLike[str], *, num_classes: int | None = None, mmap: bool = False, verify: bool = True
) -> LogitsFile:
    """Read and check a file made by :func:`write_logits`.

    Args:
        path: the file.
        num_classes: expected K; None accepts any.
        mmap: map float32 logits read-only instead of loading them (half precision is widened in memory anyway).
        verify: compare the sha256 and look at every number; False trusts the content and checks only the form, so
            that a mapped file is not read through.

    Returns:
        The validated content; ``logits`` float32 (N, K), ``targets`` int64 (N,).

    Raises:
        LogitsFileError: missing, empty, truncated, altered or foreign file, non-finite logit, target out of range,
            unexpected class count.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "test.safetensors"
        >>> write_logits(path, np.array([[2.0, 1.0, 0.5]]), np.array([0]), metadata={}, dtype="bfloat16")
        >>> read_logits(path, num_classes=3).logits
        array([[2. , 1. , 0.5]], dtype=float32)
        >>> read_logits(path, num_classes=10)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        unsmooth.logits.logits_file.LogitsFileError: ...: expected 10 classes, found 3
    """
    path = Path(path)
    header, start = read_header(path)
    envelope = _read_envelope(header, path)
    raw = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    logits_tag, stored = _view(raw, header, "logits", tuple(STORED_DTYPES), 2, path)
    _, classes = _view(raw, header, "targets", ("I64",), 1, path)
    if verify:
        described = json.dumps(envelope["metadata"], sort_keys=True, allow_nan=False)
        found = _digest(stored, classes, described)
        if found != envelope["sha256"]:
            raise LogitsFileError(
                f"{path}: content was altered after writing: sha256 {found[:12]}, expected {envelope['sha256'][:12]}"
            )
    if stored.shape[1:] != (envelope["num_classes"],):
        raise LogitsFileError(
            f"{path}: metadata says {envelope['num_classes']} classes, logits have shape {stored.shape}"
        )
    values = widen(stored, logits_tag) if logits_tag != "F32" or not mmap else stored
    targets = np.array(classes, dtype=np.int64)
    validate(values, targets, path, num_classes=num_classes, look_at_values=verify)
    return LogitsFile(values, targets, envelope["metadata"])


# Checks


def validate(
    logits: NDArray[np.float32],
    targets: NDArray[np.int64],
    path: Path,
    *,
    num_classes: int | None = None,
    masked_allowed: bool = False,
    look_at_values: bool = True,
) -> None:
    if logits.ndim != 2:
        raise LogitsFileError(f"{path}: logits must have shape (N, K), got {logits.shape}")
    if targets.ndim != 1:
        raise LogitsFileError(f"{path}: targets must have shape (N,), got {targets.shape}")
    if len(logits) != len(targets):
        raise LogitsFileError(f"{path}: {len(logits)} rows of logits but {len(targets)} targets")
    if len(logits) == 0:
        raise LogitsFileError(f"{path}: no rows; expected at least one sample")
    classes = logits.shape[1]
    if num_classes is not None and classes != num_classes:
        raise LogitsFileError(f"{path}: expected {num_classes} classes, found {classes}")
    if classes < 2:
        raise LogitsFileError(
            f"{path}: expected at least 2 classes, found {classes}; write one sigmoid logit z as the two columns (0, z)"
        )
    outside = (targets < 0) | (targets >= classes)
    if outside.any():
        row = int(outside.argmax())
        raise LogitsFileError(f"{path}: row {row}: target {targets[row]} is outside [0, {classes})")
    if look_at_values:
        _check_finite(logits, path, masked_allowed=masked_allowed)


def _check_finite(logits: NDArray[np.float32], path: Path, *, masked_allowed: bool = False) -> None:
    step = max(1, _CHUNK_ELEMENTS // logits.shape[1])
    for start in range(0, len(logits), step):
        block = logits[start : start + step]
        fine = np.isfinite(block)
        if fine.all():
            continue
        if masked_allowed:
            fine = (fine | (block == -np.inf)) & fine.any(axis=1, keepdims=True)
            if fine.all():
                continue
        row, column = (int(i) for i in np.argwhere(~fine)[0])
        hint = "; leave a masked class's column out" if block[row, column] == -np.inf else ""
        raise LogitsFileError(
            f"{path}: row {start + row}: logit of class {column} is {block[row, column]}, must be finite{hint}"
        )


def to_numpy(values: Any) -> NDArray[Any]:  # noqa: ANN401
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16; every half-precision number is a float32.
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def as_float32(values: NDArray[Any], path: Path) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiu":
        raise LogitsFileError(f"{path}: logits must be real numbers, got dtype {values.dtype}")
    if values.dtype.kind == "f" and values.dtype.itemsize > 4:
        lost = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
        if lost.any():
            row = int(np.argwhere(lost)[0][0])
            raise LogitsFileError(f"{path}: row {row}: {values[lost][0]} does not fit in float32")
    return np.ascontiguousarray(values, dtype=np.float32)


def as_targets(values: NDArray[Any], path: Path, *, floats_allowed: bool = False) -> NDArray[np.int64]:
    if floats_allowed and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if floats_allowed and values.dtype.kind == "f":
        broken = ~np.isfinite(values) | (values != np.round(values))
        if broken.any():
            row = int(np.argwhere(broken)[0][0])
            raise LogitsFileError(f"{path}: row {row}: target {values[row]} is not a class index")
    elif values.dtype.kind not in "iu":
        raise LogitsFileError(f"{path}: targets must be integer class indices, got dtype {values.dtype}")
    return np.ascontiguousarray(values, dtype=np.int64)


# Our own format


def _check_fits(overflow: NDArray[np.bool_], values: NDArray[np.float32], dtype: str, path: Path) -> None:
    if overflow.any():
        row, column = (int(i) for i in np.argwhere(overflow)[0])
        raise LogitsFileError(f"{path}: row {row}: logit {values[row, column]} does not fit in {dtype}")


def widen(stored: NDArray[Any], tag: str) -> NDArray[np.float32]:
    if tag == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return np.array(stored, dtype=np.float32)


def _digest(stored: NDArray[Any], targets: NDArray[np.int64], described: str) -> str:
    digest = hashlib.sha256(described.encode())
    digest.update(str((stored.dtype.str, stored.shape, targets.shape)).encode())
    digest.update(targets.data)
    digest.update(stored.data)
    return digest.hexdigest()


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and the offset of the first data byte; safetensors itself judges whether the file is sound."""
    if not path.is_file():
        raise LogitsFileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise LogitsFileError(f"{path}: the file is empty")
    try:
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return json.loads(file.read(length)), 8 + length
    except (SafetensorError, ValueError, struct.error) as error:
        raise LogitsFileError(f"{path}: not a whole safetensors file: {error}") from error


def _read_envelope(header: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        envelope: dict[str, Any] = json.loads(header["__metadata__"][METADATA_KEY])
        version, digest, classes = envelope["format"], envelope["sha256"], envelope["num_classes"]
        whole = isinstance(digest, str) and isinstance(classes, int) and isinstance(envelope["metadata"], dict)
    except (KeyError, TypeError, ValueError) as error:
        raise LogitsFileError(f"{path}: a safetensors file, but not one written by write_logits") from error
    if not whole:
        raise LogitsFileError(f"{path}: the metadata entry {METADATA_KEY!r} is damaged")
    if version != FORMAT_VERSION:
        raise LogitsFileError(f"{path}: logits file format {version}, expected {FORMAT_VERSION}")
    return envelope


def _view(
    raw: NDArray[np.uint8], header: dict[str, Any], name: str, tags: tuple[str, ...], ndim: int, path: Path
) -> tuple[str, NDArray[Any]]:
    if name not in header:
        raise LogitsFileError(f"{path}: has no tensor {name!r}")
    entry = header[name]
    tag, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if tag not in tags or len(shape) != ndim:
        raise LogitsFileError(
            f"{path}: tensor {name!r} is {tag} {shape}, expected {' or '.join(tags)} of {ndim} dimensions"
        )
    dtype = STORED_DTYPES.get(tag, np.dtype("<i8"))
    return tag, np.frombuffer(raw.data, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=begin).reshape(shape)
