"""The record that every job of the workflow leaves: what it made, from what, by which code, with which settings.

One JSON file a job, written by that job alone, so that jobs on many machines never share one. It lies in
results/provenance/ where the job's log lies in results/logs/. `unsmooth.verification` compares records with the files.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unsmooth.files import atomic_path, sha256_of
from unsmooth.provenance import PACKAGE, canonical_json, git_commit, source_digest, versions

__all__ = ["Record", "RecordError", "digests", "read_record", "record_path", "source_file", "used_code", "write_record"]

RESULTS = Path("results")
SCRIPTS = "workflow/scripts"
VERSIONED = ("unsmooth", "numpy", "pandas", "scipy", "torch", "safetensors", "pyarrow", "matplotlib")


class RecordError(ValueError):
    """A record is damaged or no record."""


@dataclass(frozen=True)
class Record:
    """Where the outputs of one job come from.

    Attributes:
        rule: the rule of the workflow.
        wildcards: what its paths name, such as experiment and seed.
        outputs, inputs: SHA-256 by path, relative to the working directory of the workflow.
        params: the job's parameters; settings are canonical JSON.
        code: `unsmooth.provenance.source_digest` of the script and of every module of this package that it loaded.
        git_commit: commit of the checkout, with "+" for local changes.
        versions: those of Python and of the libraries that decide results.
    """

    rule: str
    wildcards: dict[str, str]
    outputs: dict[str, str]
    inputs: dict[str, str]
    params: dict[str, Any]
    code: dict[str, str]
    git_commit: str
    versions: dict[str, str]


def record_path(log: Path) -> Path:
    """Return where the record of the job with this log goes.

    Example:
        >>> record_path(Path("results/logs/score/seed-0.log")).as_posix()
        'results/provenance/score/seed-0.json'
    """
    return RESULTS / "provenance" / log.relative_to(RESULTS / "logs").with_suffix(".json")


def digests(paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of every file, by its path."""
    return {path: sha256_of(path) for path in paths}


def write_record(
    path: Path,
    *,
    rule: str,
    wildcards: Mapping[str, str],
    outputs: Iterable[str],
    inputs: Mapping[str, str],
    params: Mapping[str, Any],
    script: Path,
) -> None:
    """Write the record of a job that has just made `outputs` in this process, from `inputs` (SHA-256 by path)."""
    record = Record(
        rule=rule,
        wildcards=dict(wildcards),
        outputs=digests(outputs),
        inputs=dict(inputs),
        params=dict(params),
        code=used_code(script),
        git_commit=git_commit(),
        versions=versions(*VERSIONED),
    )
    content = {**asdict(record), "sha256": _digest(asdict(record))}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: it is damaged, or not what `write_record` writes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest, record = content.pop("sha256"), Record(**content)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is not the record of a job: {error}") from None
    if _digest(content) != digest:
        raise RecordError(f"{path} was changed after it was written")
    return record


def used_code(script: Path) -> dict[str, str]:
    """Return the digest of `script` and of every module of this package that this process has loaded."""
    loaded = [Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    ours = {path for path in loaded if path.is_relative_to(PACKAGE)} - {PACKAGE / "__init__.py"}  # it only names things
    names = {f"{SCRIPTS}/{script.name}": script} | {path.relative_to(PACKAGE.parent).as_posix(): path for path in ours}
    return {name: source_digest(path) for name, path in sorted(names.items())}


def source_file(name: str) -> Path:
    """Return the file that a key of `Record.code` names: a module of this package, or a script of its checkout."""
    return (PACKAGE.parents[1] if name.startswith(SCRIPTS) else PACKAGE.parent) / name


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
