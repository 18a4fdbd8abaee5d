import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from unsmooth.data import glyphs
from unsmooth.data.arrays import read_manifest
from unsmooth.experiment import Experiment

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
PROGRAM = """
import json, sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from train import train_cell
torch.set_num_threads(1)
cell = Path(sys.argv[4])
train_cell(json.loads(sys.argv[2]), Path(sys.argv[3]), cell, cell / "checkpoint.pt", "cpu")
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glyphs")
    options = {
        "num_train": 400,
        "num_val": 20,
        "num_test": 20,
        "image_size": 8,
        "noise": 0.1,
        "distortion": 1.0,
        "seed": 0,
    }
    glyphs.build(folder, dataset="glyphs", **options)
    return folder


@pytest.fixture(scope="module")
def training():
    experiment = Experiment.model_validate(
        {
            "description": "A test.",
            "dataset": {"kind": "glyphs"},
            "architectures": {"resnet8": {"kind": "cifar_resnet", "depth": 8, "width": 4}},
            "recipe": {
                "epochs": 25,
                "batch_size": 32,
                "optimizer": {"kind": "sgd", "lr": 0.1},
                "schedule": {"kind": "one_cycle"},
                "augmentation": {"crop_padding": 1},
                "precision": "bf16",
                "channels_last": True,
            },
            "losses": {"ls": {"alpha": [0.1]}},
            "seeds": [3],
        }
    )
    return experiment.training(experiment.cells("test")[0])


def start(training, dataset, cell):
    command = [sys.executable, "-u", "-c", PROGRAM, str(SCRIPTS), json.dumps(training), str(dataset), str(cell)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights_digest(cell):
    return hashlib.sha256((cell / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(training, dataset, tmp_path_factory):
    cell = tmp_path_factory.mktemp("uninterrupted")
    with start(training, dataset, cell) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return cell


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_training_killed_at_random_moments_ends_bit_identical(training, dataset, uninterrupted, tmp_path, seed):
    generator = random.Random(seed)
    resumed = 0
    for _ in range(3):
        with start(training, dataset, tmp_path) as process:
            for line in process.stdout:
                resumed += line.startswith("resumed")
                if line.startswith("epoch"):
                    break
            time.sleep(generator.uniform(0, 0.2))
            process.kill()
    assert not (tmp_path / "model.safetensors").exists()

    with start(training, dataset, tmp_path) as process:
        output, _ = process.communicate(timeout=300)

    assert "resumed at epoch" in output and resumed == 2
    assert weights_digest(tmp_path) == weights_digest(uninterrupted)
    assert (tmp_path / "history.csv").read_bytes() == (uninterrupted / "history.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "model.safetensors", "run.json"]


@pytest.mark.slow
def test_sigterm_saves_and_exits_and_the_rerun_ends_bit_identical(training, dataset, uninterrupted, tmp_path):
    with start(training, dataset, tmp_path) as process:
        for line in process.stdout:
            if line.startswith("epoch 3/"):
                process.terminate()
                break
        output = process.stdout.read()
    assert process.returncode == 143
    assert "SIGTERM: saved epoch" in output

    with start(training, dataset, tmp_path) as process:
        process.communicate(timeout=300)

    assert weights_digest(tmp_path) == weights_digest(uninterrupted)


def test_cell_records_what_made_it(training, dataset, uninterrupted):
    run = json.loads((uninterrupted / "run.json").read_text())
    history = pd.read_csv(uninterrupted / "history.csv")
    weights = load_file(uninterrupted / "model.safetensors")

    assert {key: run[key] for key in training} == training
    assert run["data_sha256"] == read_manifest(dataset).sha256
    assert run["device"] == "cpu" and run["images_per_s"] > 0
    assert list(history.columns) == ["epoch", "lr", "loss", "accuracy"] and len(history) == 25
    assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
    assert run["parameters"] == sum(t.numel() for n, t in weights.items() if n.split(".")[-1] in ("weight", "bias"))
