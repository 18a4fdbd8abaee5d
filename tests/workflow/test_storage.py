"""A run whose jobs work on copies of files in a volume, as on Kubernetes, leaves there what an ordinary run leaves."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from miniatures.workspace import make_workspace

from unsmooth.runtime.verification import verify

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CELL = "results/cells/tiny_gaussians/mlp/ls_alpha-0.2/seed-0"
SUMMARY, MAIN = "results/tables/tiny_gaussians/summary.csv", "results/tables/tiny_gaussians/main.csv"
TARGETS = [MAIN, "results/figures/tiny_gaussians/mlp/degradation.png"]
EXPLORED = "results/report/tiny_gaussians.json"
# What a run took differs, and with it what tells of it, and the records of these.
TIMED = ("logs/", "benchmarks/", "report/", "provenance/results/report/")


def stored_in(volume):
    return "--default-storage-provider", "fs", "--default-storage-prefix", str(volume)


def contents(results):
    """Return every file below a folder of results that does not tell of times."""
    files = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith(TIMED) and "/run.json" not in name
    }


@pytest.fixture(scope="module", autouse=True)
def rsync():
    if shutil.which("rsync") is None and "CI" not in os.environ:
        pytest.skip("rsync is not installed")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace that has run with its results in the folder `volume` beside it."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "work").mkdir()
    (folder / "volume").mkdir()
    workspace = make_workspace(folder / "work")
    workspace.log = workspace.run(*TARGETS, EXPLORED, *stored_in(folder / "volume"))
    return workspace


@pytest.fixture
def volume(workspace):
    return workspace.folder.parent / "volume"


def test_results_and_records_equal_those_of_an_ordinary_run(volume, finished):
    found, expected = contents(volume / "results"), contents(finished.folder / "results")

    assert {*TARGETS, f"{CELL}/model.safetensors"} <= {f"results/{name}" for name in found}
    assert f"provenance/{MAIN}.json" in found
    assert [name for name, content in found.items() if content != expected.get(name)] == []


def test_verification_finds_nothing_wrong(volume):
    found = verify(volume / "results")

    assert (volume / EXPLORED).exists()
    assert found.files > 20
    assert found.findings == []


def test_costs_lie_beside_the_logs(volume):
    logs, costs = (
        {path.relative_to(volume / folder).with_suffix("") for path in (volume / folder).rglob("*.*")}
        for folder in ("results/logs", "results/benchmarks")
    )

    assert logs == costs and len(logs) > 5


def test_nothing_is_left_in_the_working_folder(workspace):
    assert not (workspace.folder / "results").exists()
    assert not (workspace.folder / "resources").exists()


def test_run_ends_with_results_in_the_volume(workspace, volume):
    assert "tiny_gaussians, mlp (percent" in workspace.log
    assert "dump_logits" in workspace.log.split("Cost by rule")[1]
    assert f"Tables: {volume}/results/tables/" in workspace.log


def test_a_changed_input_is_refused(volume, fresh, tmp_path):
    copy = tmp_path / "volume"
    shutil.copytree(volume, copy)
    with (copy / SUMMARY).open("a") as summary:
        summary.write("\n")

    done = fresh.snakemake(MAIN, *stored_in(copy))
    log = (copy / "results/logs/write_main/tiny_gaussians.log").read_text()

    assert done.returncode == 1
    assert log.startswith(f"error: {copy / SUMMARY} has changed since collect wrote it")
    assert f"or {copy}/results/provenance/{SUMMARY}.json to use it as it is" in log


def test_a_prefix_that_is_no_absolute_path_is_refused(fresh):
    done = fresh.snakemake(MAIN, *stored_in("volume"))

    assert done.returncode == 1
    assert "default-storage-prefix must be an absolute path, got 'volume'" in done.stdout


def test_a_killed_training_goes_on_in_another_working_folder(tmp_path):
    """As another pod would, which has no file of the first."""
    cell, volume = "long_gaussians/mlp/ce_alpha-0/seed-0", tmp_path / "volume"
    checkpoint = volume / "results/cells" / cell / "checkpoint.pt"
    command = f"results/cells/{cell}/model.safetensors", *stored_in(volume)
    volume.mkdir()
    pods = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        pods.append(make_workspace(tmp_path / name))
        shutil.copy2(Path(__file__).parent / "slurm" / "long_gaussians.yaml", pods[-1].folder / "experiments")
    first = pods[0].start(*command)
    try:
        deadline = time.monotonic() + 120
        while not checkpoint.exists():
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()

    pods[1].run(*command)

    assert (volume / f"results/logs/train/{cell}.log").read_text().startswith("resumed at epoch")
    assert not checkpoint.exists()
    assert verify(volume / "results").findings == []
