"""Files that are damaged, replaced or dated wrongly at each stage: an error that names them, never another result."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.conftest import CELLS, TARGETS, contents

from unsmooth.runtime.verification import verify

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.slow]

CE, LS = f"{CELLS}/ce_alpha-0/seed-0", f"{CELLS}/ls_alpha-0.2/seed-0"
DATA = "resources/gaussians_num_test-500_num_train-200_num_val-200"
# file, and what is made from it
STAGES = {
    f"{DATA}/manifest.json": f"{LS}/model.safetensors",
    f"{DATA}/data.safetensors": f"{LS}/model.safetensors",
    f"{LS}/model.safetensors": f"{LS}/logits/test.safetensors",
    f"{LS}/logits/val.safetensors": f"{LS}/scores/test.safetensors",
    f"{LS}/scores/test.safetensors": f"{LS}/metrics.csv",
    f"{LS}/scores/fitted.json": f"{LS}/metrics.csv",
    f"{LS}/metrics.csv": "results/tables/tiny_gaussians/summary.csv",
    f"{LS}/bootstrap.parquet": "results/tables/tiny_gaussians/summary.csv",
    f"{LS}/curves.parquet": TARGETS[1],
    "results/tables/tiny_gaussians/summary.csv": TARGETS[0],
}


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def put_that_of_the_other_cell(path):
    shutil.copy2(CE / path.relative_to(LS), path)


def made_from(path):
    return STAGES[path.replace(CE, LS)].replace(LS, CE) if path.startswith(CE) else STAGES[path]


# Two at a time where the jobs that read them do not wait for each other.
@pytest.mark.parametrize(
    "damages",
    [
        {f"{DATA}/data.safetensors": flip_one_bit, f"{CE}/logits/val.safetensors": truncate},
        {f"{LS}/model.safetensors": put_that_of_the_other_cell, f"{CE}/scores/test.safetensors": flip_one_bit},
        {f"{LS}/metrics.csv": truncate},
        {f"{LS}/curves.parquet": empty},
    ],
    ids=["data and logits", "model and scores", "metrics", "curves"],
)
def test_damaged_file_stops_the_job_that_reads_it(workspace, monkeypatch, damages):
    monkeypatch.chdir(workspace.folder)
    for path, damage in damages.items():
        dates = os.stat(path)
        damage(Path(path))
        os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # a disk that decays does not date what it changes
        Path(made_from(path)).unlink()

    refused = workspace.snakemake(*map(made_from, damages))

    assert refused.returncode != 0 and "Traceback" not in refused.stdout
    for path in damages:
        assert f"error: {path} has changed since " in refused.stdout
        assert not Path(made_from(path)).exists()


def test_deleted_file_is_made_again_the_same(workspace, clean):
    (workspace.folder / LS / "scores/test.safetensors").unlink()

    workspace.run(f"{LS}/scores/test.safetensors", *TARGETS)

    assert contents(workspace) == contents(clean)
    assert verify(workspace.folder / "results").findings == []


@pytest.mark.parametrize("path", STAGES)
@pytest.mark.parametrize("damage", [truncate, flip_one_bit, empty])
def test_verification_names_the_damaged_file(workspace, path, damage):
    damage(workspace.folder / path)

    (finding,) = verify(workspace.folder / "results").findings

    assert (finding.path, finding.problem) == (path, "changed")


def test_changed_code_and_configuration_are_told(workspace):
    workspace.edit("src/unsmooth/tables/layouts.py", "if np.isnan(mean):", "if np.isnan(mean) and decimals >= 0:")
    workspace.edit("tiny.yaml", "curve_points: 50", "curve_points: 60")
    command = [sys.executable, "-m", "unsmooth.cli", "verify", "results", "--config", "config.yaml"]
    done = subprocess.run(
        [*command, "--config", "tiny.yaml"],
        cwd=workspace.folder,
        env=os.environ | {"PYTHONPATH": str(workspace.folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "is older than the code of unsmooth/tables/layouts.py." in done.stdout
    assert "was made with evaluation.curve_points 50, the configuration has 60." in done.stdout
    assert "model.safetensors" not in done.stdout


def test_dates_in_the_future_end_in_an_error_until_they_are_past(workspace, clean):
    ahead = time.time() + 24 * 3600
    for path in (workspace.folder / LS).rglob("*"):
        os.utime(path, (ahead, ahead))
    (workspace.folder / TARGETS[1]).unlink()

    refused = workspace.snakemake(*TARGETS)
    assert refused.returncode != 0 and "clock skew" in refused.stdout

    for path in (workspace.folder / LS).rglob("*"):
        os.utime(path)
    workspace.run(*TARGETS)
    assert contents(workspace) == contents(clean)
    assert verify(workspace.folder / "results").findings == []
