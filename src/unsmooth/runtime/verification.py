"""Verification of results against their provenance records, the code and the configuration.

The records (`unsmooth.runtime.records`) tie each table, figure and page to the files behind it. A file is

- missing, if a table, figure or page depends on it and it does not exist;
- changed, if it differs from its record;
- stale, if an input, the code or a setting has changed since;
- unrecorded, if it has no record.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from unsmooth.atomic_files import sha256_of
from unsmooth.config.grid import Grid
from unsmooth.config.kinds import Experiment, ModelExperiment
from unsmooth.config.loading import experiment_path, load_config, load_experiment
from unsmooth.runtime.code import SCRIPTS, definition_digest, source_file
from unsmooth.runtime.provenance import canonical_json
from unsmooth.runtime.records import RECORDS, Record, RecordError, read_record

RESULTS = RECORDS.parent
DRAWN = ("tables", "figures", "report")
EXPORTED = f"{RESULTS}/report/report.html"  # written by snakemake --report, not by a job
TOLD = {"settings", "scores", "training", "pixels", "descriptions", "experiments", "compared"}  # compared parameters
OF_ALL_EXPERIMENTS = ("merge_summaries", "write_scorecard", "write_page")
Problem = Literal["missing", "changed", "stale", "unrecorded"]


class VerificationError(ValueError):
    """The folder holds no records to verify."""


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong with one file; `reason` is the end of a sentence that begins with its path."""

    problem: Problem
    reason: str
    path: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found."""

    files: int  # files whose content was compared
    findings: list[Finding] = field(default_factory=list)  # sorted by problem and reason; empty where all is well
    affected: list[str] = field(default_factory=list)  # the tables, figures and pages that depend on these files
    settings_compared: bool = True  # whether settings were compared with a configuration
    # Commits of the code, and versions of Python and of libraries, that made the results.
    commits: list[str] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return counts, a sentence per reason with its first files, and the affected outputs."""
        paths = defaultdict(list)
        for finding in self.findings:
            paths[finding.reason].append(finding.path)
        wrong = {finding.path for finding in self.findings}
        made_by = ", ".join(f"{name} {' and '.join(found)}" for name, found in self.versions.items())
        return [
            f"{self.files:,} files compared with their records, {len(wrong):,} not as they should be.",
            *([] if self.settings_compared else ["Settings not compared: no configuration given."]),
            *(f"{_listed(found)} {reason}." for reason, found in paths.items()),
            *(f"In doubt: {path}" for path in _folded(self.affected)),
            f"Made by commit {' and '.join(self.commits)}, {made_by}.",
        ]


def verify(results: Path, configs: Sequence[Path] = ()) -> Verification:
    """Compare every file with its record, and the records with each other, the code and the configuration.

    Args:
        results: the results folder of a workflow; other files, such as datasets, are looked for beside it.
        configs: configuration files, each laid over those before it; without any, settings are not compared. Paths in
            them are relative to the folder of `results`, names are of files in experiments/ beside the first of them.
    """
    folder = results / RECORDS.name
    if not any(folder.rglob("*.json")):
        raise VerificationError(f"{results} has no records of jobs: expected them in {folder}")
    return _Results(results, configs).verification()


