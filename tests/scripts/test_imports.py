"""What a job loads before it works: most last a second or two, and torch alone would double that."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
# Those that train, infer, score logits, or draw from a network's gradients or datasets.
ON_TENSORS = {
    "build_dataset", "collect_page", "draw_extra_gradient", "draw_ranking_maps", "dump_logits", "import_weights",
    "score", "stream_pixels", "train",
}  # fmt: skip
PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({"torch", "torchvision", "timm", "matplotlib"} & set(sys.modules)))
"""


def loaded_by(names):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_jobs_that_compute_on_no_tensors_load_no_torch():
    names = {path.stem for path in SCRIPTS.glob("*.py")} - ON_TENSORS

    assert len(names) > 15
    assert loaded_by(sorted(names)) <= {"matplotlib"}


def test_jobs_that_draw_nothing_load_no_matplotlib():
    names = [path.stem for path in SCRIPTS.glob("*.py") if not path.stem.startswith("draw_")]

    assert loaded_by(sorted(names)) == {"torch"}


def test_no_job_loads_timm_or_torchvision_before_it_knows_that_its_model_or_data_need_them():
    assert loaded_by(sorted(ON_TENSORS)) - {"matplotlib"} == {"torch"}
