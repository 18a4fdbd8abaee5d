"""A finished tiny run of the real workflow, and copies of it to change and rerun."""

import shutil
from pathlib import Path

import pytest
from miniatures.workspace import Workspace, finished_once, make_workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which everything has run; not to be changed."""
    return finished_once(tmp_path_factory, "finished", make_workspace)


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
