import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from miniatures.warm_python import warm_python
from safetensors.torch import load_file
from train import train

from unsmooth.config.kinds import Experiment
from unsmooth.data import glyphs
from unsmooth.data.arrays import read_manifest
from unsmooth.runtime.code import code_hash
from unsmooth.runtime.targets import training_targets
from unsmooth.training.cell import CellJob, train_cell

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "train.py"
PROGRAM = Path(__file__).parents[1] / "miniatures" / "train_cell.py"


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


@pytest.fixture(scope="module")
def training_in_two(training):
    return training | {"recipe": training["recipe"] | {"shards": 2, "epochs": 10}}


def job_of(training, dataset, cell, teacher=None):
    return CellJob(
        training, str(dataset), str(cell), str(cell / "checkpoint.pt"), code="any", device="cpu", teacher=teacher
    )


def start(training, dataset, cell, devices=1, teacher=None):
    job = json.dumps(asdict(job_of(training, dataset, cell, teacher)))
    command = [*warm_python(), sys.executable, str(PROGRAM), job, str(devices)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights_digest(cell):
    return hashlib.sha256((cell / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(training, dataset, tmp_path_factory):
    cell = tmp_path_factory.mktemp("uninterrupted")
    train_cell(job_of(training, dataset, cell))
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
    assert run["device"] == "cpu" and run["devices"] == 1 and run["images_per_s"] > 0
    assert list(history.columns) == ["epoch", "lr", "loss", "accuracy"] and len(history) == 25
    assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
    assert run["parameters"] == sum(t.numel() for n, t in weights.items() if n.split(".")[-1] in ("weight", "bias"))


def test_cell_records_how_much_its_targets_are_smoothed(training, dataset, uninterrupted, tmp_path):
    run = json.loads((uninterrupted / "run.json").read_text())
    mixing = training["recipe"] | {"epochs": 1, "mixup": {"alpha": 1.0}}
    train(training | {"recipe": mixing}, dataset, tmp_path, tmp_path / "checkpoint.pt", threads=1, gpus=0)
    mixed = json.loads((tmp_path / "run.json").read_text())

    assert run["smoothing"] == mixed["smoothing"] == 0.1
    assert run["effective_smoothing"] == 0.1 - 0.1 / 62
    # The smaller of a uniform share and its rest is 1/4 in the mean; some of 13 steps' pairs are of one class.
    assert mixed["effective_smoothing"] == pytest.approx(0.9 * 0.25 + 0.1 - 0.1 / 62, abs=0.15)
    assert mixed["effective_smoothing"] > run["effective_smoothing"] + 0.05


@pytest.fixture(scope="module")
def distilled(training):
    loss = {"kind": "distillation", "alpha": 0.9, "temperature": 4.0}
    return training | {"loss": loss, "recipe": training["recipe"] | {"epochs": 4}, "teacher": training}


def test_student_is_taught_by_the_weights_it_is_given(training, distilled, dataset, uninterrupted, tmp_path):
    lesser = tmp_path / "lesser"
    short = training | {"recipe": training["recipe"] | {"epochs": 1}}
    train(short, dataset, lesser, lesser / "checkpoint.pt", threads=1, gpus=0)
    digests = []
    for name, teacher in (("first", uninterrupted), ("again", uninterrupted), ("other", lesser)):
        cell, weights = tmp_path / name, teacher / "model.safetensors"
        train(distilled, dataset, cell, cell / "checkpoint.pt", threads=1, gpus=0, teacher=weights)
        digests.append(weights_digest(cell))

    run = json.loads((tmp_path / "first" / "run.json").read_text())
    assert digests[0] == digests[1] != digests[2]
    assert run["teacher"] == training
    assert run["teacher_sha256"] == weights_digest(uninterrupted)
    assert run["smoothing"] is None and run["effective_smoothing"] is None


@pytest.mark.slow
def test_checkpoint_of_a_student_is_not_resumed_with_another_teacher(training, distilled, dataset, tmp_path):
    teachers = [tmp_path / "one", tmp_path / "other"]
    for number, teacher in enumerate(teachers):
        short = training | {"recipe": training["recipe"] | {"epochs": 1}, "seed": number}
        train(short, dataset, teacher, teacher / "checkpoint.pt", threads=1, gpus=0)
    long = distilled | {"recipe": distilled["recipe"] | {"epochs": 50}}
    cell, weights = tmp_path / "student", [str(teacher / "model.safetensors") for teacher in teachers]
    cell.mkdir()
    with start(long, dataset, cell, teacher=weights[0]) as process:
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                process.terminate()
                break
        output = process.stdout.read()
    assert process.returncode == 143, output

    lines = []
    for teacher in reversed(weights):
        shutil.copytree(cell, tmp_path / "copy", dirs_exist_ok=True)
        with start(long, dataset, tmp_path / "copy", teacher=teacher) as process:
            lines.append(process.stdout.readline())
            process.kill()

    assert lines[0].startswith("checkpoint.pt belongs to another configuration")
    assert lines[1].startswith("resumed at epoch")


def test_script_records_the_code_by_which_the_workflow_finds_stale_cells(training, dataset, tmp_path):
    short = training | {"recipe": training["recipe"] | {"epochs": 1}}

    train(short, dataset, tmp_path, tmp_path / "checkpoint.pt", threads=4, gpus=0)

    run = json.loads((tmp_path / "run.json").read_text())
    assert run["code"] == code_hash(SCRIPT, *training_targets(training))
    assert run["devices"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_processes_save_when_the_one_that_started_them_ends(training_in_two, dataset, tmp_path, number, status):
    with start(training_in_two, dataset, tmp_path, devices=2) as process:
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                process.send_signal(number)
                break
        output = process.stdout.read()  # until the last process has closed it
    assert process.returncode == status, output
    assert "SIGTERM: saved epoch" in output

    with start(training_in_two, dataset, tmp_path, devices=2) as process:
        output, _ = process.communicate(timeout=300)

    run = json.loads((tmp_path / "run.json").read_text())
    assert process.returncode == 0, output
    assert output.count("resumed at epoch") == 1 and output.count("epoch 10/10") == 1
    assert run["devices"] == 2 and len(pd.read_csv(tmp_path / "history.csv")) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "model.safetensors", "run.json"]


@pytest.mark.slow
def test_error_of_a_process_is_told_by_the_one_that_started_it(training_in_two, tmp_path):
    with start(training_in_two, tmp_path / "nowhere", tmp_path, devices=2) as process:
        output, _ = process.communicate(timeout=300)

    assert process.returncode == 1
    assert "CellTrainingError: process" in output
    assert f"{tmp_path}/nowhere/manifest.json does not exist: build the dataset first" in output.splitlines()[-1]
