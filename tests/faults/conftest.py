"""A small finished workflow, and copies of it to break.

UNSMOOTH_FAULT_SEEDS=20 pytest -m faults tests/faults runs every random test with twenty seeds instead of one.
"""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from miniatures.workspace import Workspace, finished_once, make_workspace

CELLS = "results/cells/tiny_gaussians/mlp"
TARGETS = (
    "results/tables/tiny_gaussians/main.csv",
    "results/figures/tiny_gaussians/mlp/risk_coverage_msp.png",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault_seed" in metafunc.fixturenames:
        metafunc.parametrize("fault_seed", range(int(os.environ.get("UNSMOOTH_FAULT_SEEDS", "1"))))


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that ran without any fault; not to be changed."""
    return finished_once(tmp_path_factory, "clean", small_workspace, *TARGETS)


@pytest.fixture
def workspace(clean: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, dates kept."""
    shutil.copytree(clean.folder, tmp_path / "copy", symlinks=True)
    return Workspace(tmp_path / "copy")


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """The same workspace before its first run."""
    (tmp_path / "fresh").mkdir()
    return small_workspace(tmp_path / "fresh")


def small_workspace(folder: Path) -> Workspace:
    workspace = make_workspace(folder)
    workspace.edit("tiny.yaml", "  - experiments/tiny_glyphs.yaml\n", "")
    workspace.edit("experiments/tiny_gaussians.yaml", "epochs: 2", "epochs: 100")
    return workspace


def contents(workspace: Workspace) -> dict[str, str]:
    """Return the SHA-256 of all results that do not hold times."""
    return {
        path.relative_to(workspace.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for room in ("cells", "tables", "figures")
        for path in sorted((workspace.folder / "results" / room).rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
