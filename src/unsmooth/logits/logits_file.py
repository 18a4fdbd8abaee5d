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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from unsmooth.atomic_files import atomic_path
from unsmooth.logits.checks import LogitsFileError, as_float32, as_targets, to_numpy, validate

__all__ = [
    "METADATA_KEY",
    "Form",
    "LogitsFile",
    "LogitsFileError",
    "StorageDtype",
    "read_header",
    "read_logits",
    "write_logits",
]

FORMAT_VERSION = 1
METADATA_KEY = "unsmooth"
StorageDtype = Literal["float32", "bfloat16", "float16"]
Form = Literal["logits", "probabilities", "log-probabilities"]

STORED_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "BF16": np.dtype("<u2"), "F16": np.dtype("<f2")}


@dataclass(frozen=True)
class LogitsFile:
    """Logits and targets read from a file.

    Attributes:
        logits: (N, K) float32; values of a foreign file that float32 would round away stay float64.
        targets: (N,) int64, class indices in [0, K).
        metadata: what the writer said about them; empty for a foreign file.
        form: what the rows are. Only :func:`unsmooth.logits.foreign_files.read_any` returns anything but logits, and
            :func:`unsmooth.logits.probabilities.as_logits` converts it.
        notes: what a reader of foreign files decided, a sentence each.
        has_validation: the file also holds a validation split, under names of its own.
        layer: what loads the penultimate ``features`` of the samples, and ``weight`` and ``bias`` of the last layer,
            of those that a foreign archive holds.
    """

    logits: NDArray[np.floating[Any]]
    targets: NDArray[np.int64]
    metadata: dict[str, Any] = field(default_factory=dict)
    form: Form = "logits"
    notes: tuple[str, ...] = ()
    has_validation: bool = False
    layer: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    def load_layer(self) -> dict[str, NDArray[Any]]:
        """Features of the samples, and weight and bias of the last layer, where they are."""
        return {name: to_numpy(load()) for name, load in self.layer.items()}

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
    overflow = ~narrow.isfinite().numpy()
    if overflow.any():
        row, column = np.argwhere(overflow)[0].tolist()
        raise LogitsFileError(f"{path}: row {row}: logit {values[row, column]} does not fit in {dtype}")
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
        unsmooth.logits.checks.LogitsFileError: ...: expected 10 classes, found 3
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
    if logits_tag == "BF16":
        values = (stored.astype(np.uint32) << 16).view(np.float32)
    else:
        values = stored if mmap and logits_tag == "F32" else np.array(stored, dtype=np.float32)
    targets = np.array(classes, dtype=np.int64)
    validate(values, targets, path, num_classes=num_classes, look_at_values=verify)
    return LogitsFile(values, targets, envelope["metadata"])


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
