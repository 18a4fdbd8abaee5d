"""A disk that is full, read-only or limited while a file is written: the old file stays whole, nothing is left beside
it, and the job's log says in one line what is in the way."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pandas import DataFrame
from safetensors.numpy import save_file

from unsmooth.atomic_files import WriteError, atomic_path
from unsmooth.config.loading import load_experiment
from unsmooth.data import gaussians
from unsmooth.data.arrays import Split, write_dataset
from unsmooth.figures.style import save_figure
from unsmooth.logits.logits_file import write_logits
from unsmooth.training.cell import CellJob, train_cell
from unsmooth.training.checkpoints import write_checkpoint

pytestmark = pytest.mark.faults

NOBODY = 65534
TINY = Path(__file__).parents[1] / "workflow" / "experiments" / "tiny_gaussians.yaml"


def write(kind, folder, *, seed):
    """Write a file as jobs of that kind do; the content depends on the seed."""
    generator = np.random.default_rng(seed)
    values, targets = generator.normal(size=(4000, 10)).astype(np.float32), generator.integers(0, 10, 4000)
    tensor = torch.from_numpy(values)
    if kind == "checkpoint":
        write_checkpoint(folder / "checkpoint.pt", {"weights": tensor})
    elif kind == "logits":
        write_logits(folder / "test.safetensors", values, targets, metadata={})
    elif kind == "scores":
        with atomic_path(folder / "scores.safetensors") as temporary:
            save_file({"msp": values}, temporary)
    elif kind == "curves":
        with atomic_path(folder / "curves.parquet") as temporary:
            DataFrame(values, columns=list("abcdefghij")).to_parquet(temporary)
    elif kind == "dataset":
        splits = {"test": Split(tensor, torch.from_numpy(targets))}
        write_dataset(folder, splits, dataset="d", classes=list("abcdefghij"), mean=[], std=[])
    else:
        figure = Figure()
        figure.subplots().plot(values[:500, 0])
        save_figure(figure, DataFrame(values), folder / "figure")


FILES = {
    "checkpoint": "checkpoint.pt",
    "logits": "test.safetensors",
    "scores": "scores.safetensors",
    "curves": "curves.parquet",
    "dataset": "data.safetensors",
    "figure": "figure.pdf",  # the first of three
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def file_size_limit(limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("kind", "file"), [*FILES.items(), ("figure", "figure.png"), ("figure", "figure.csv")])
def test_file_that_cannot_grow_leaves_the_old_one(tmp_path, kind, file):
    write(kind, tmp_path, seed=0)
    before = contents(tmp_path)

    limit = len(before[file]) * 7 // 8
    with file_size_limit(limit), pytest.raises(WriteError) as refused:
        write(kind, tmp_path, seed=1)

    told = f"File too large: files may have {limit / 2**20:.2f} MiB at most (ulimit -f) in {tmp_path}"
    assert str(refused.value) == f"{tmp_path}/{file}: {told}"
    assert contents(tmp_path) == before

    write(kind, tmp_path, seed=1)
    assert contents(tmp_path) != before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB: one of the files fits, two do not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False)
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["checkpoint", "logits", "scores", "curves", "dataset"])
def test_full_disk_leaves_the_old_file(small_disk, kind):
    write(kind, small_disk, seed=0)
    before = contents(small_disk)

    told = r"No space left on device: 0\.0\d MiB of 0\.25 MiB are free in"
    with pytest.raises(WriteError, match=f"^{small_disk}/{FILES[kind]}: {told} {small_disk}$"):
        write(kind, small_disk, seed=1)

    assert contents(small_disk) == before


def test_folder_on_a_read_only_disk_is_named(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    for folder, named in ((small_disk, small_disk / "test.safetensors"), (small_disk / "cell", small_disk / "cell")):
        with pytest.raises(WriteError, match=f"^{named}: Read-only file system: {small_disk}$"):
            write("logits", folder, seed=0)


@contextmanager
def plain_user():
    """Be a user for whom permissions count."""
    if (user := os.geteuid()) == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(user)


def test_folder_without_permission_is_named():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with plain_user() as user:
            for kind in FILES:
                with pytest.raises(WriteError) as refused:
                    write(kind, folder, seed=0)
                assert str(refused.value) == f"{folder}/{FILES[kind]}: Permission denied: user {user} in {folder}"


JOBS = """
import os, resource, sys
from pathlib import Path
from faults.test_full_disk import write
from unsmooth.runtime.jobs import job_log
for job in sys.argv[1:]:
    kind, limit = job.split("-")
    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        try:
            with job_log(f"logs/{job}.log"):
                print("begun " * 10)
                write(kind, Path("results"), seed=0)
        finally:
            os._exit(0)
    os.wait()
"""
ROOM, NO_ROOM = 8192, 40  # bytes: for a log, and not even for that


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A folder in which jobs could write no long files, and what they told on standard error."""
    folder = tmp_path_factory.mktemp("limited")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", JOBS, *(f"{kind}-{ROOM}" for kind in FILES), f"logits-{NO_ROOM}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return folder, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_log_of_a_job_tells_in_one_line_what_is_in_the_way(limited, kind):
    folder, _ = limited
    _, *told = (folder / "logs" / f"{kind}-{ROOM}.log").read_text().splitlines()

    reason = f"File too large: files may have 0.01 MiB at most (ulimit -f) in {folder}/results"
    assert told == [f"error: results/{FILES[kind]}: {reason}"]


@pytest.mark.slow
def test_what_a_log_has_no_room_for_goes_to_standard_error(limited):
    _, told = limited

    assert told.startswith(f"error: logs/logits-{NO_ROOM}.log: File too large: ") and "Traceback" not in told


TRAINING = """
import json, sys, torch
from unsmooth.training.cell import CellJob, launch
from unsmooth.runtime.jobs import job_log
torch.set_num_threads(1)
with job_log("full.log"):
    launch(CellJob(**json.loads(sys.argv[1])), devices=1)
"""


@pytest.mark.slow
def test_training_goes_on_from_its_last_checkpoint_once_there_is_room(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sizes = {"num_train": 200, "num_val": 20, "num_test": 20}
    gaussians.build(Path("data"), dataset="gaussians", **sizes, num_classes=3, spread=1.0, seed=0)
    experiment = load_experiment(TINY)
    training = experiment.training(experiment.cells("tiny")[1])
    training["recipe"] |= {"epochs": 100}
    clean, full = (
        CellJob(training, "data", name, f"{name}/checkpoint.pt", code="any", device="cpu") for name in ("clean", "full")
    )
    train_cell(clean)

    with subprocess.Popen([sys.executable, "-c", TRAINING, json.dumps(asdict(full))]) as stopped:
        while not Path(full.checkpoint).exists():
            assert stopped.poll() is None
            time.sleep(0.01)
        resource.prlimit(stopped.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    *_, epoch, told = Path("full.log").read_text().splitlines()
    assert stopped.returncode == 1
    assert told.startswith("error: full/checkpoint.pt: File too large: ")

    capsys.readouterr()
    train_cell(full)
    done = int(epoch.removeprefix("epoch ").partition("/")[0])
    assert capsys.readouterr().out.startswith(f"resumed at epoch {done + 1}, step 1\n")
    for file in ("model.safetensors", "history.csv"):
        assert Path("full", file).read_bytes() == Path("clean", file).read_bytes()
