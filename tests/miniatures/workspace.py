"""Copies of the repository in which the workflow runs at toy size."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from miniatures.warm_python import warm_python

REPOSITORY = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


@dataclass
class Workspace:
    """A copy of the repository with its own configuration and results."""

    folder: Path
    log: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, command: Sequence[str] = SNAKEMAKE) -> subprocess.Popen[str]:
        """Start snakemake here as a user would, on this copy's own library, in a process group of its own."""
        return subprocess.Popen(
            [*command, *arguments, "--configfile", "tiny.yaml", "--cores", "2"],
            cwd=self.folder,
            env=os.environ | self.variables | {"PYTHONPATH": str(self.folder / "src"), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run snakemake, forked from a warm process, to its end; standard output holds standard error too."""
        process = self.start(*arguments, command=warm_snakemake())
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")

    def run(self, *targets: str) -> str:
        """Run and return the output; the run must succeed."""
        done = self.snakemake(*targets)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *targets: str) -> set[str]:
        """Return the jobs that a run would execute, by their messages."""
        done = self.snakemake(*targets, "--dry-run")
        assert done.returncode == 0, done.stdout
        return set(re.findall(r"^ *Job \d+: (.*)$", done.stdout, re.MULTILINE)) - {"all"}

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must occur in a file."""
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def edit_experiment(self, name: str, **changes: object) -> None:
        """Replace top-level keys of an experiment file."""
        file = self.folder / "experiments" / f"{name}.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def warm_snakemake() -> list[str]:
    """Return a command that forks Snakemake, and its jobs, from a warm Python; a longer run warms one of its own."""
    script = Path(__file__).with_name("snakemake_here.py")
    return [*warm_python(), sys.executable, str(script), shlex.join(warm_python())]


def make_workspace(folder: Path) -> Workspace:
    for name in ("Snakefile", "config.yaml", "rules", "workflow", "envs", "profiles", "src"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    tests = REPOSITORY / "tests" / "workflow"
    shutil.copytree(tests / "experiments", folder / "experiments")
    shutil.copy2(tests / "tiny.yaml", folder)
    return Workspace(folder)


def finished_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Workspace], *targets: str
) -> Workspace:
    """Return a workspace in which everything has run, one for all processes of a test session; not to be changed.

    The first process that asks makes and runs it while the others wait; `log` is what the run printed.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    output = folder.with_suffix(".log")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            printed = make(folder).run(*targets)
            output.write_text(printed)
    return Workspace(folder, output.read_text())
