"""A finished tiny run of the real workflow, and copies of it to change and rerun."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Workspace:
    """A copy of the repository with its own configuration and results."""

    folder: Path
    log: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def snakemake(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run snakemake here as a user would, on this copy's own library."""
        environment = os.environ | self.variables | {"PYTHONPATH": str(self.folder / "src"), "COLUMNS": "200"}
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "tiny.yaml", "--cores", "2"]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def run(self, *targets: str) -> str:
        """Run and return the output; the run must succeed."""
        done = self.snakemake(*targets)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *targets: str) -> set[str]:
        """Return the jobs that a run would execute, by their messages."""
        done = self.snakemake(*targets, "--dry-run")
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"^ *Job \d+: (.*)$", done.stdout + done.stderr, re.MULTILINE)) - {"all"}

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


def make_workspace(folder: Path) -> Workspace:
    for name in ("Snakefile", "config.yaml", "rules", "workflow", "envs", "profiles", "src"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    tests = REPOSITORY / "tests" / "workflow"
    shutil.copytree(tests / "experiments", folder / "experiments")
    shutil.copy2(tests / "tiny.yaml", folder)
    return Workspace(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which everything has run; not to be changed."""
    workspace = make_workspace(tmp_path_factory.mktemp("finished"))
    workspace.log = workspace.run()
    return workspace


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, dates kept."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Workspace(folder)


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """A workspace in which nothing has run."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    return make_workspace(folder)
