"""The wings of the library: science imports neither the workflow's support nor what people see."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unsmooth

PACKAGE = Path(unsmooth.__file__).parent
SCIENCE = ["classifier", "diagnosis", "logits", "losses", "metrics", "monitors", "scores", "theory"]
FORBIDDEN = {"cli", "config", "figures", "page", "runtime", "tables"}
OPTIONAL = ["jinja2", "matplotlib", "pandas", "plotly", "seaborn", "tabulate", "yaml"]


def modules(room):
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported_rooms(path):
    """The rooms of this package that a module imports, at its top or inside a function."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("unsmooth.")}


@pytest.mark.parametrize("path", [path for room in SCIENCE for path in modules(room)], ids=lambda path: path.stem)
def test_science_imports_neither_the_workflow_nor_what_people_see(path):
    assert imported_rooms(path) & FORBIDDEN == set()


@pytest.mark.slow
def test_diagnosis_needs_no_extra(tmp_path):
    program = f"""
import sys
sys.modules |= dict.fromkeys({OPTIONAL})  # each import of these fails
import numpy as np
targets = np.arange(600) % 3
np.savez("test.npz", logits=np.random.default_rng(0).normal(size=(600, 3)) + 2 * np.eye(3)[targets], targets=targets)
sys.argv = ["unsmooth", "diagnose", "test.npz", "--replicates", "20"]
from unsmooth.cli import run
run()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "AURC" in done.stdout
