"""A disk that fills up while a file is written: the old file stays whole, and nothing is left beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from matplotlib.figure import Figure
from pandas import DataFrame
from unsmooth.checkpoints import write_checkpoint
from unsmooth.data.arrays import Split, write_dataset
from unsmooth.figures import save_figure
from unsmooth.logits import write_logits

kind, folder, seed, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
generator = np.random.default_rng(seed)
values, targets = generator.normal(size=(4000, 10)).astype(np.float32), generator.integers(0, 10, 4000)
tensor, classes = torch.from_numpy(values), torch.from_numpy(targets)
figure = Figure()
figure.subplots().plot(values[:500, 0])
splits = {"test": Split(tensor, classes)}
writers = {
    "checkpoint": lambda: write_checkpoint(folder / "checkpoint.pt", {"weights": tensor}),
    "logits": lambda: write_logits(folder / "test.safetensors", values, targets, metadata={}),
    "figure": lambda: save_figure(figure, DataFrame(values), folder / "figure"),
    "dataset": lambda: write_dataset(folder, splits, dataset="d", classes=list("abcdefghij"), mean=[], std=[]),
}
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
writers[kind]()
"""
KINDS = ["checkpoint", "logits", "figure", "dataset"]


def write(kind, folder, *, seed, limit=0):
    command = [sys.executable, "-c", PROGRAM, kind, str(folder), str(seed), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_cannot_grow_leaves_the_old_one(tmp_path, kind):
    assert write(kind, tmp_path, seed=0).returncode == 0
    before = contents(tmp_path)

    done = write(kind, tmp_path, seed=1, limit=max(map(len, before.values())) - 100)

    assert done.returncode == 1 and "File too large" in done.stderr
    assert contents(tmp_path) == before

    assert write(kind, tmp_path, seed=1).returncode == 0
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


@pytest.mark.parametrize("kind", ["checkpoint", "logits", "dataset"])
def test_full_disk_leaves_the_old_file(small_disk: Path, kind):
    assert write(kind, small_disk, seed=0).returncode == 0
    before = contents(small_disk)

    done = write(kind, small_disk, seed=1)

    assert done.returncode == 1 and "No space left on device" in done.stderr
    assert contents(small_disk) == before


def test_folder_on_a_read_only_disk_is_named(small_disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    done = write("logits", small_disk / "cell", seed=0)

    assert done.returncode == 1
    assert f"Read-only file system: '{small_disk}/cell'" in done.stderr
