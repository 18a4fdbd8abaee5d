"""Two processes that train together; run as a script, this file is what each of them does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from unsmooth.config.specs.recipes import Adam, Constant, Cosine, CutMix, GradientClip, MixUp, Recipe, Sam, Sgd
from unsmooth.data.loading import TensorLoader
from unsmooth.losses import Distillation, make_loss
from unsmooth.training.distributed import any_process, gathered, process_group, rank, world_size
from unsmooth.training.loop import NonFiniteLossError, train

SGD = {"epochs": 2, "batch_size": 16, "optimizer": Sgd(lr=0.05, weight_decay=1e-3)}
# 70 samples: the last batch has 6, and 6 do not divide into 4 equal shards.
EQUIVALENT = {
    "one shard a process": Recipe(**SGD, shards=2),
    "two shards a process": Recipe(**SGD, shards=4, schedule=Cosine()),
    "shards that do not divide evenly": Recipe(**SGD, shards=3),
    "adam and clipping": Recipe(**SGD | {"optimizer": Adam(lr=0.01)}, shards=2, gradient_clip=GradientClip(limit=0.3)),
    "mixed samples": Recipe(**SGD, shards=4, mixup=MixUp(alpha=1.0), cutmix=CutMix()),
    "sharpness-aware": Recipe(**SGD, shards=4, sam=Sam(rho=0.2), gradient_clip=GradientClip(kind="value", limit=0.1)),
}
LONG = Recipe(**SGD | {"epochs": 3, "batch_size": 4}, shards=2, schedule=Constant())  # 18 steps an epoch
NORMALISED = Recipe(**SGD | {"batch_size": 14}, shards=4)  # every shard has several samples
AGREED_STEP = 10


class Interrupted(nn.Module):
    """The loss; at one call it does something else first, or returns nan."""

    def __init__(self, call=0, act=lambda: None, factor=1.0):
        super().__init__()
        self.inner, self.calls, self.call, self.act, self.factor = make_loss("ls", 0.1), 0, call, act, factor

    def forward(self, logits, targets):
        self.calls += 1
        if self.calls != self.call:
            return self.inner(logits, targets)
        self.act()
        return self.inner(logits, targets) * self.factor


class Killed(Exception):
    pass


def kill():
    raise Killed


def terminate():
    signal.raise_signal(signal.SIGTERM)


def run(recipe, *, dropout=0.0, norm=False, loss=None, taught=False, checkpoint=None):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (70,), generator=generator)
    images = torch.randint(256, (70, 1, 8, 8), generator=generator, dtype=torch.uint8)
    loader = TensorLoader(
        images,
        targets,
        batch_size=recipe.batch_size,
        mean=[0.5],
        std=[0.25],
        crop_padding=1,
        flip=True,
        shards=recipe.shards,
        rank=rank(),
        world_size=world_size(),
    )
    torch.manual_seed(rank())  # process 0 decides
    hidden = nn.BatchNorm1d(16) if norm else nn.Identity()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), hidden, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) if taught else None
    if teacher is not None:
        nn.init.orthogonal_(teacher[1].weight, generator=torch.Generator().manual_seed(5))
        nn.init.zeros_(teacher[1].bias)
        loss = Distillation(0.9)
    lines = []
    settings = {"seed": 1, "num_classes": 3, "teacher": teacher, "checkpoint": checkpoint, "log": lines.append}
    result = train(net, loss or Interrupted(), loader, recipe, **settings)
    return {"weights": net.state_dict(), "history": result.history, "samples": result.samples, "lines": lines}


def interrupted(error, call, act, checkpoint, **settings):
    with pytest.raises(error) as info:
        run(LONG, loss=Interrupted(call, act), checkpoint=checkpoint, **settings)
    return info.value


def found_by_one_of_two(folder):
    found = {name: run(recipe) for name, recipe in EQUIVALENT.items()}
    found["dropout"] = run(LONG, dropout=0.5)
    found["norm"] = run(NORMALISED, norm=True)
    found["taught"] = run(LONG, taught=True)

    # A signal to the second process alone; then a kill in the middle of an epoch.
    act = terminate if rank() == 1 else lambda: None
    stopped = interrupted(SystemExit, 5, act, folder / "terminated.pt", dropout=0.5)
    found["exit code"] = stopped.code
    found["terminated"] = run(LONG, dropout=0.5, checkpoint=folder / "terminated.pt")
    interrupted(Killed, 25, kill, folder / "killed.pt", dropout=0.5)
    gathered(None)
    found["killed"] = run(LONG, dropout=0.5, checkpoint=folder / "killed.pt")

    with pytest.raises(NonFiniteLossError) as info:
        run(LONG, loss=Interrupted(23, factor=float("nan") if rank() == 1 else 1.0))
    found["non-finite"] = str(info.value)

    interrupted(SystemExit, 5, act, folder / "from_two.pt")
    found["from one"] = run(LONG, checkpoint=folder / "from_one.pt")
    draws = []
    run(LONG, loss=Interrupted(1, act=lambda: draws.append(torch.rand(()).item())))
    found["draws"] = draws
    found["told"] = (gathered(f"process {rank()}"), any_process(rank() == 1), any_process(False))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def processes(folder):
    from miniatures.warm_python import warm_python  # which the processes do not find

    interrupted(SystemExit, 2 * AGREED_STEP + 5, terminate, folder / "from_one.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [*warm_python(), sys.executable, __file__, str(folder)],
            env=os.environ | common | {"RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(outputs)
    return [torch.load(folder / f"{number}.pt") for number in (0, 1)]


def assert_close(actual, expected):
    torch.testing.assert_close(actual["weights"], expected["weights"], rtol=1e-5, atol=1e-5)
    for one, other in zip(actual["history"], expected["history"], strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def assert_identical(actual, expected):
    torch.testing.assert_close(actual["weights"], expected["weights"], rtol=0, atol=0)
    assert actual["history"] == expected["history"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUIVALENT)
def test_two_processes_train_the_weights_of_one(processes, name):
    expected = run(EQUIVALENT[name])

    assert_close(processes[0][name], expected)
    assert processes[0][name]["samples"] == expected["samples"] == 140


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EQUIVALENT, "dropout", "terminated", "killed", "from one"])
def test_processes_end_with_equal_weights_and_only_the_first_speaks(processes, name):
    first, second = processes

    assert_identical(first[name], second[name])
    assert first[name]["lines"] and not second[name]["lines"]


@pytest.mark.slow
def test_sigterm_to_one_process_stops_all_at_the_same_step_and_the_rerun_is_bit_identical(processes):
    first, second = processes

    assert first["exit code"] == second["exit code"] == 143
    assert first["terminated"]["lines"][0] == f"resumed at epoch 1, step {AGREED_STEP + 1}"
    assert_identical(first["terminated"], first["dropout"])


@pytest.mark.slow
def test_killed_processes_resume_bit_identically(processes):
    assert processes[0]["killed"]["lines"][0] == "resumed at epoch 2, step 1"
    assert_identical(processes[0]["killed"], processes[0]["dropout"])


@pytest.mark.slow
def test_non_finite_loss_of_one_process_ends_all(processes):
    assert [found["non-finite"] for found in processes] == ["loss is nan at epoch 2, step 5"] * 2


@pytest.mark.slow
def test_training_goes_on_with_another_number_of_processes(processes, folder, tmp_path):
    expected = run(LONG)
    shutil.copy(folder / "from_two.pt", tmp_path)
    alone = run(LONG, checkpoint=tmp_path / "from_two.pt")

    assert alone["lines"][0] == f"resumed at epoch 1, step {AGREED_STEP + 1}"
    assert_close(alone, expected)
    assert processes[0]["from one"]["lines"][0].startswith("resumed at epoch 1, step ")
    assert_close(processes[0]["from one"], expected)


@pytest.mark.slow
def test_dropout_and_running_statistics_do_not_depend_on_the_number_of_processes(processes):
    assert_close(processes[0]["dropout"], run(LONG, dropout=0.5))
    assert_close(processes[0]["norm"], run(NORMALISED, norm=True))


@pytest.mark.slow
def test_students_of_two_processes_learn_what_one_does(processes):
    assert_close(processes[0]["taught"], run(LONG, taught=True))


@pytest.mark.slow
def test_processes_draw_different_dropout(processes):
    assert processes[0]["draws"] != processes[1]["draws"]


@pytest.mark.slow
def test_processes_tell_each_other(processes):
    assert [found["told"] for found in processes] == [(["process 0", "process 1"], True, False)] * 2


def test_a_single_process_tells_itself():
    assert (rank(), world_size()) == (0, 1)
    assert gathered("alone") == ["alone"]
    assert any_process(True) and not any_process(False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group("cpu"):
        torch.save(found_by_one_of_two(Path(sys.argv[1])), Path(sys.argv[1]) / f"{rank()}.pt")
