"""Provenance records of the files that jobs make: inputs, code and settings.

Each output has its own JSON file in results/provenance/, so that jobs on many machines never share one. Jobs refuse an
input that differs from its record; `unsmooth.runtime.verification` checks all files.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unsmooth.atomic_files import atomic_path, sha256_of
from unsmooth.runtime.provenance import canonical_json, versions

RECORDS = Path("results/provenance")
VERSIONED = ("unsmooth", "numpy", "pandas", "scipy", "torch", "safetensors", "pyarrow", "matplotlib")


class RecordError(ValueError):
    """A provenance record is damaged or malformed."""


class ChangedFileError(ValueError):
    """A file was changed after its job wrote it."""


@dataclass(frozen=True)
class Record:
    """Provenance of one file."""

    sha256: str  # digest of the file
    rule: str  # the rule of the workflow that made it
    inputs: dict[str, str]  # SHA-256 of its inputs, by path relative to the folder of the workflow
    params: dict[str, Any]  # the job's parameters; settings are canonical JSON
    # `unsmooth.runtime.code.definitions` that the job's script reached when the job began
    code: dict[str, dict[str, str]]
    git_commit: str  # commit of the checkout when the job began, with "+" for local changes
    versions: dict[str, str]  # those of Python and of the libraries that decide results


def record_path(path: str) -> Path:
    """Return the record path of a file, both relative to the working directory.

    Example:
        >>> record_path("results/tables/summary.csv").as_posix()
        'results/provenance/results/tables/summary.csv.json'
    """
    return RECORDS / f"{path}.json"


def checked_digests(paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of every file by its path; an error if it differs from its record, or that is damaged."""
    found = {path: sha256_of(path) for path in paths}
    for name, digest in found.items():
        kept = record_path(name)
        # Files outside the folder of the workflow were not made by a job.
        if not Path(name).is_absolute() and kept.exists() and (record := read_record(kept)).sha256 != digest:
            raise ChangedFileError(
                f"{name} has changed since {record.rule} wrote it: delete it to have it made anew, or "
                f"{kept} to use it as it is"
            )
    return found


def write_records(
    outputs: Iterable[str],
    *,
    rule: str,
    inputs: Mapping[str, str],
    params: Mapping[str, Any],
    code: Mapping[str, dict[str, str]],
    git_commit: str,
) -> None:
    """Write a record for each of `outputs`, which this process has just made; the rest is as in `Record`."""
    libraries = versions(*VERSIONED)
    for path in outputs:
        content = asdict(Record(sha256_of(path), rule, {**inputs}, {**params}, {**code}, git_commit, libraries))
        with atomic_path(record_path(path)) as temporary:
            text = json.dumps(content | {"record_sha256": _digest(content)}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def read_record(path: Path) -> Record:
    """Read a record; `RecordError` if it is damaged, or not what `write_records` writes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest, record = content.pop("record_sha256"), Record(**content)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is not a record: {error}; delete it and its file") from None
    if _digest(content) != digest:
        raise RecordError(f"{path} was changed after it was written; delete it and its file")
    return record


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
