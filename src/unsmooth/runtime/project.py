"""Workflow files (rules, scripts, experiments), copied into a folder of the user."""

from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns

from unsmooth.runtime.code import PACKAGE

PARTS = ("Snakefile", "config.yaml", "rules", "workflow", "experiments", "profiles", "envs")
INSTALLED = PACKAGE / "project"  # in a wheel; a checkout has them beside src/


class ProjectError(ValueError):
    """The workflow cannot be copied into the requested folder."""


def create_project(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder} must be a new or an empty folder")
    source = INSTALLED if INSTALLED.is_dir() else PACKAGE.parents[1]
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            copytree(source / part, folder / part, ignore=ignore_patterns("__pycache__"))
        else:
            copyfile(source / part, folder / part)