class _Results:
    """The files and records below a results folder."""

    def __init__(self, results: Path, configs: Sequence[Path]) -> None:
        self.folder = results.absolute()
        self.config = load_config(configs) if configs else None
        self.experiments: dict[str, Grid] = {}
        for entry in self.config.experiments if self.config else ():
            source = self.folder.parent / experiment_path(entry, configs[0].absolute().parent / "experiments")
            self.experiments[source.stem] = load_experiment(source)
        self.cells = {cell.folder: cell for name, found in self.experiments.items() for cell in found.cells(name)}
        self.records: dict[str, Record] = {}  # by file
        self.damaged: list[Finding] = []
        for path in sorted((results / RECORDS.name).rglob("*.json")):
            file = path.relative_to(results / RECORDS.name).as_posix().removesuffix(".json")
            try:
                self.records[file] = read_record(path)
            except RecordError:
                self.damaged.append(Finding("changed", "has a damaged record", file))
        self.read: dict[str, str | None] = {}

    def verification(self) -> Verification:
        made = {Path(path).parent.as_posix() for path in self.records}
        never_made = [Finding("missing", "is in the configuration, but was never made", cell) for cell in self.cells]
        findings = {*self.damaged, *self._unrecorded(), *(cell for cell in never_made if cell.path not in made)}
        for path in self._live():
            record = self.records[path]
            if self._digest(path) != record.sha256:
                findings.add(self._difference(path, f"{record.rule} wrote it"))
            findings.update(Finding("stale", reason, path) for reason in self._stale(path, record))
            for source, digest in record.inputs.items():  # those that no job made, such as imported logits
                if source not in self.records and self._digest(source) != digest:
                    findings.add(self._difference(source, "results were made from it"))
        libraries = defaultdict(set)
        for record in self.records.values():
            for name, version in record.versions.items():
                libraries[name].add(version)
        return Verification(
            files=sum(digest is not None for digest in self.read.values()),
            findings=sorted(findings),
            affected=self._resting_on({finding.path for finding in findings}),
            settings_compared=self.config is not None,
            commits=sorted({record.git_commit for record in self.records.values()}),
            versions={name: sorted(found) for name, found in libraries.items()},
        )

    def _live(self) -> list[str]:
        """Return the recorded files, without those of a deleted cell that no output depends on."""
        reached: set[str] = set()
        pending = {path for path in self.records if _is_drawn(path) or self._file(path).exists()}
        while pending:
            reached |= pending
            pending = {
                source for path in pending for source in self.records[path].inputs
            } & self.records.keys() - reached
        return sorted(reached)

    def _stale(self, path: str, record: Record) -> Iterator[str]:
        """Yield reasons why the file is older than its inputs, code or settings."""
        for source, digest in record.inputs.items():
            if source in self.records and self.records[source].sha256 != digest:
                yield f"was made from another {source}"
        if changed := [file for file, found in record.code.items() if _code_changed(file, found)]:
            yield f"is older than the code of {', '.join(changed)}"
        for setting, recorded, present in self._settings(path, record):
            for name, was, now in _differences(setting, recorded, json.loads(canonical_json(present))):
                yield f"was made with {name} {_shown(was)}, the configuration has {_shown(now)}"

    def _settings(self, path: str, record: Record) -> Iterator[tuple[str, Any, Any]]:
        """Yield name, recorded value and present value of each setting of the job; none without a configuration."""
        if self.config is None:
            return
        told = {param: json.loads(record.params[param]) for param in TOLD & set(record.params)}
        for name, was in (told.get("settings", {}) | told.get("scores", {})).items():
            yield name, was, self.config.setting(name)
        # None for files outside cells, and for cells outside the configuration.
        cell = next((self.cells[folder] for folder in map(str, Path(path).parents) if folder in self.cells), None)
        experiment = self.experiments[cell.experiment] if cell else None
        if "training" in told and cell and isinstance(experiment, Experiment):
            yield "training", told["training"], experiment.training(cell)
        if "pixels" in told and isinstance(experiment, ModelExperiment):
            yield "pixels", told["pixels"], experiment.pixels.model_dump(include=set(told["pixels"]))
        if "descriptions" in told:
            now = {name: found.description for name, found in self.experiments.items()}
            yield "descriptions", told["descriptions"], now
        for param in told.keys() & {"experiments", "compared"}:  # these also name experiments that did not run
            for name, found in self.experiments.items():
                yield name, told[param].get(name, {}), found.compared
        if record.rule in OF_ALL_EXPERIMENTS:
            was = sorted(Path(source).parent.name for source in record.inputs if source.endswith("/summary.csv"))
            in_print = sorted(name for name, found in self.experiments.items() if found.compared)
            yield "experiments", was, sorted(self.experiments) if record.rule == "merge_summaries" else in_print

    def _unrecorded(self) -> Iterator[Finding]:
        known = {*self.records, *(finding.path for finding in self.damaged), EXPORTED}
        for room in ("cells", *DRAWN):
            for path in sorted((self.folder / room).rglob("*")):
                name = (RESULTS / path.relative_to(self.folder)).as_posix()
                unfinished = path.name == "checkpoint.pt" or path.name.startswith(".")
                if path.is_file() and not unfinished and name not in known:
                    yield Finding("unrecorded", "has no record of where it comes from", name)

    def _difference(self, path: str, since: str) -> Finding:
        digest = self._digest(path)
        if digest is None:
            return Finding("missing", "is missing", path)
        if self._file(path).stat().st_size == 0:
            return Finding("changed", "is empty", path)
        twin = self._by_digest.get(digest)
        return Finding("changed", f"holds the content of {twin}" if twin else f"has changed since {since}", path)

    def _digest(self, path: str) -> str | None:
        if path not in self.read:
            file = self._file(path)
            self.read[path] = sha256_of(file) if file.is_file() else None
        return self.read[path]

    def _file(self, path: str) -> Path:
        """Return the present path of a recorded path, for a results folder of any name."""
        if Path(path).is_relative_to(RESULTS):
            return self.folder / Path(path).relative_to(RESULTS)
        return self.folder.parent / path

    @cached_property
    def _by_digest(self) -> dict[str, str]:
        return {record.sha256: path for path, record in self.records.items()}

    def _resting_on(self, paths: set[str]) -> list[str]:
        """Return the tables, figures and pages among `paths` and all files that depend on them."""
        reached, pending = set[str](), paths
        while pending:
            reached |= pending
            pending = {path for path, record in self.records.items() if pending & record.inputs.keys()} - reached
        return sorted(filter(_is_drawn, reached))


def _is_drawn(path: str) -> bool:
    return path.startswith(tuple(f"{RESULTS}/{room}/" for room in DRAWN))


def _code_changed(file: str, digests: Mapping[str, str]) -> bool:
    """Return whether recorded definitions of a source file have changed; scripts are compared in a checkout only."""
    path = source_file(file)
    if file.startswith(SCRIPTS) and not path.is_file():
        return False
    return any(definition_digest(path, name) != digest for name, digest in digests.items())


def _differences(name: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            yield from _differences(f"{name}.{key}", was.get(key), now.get(key))
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from _differences(f"{name}[{index}]", *pair)
    elif was != now:
        yield name, was, now


def _shown(value: Any) -> str:  # noqa: ANN401
    return "none" if value is None else shorten(json.dumps(value), 200, placeholder=" ...")


def _folded(paths: Sequence[str]) -> list[str]:
    """Write files that differ only in their suffix as one.

    Example:
        >>> _folded(["max_logit.csv", "max_logit.pdf", "summary.csv"])
        ['max_logit.{csv,pdf}', 'summary.csv']
    """
    suffixes = defaultdict(list)
    for path in paths:
        stem, _, suffix = path.rpartition(".")
        suffixes[stem].append(suffix)
    return [
        f"{stem}.{found[0] if len(found) == 1 else '{' + ','.join(found) + '}'}" for stem, found in suffixes.items()
    ]


def _listed(paths: Sequence[str], most: int = 3) -> str:
    if len(paths) == 1:
        return paths[0]
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return f"{', '.join(paths[:most])}{more}: each"
