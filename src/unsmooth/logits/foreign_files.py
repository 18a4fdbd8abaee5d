"""Logits as other people save them: npz, npy, pt, parquet, csv, tsv and foreign safetensors.

torch is imported only to read a ``.pt`` file or a type that numpy lacks, pyarrow only for tables.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unsmooth.logits.archives import BARE, npy_parts, npz_parts, pt_parts, safetensors_parts
from unsmooth.logits.checks import LogitsFileError, to_numpy, validate
from unsmooth.logits.columns import read_table
from unsmooth.logits.guards import check_classes_occur, check_not_sorted, check_same_ids
from unsmooth.logits.labels import class_indices
from unsmooth.logits.logits_file import METADATA_KEY, LogitsFile, read_header, read_logits
from unsmooth.logits.names import (
    LOGITS_NAMES,
    TARGETS_NAMES,
    Content,
    Part,
    base_name,
    choose_logits,
    choose_targets,
    contents,
)
from unsmooth.logits.values import recognise

__all__ = ["read_any"]

_ARCHIVES: Mapping[str, Callable[[Path], dict[str, Part]]] = {
    ".safetensors": safetensors_parts,
    ".npz": npz_parts,
    ".npy": npy_parts,
    ".pt": pt_parts,
    ".pth": pt_parts,
}
_TABLES = (".parquet", ".csv", ".tsv")


def read_any(
    path: str | os.PathLike[str],
    targets_path: str | os.PathLike[str] | None = None,
    *,
    num_classes: int | None = None,
    logits_key: str | None = None,
    targets_key: str | None = None,
    split: Literal["test", "val", "train"] = "test",
) -> LogitsFile:
    """Read logits and targets from whatever a practitioner saved.

    Formats, by suffix: ``.safetensors`` (ours or any other), ``.npz``, ``.npy``, ``.pt`` / ``.pth`` (``weights_only``),
    ``.parquet`` (a file or a folder of parts), ``.csv``, ``.tsv``. Archives find the two parts by name (``logits``,
    ``predictions``, ``probs``...; ``targets``, ``labels``, ``y_true``...), of one split where they hold several
    (``logits_val``, ``logits_test``). Of a table the classes are a column of lists, or columns of numbers; those that
    look like something else are left out, with a note. ``.npy`` and bare tensors need ``targets_path``, which may be
    in any of these formats. Targets may be indices, one-hot rows, or names of class columns.

    Args:
        path: file with logits, or softmax outputs, and possibly targets.
        targets_path: file with the targets; overrides those in ``path``.
        num_classes: expected K; None accepts any.
        logits_key: name of the logits in ``path``; class columns of a table as a pattern or with commas between them.
        targets_key: name of the targets in ``targets_path``, or in ``path``.
        split: which one is wanted of a file that holds several.

    Returns:
        The content, with its ``form``. Probabilities stay float64 where they were. ``-inf`` (a masked class) is let
        through where the row has two finite logits left, and a number that stands for it (-1e9) becomes ``-inf``.

    Raises:
        LogitsFileError: for anything malformed, naming the file and the first bad row, or what the file holds.
    """
    path = Path(path)
    beside = None if targets_path is None else Path(targets_path)
    content = _read(path, logits_key, None if beside else targets_key, split)
    metadata: dict[str, Any] = {}
    if path.suffix.lower() == ".safetensors" and METADATA_KEY in read_header(path)[0].get("__metadata__", {}):
        file = read_logits(path, num_classes=num_classes)  # checks more than any reader of foreign files
        content, metadata = replace(content, logits=file.logits, targets=file.targets), file.metadata
    if content.logits is None:
        raise _not_found(path, "logits", LOGITS_NAMES, content.holds)
    if beside is not None:
        of_targets = _read(beside, None, targets_key, split)
        check_same_ids(content.ids, path, of_targets.ids, beside)
        # Its only array need not be named as targets.
        targets = of_targets.logits if of_targets.targets is None else of_targets.targets
        content = replace(content, targets=targets, class_names=content.class_names or of_targets.class_names)
    if content.targets is None:
        raise _not_found(path, "targets", TARGETS_NAMES, content.holds)
    values, form, remarks = recognise(to_numpy(content.logits), path)
    classes = values.shape[1] if values.ndim == 2 else 2
    targets = class_indices(to_numpy(content.targets), beside or path, content.class_names, num_classes=classes)
    try:
        validate(
            values,
            targets,
            path,
            targets_path=beside,
            num_classes=num_classes,
            masked_allowed=True,
            look_at_values=form != "log-probabilities",  # -inf is a probability of zero, of which `as_logits` tells
        )
    except LogitsFileError as error:
        raise LogitsFileError("; ".join([str(error), *content.notes])) from None
    check_not_sorted(values, targets, path)
    if content.guessed:
        check_classes_occur(values, targets, content.class_names, path)
    notes = (*content.notes, *remarks)
    return LogitsFile(values, targets, metadata, form, notes, content.has_validation, content.layer)


def _read(path: Path, logits_key: str | None, targets_key: str | None, split: str) -> Content:
    suffix, known = path.suffix.lower(), (*_ARCHIVES, *_TABLES)
    if suffix not in known and not path.is_dir() and (suffix or path.exists()):
        raise LogitsFileError(f"{path}: unknown suffix {path.suffix!r}, expected one of {', '.join(known)}")
    if not path.exists():
        raise LogitsFileError(f"{path}: no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise LogitsFileError(f"{path}: the file is empty")
    try:
        if path.is_dir() or suffix in _TABLES:
            return read_table(path, logits_key=logits_key, targets_key=targets_key, split=split)
        return _of_parts(_ARCHIVES[suffix](path), path, logits_key, targets_key, split)
    except (LogitsFileError, ImportError):
        raise
    except Exception as error:  # every reader library has its own exceptions for a damaged file
        reason = "" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise LogitsFileError(
            f"{path}: cannot be read as {suffix or 'a folder of parquet files'}: {reason or type(error).__name__}"
        ) from error


def _of_parts(
    parts: Mapping[str, Part], path: Path, logits_key: str | None, targets_key: str | None, split: str
) -> Content:
    holds = contents(parts)
    if list(parts) == [BARE]:
        return Content(parts[BARE].load(), None, holds)
    for option, key in (("--logits-key", logits_key), ("--targets-key", targets_key)):
        if key is not None and key not in parts:
            raise LogitsFileError(f"{path}: {option} {key!r} names no array; the file holds {holds}")
    try:
        logits = logits_key or choose_logits(parts, split=split)
    except ValueError as error:
        raise LogitsFileError(f"{path}: {error}") from None
    candidates = [targets_key] if targets_key is not None else choose_targets(parts, logits)
    logits_split = None if logits is None else base_name(logits)[1]
    notes = () if logits_split is None else (f"reading {logits} and {', '.join(candidates) or 'no targets'}",)
    return Content(
        None if logits is None else parts[logits].load(),
        _agreeing(parts, candidates, path),
        holds,
        _class_names(parts),
        notes=notes,
        has_validation=logits_split != "val" and any(base_name(name)[1] == "val" for name in parts if name != logits),
        layer=_layer(parts, split),
    )


def _layer(parts: Mapping[str, Part], split: str) -> dict[str, Callable[[], Any]]:
    """What loads features, weight and bias: arrays of numbers, of the split or of none."""
    return {
        base: part.load
        for wanted in (None, split)
        for name, part in parts.items()
        if (base := base_name(name)[0]) in ("features", "weight", "bias")
        and base_name(name)[1] == wanted
        and part.dtype != "object"
    }


def _agreeing(parts: Mapping[str, Part], names: list[str], path: Path) -> Any:  # noqa: ANN401 - tensor or array
    """The targets, which all arrays of one shape that may hold them must agree on."""
    if not names:
        return None
    first = parts[names[0]].load()
    for other in names[1:]:
        same_kind = parts[other].shape == parts[names[0]].shape and parts[other].dtype != "object"
        if same_kind and not np.array_equal(to_numpy(parts[other].load()), to_numpy(first)):
            raise LogitsFileError(
                f"{path}: {names[0]} and {other} may both be the targets and differ; choose one with --targets-key"
            )
    return first


def _class_names(parts: Mapping[str, Part]) -> tuple[str, ...]:
    """Names of the classes in order, where a file has an array of them."""
    for name in ("class_names", "classes", "label_names", "categories"):
        part = parts.get(name)
        if part is not None and len(part.shape) == 1 and part.dtype.startswith(("<U", "|S")):
            return tuple(map(str, part.load().astype(str)))
    return ()


def _not_found(path: Path, what: str, names: tuple[str, ...], holds: str) -> LogitsFileError:
    remedy = f"name them with --{what}-key" + (
        ", or give their file with --targets (--val-targets)" if what == "targets" else ""
    )
    return LogitsFileError(
        f"{path}: found no {what}; the file holds {holds}; expected a name such as {', '.join(names[:4])}, {remedy}"
    )
