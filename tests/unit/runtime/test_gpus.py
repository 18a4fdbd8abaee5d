"""Leases of GPUs, which are names here: that locks exclude each other needs none."""

import os
import subprocess
import sys
import threading
from itertools import pairwise
from uuid import uuid4

import pytest

from unsmooth.runtime.gpus import leased_gpus, visible_gpus


@pytest.fixture
def scope():
    """Of one test alone, also where other runs test on this machine."""
    return uuid4().hex


def test_jobs_at_the_same_time_get_different_gpus(scope):
    with (
        leased_gpus(1, ["0", "1", "2"], scope=scope) as first,
        leased_gpus(2, ["0", "1", "2"], scope=scope) as second,
    ):
        assert first == ["0"] and second == ["1", "2"]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"


def test_a_job_waits_until_enough_are_free(scope):
    got = []

    def work():
        with leased_gpus(2, ["0", "1"], scope=scope) as gpus:
            got.append(gpus)

    with leased_gpus(1, ["0", "1"], scope=scope):
        waiting = threading.Thread(target=work)
        waiting.start()
        waiting.join(timeout=0.8)
        assert waiting.is_alive() and not got
    waiting.join(timeout=30)

    assert got == [["0", "1"]]


def test_a_killed_job_gives_its_gpus_back(scope):
    code = (
        "import time; from unsmooth.runtime.gpus import leased_gpus\n"
        f"with leased_gpus(1, ['0'], scope={scope!r}): print('leased', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "leased\n"
        job.kill()

    with leased_gpus(1, ["0"], scope=scope) as gpus:
        assert gpus == ["0"]


def test_jobs_of_slurm_do_not_wait_for_each_other_because_each_calls_its_own_gpu_0(tmp_path, scope):
    code = (
        "from unsmooth.runtime.gpus import leased_gpus\n"
        "with leased_gpus(1, ['0']): print('leased', flush=True); input()"
    )
    first, second = (
        os.environ | {"TMPDIR": str(tmp_path), "SLURM_JOB_ID": f"{scope}-{number}"} for number in ("1", "2")
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=first
    ) as job:
        assert job.stdout.readline() == "leased\n"
        done = subprocess.run(
            [sys.executable, "-c", code], input="\n", stdout=subprocess.PIPE, text=True, env=second, timeout=60
        )
        job.kill()

    assert done.stdout == "leased\n"
    assert list(tmp_path.iterdir()) == []  # of the one that ended, and of the one that was killed


def test_many_jobs_of_two_gpus_each_take_turns(scope):
    code = (
        "import time; from unsmooth.runtime.gpus import leased_gpus\n"
        f"with leased_gpus(2, ['0', '1', '2'], scope={scope!r}) as gpus:\n"
        "    began = time.monotonic(); time.sleep(0.05); print(began, time.monotonic())"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    spans = sorted(tuple(map(float, job.communicate(timeout=120)[0].split())) for job in jobs)

    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


@pytest.mark.parametrize(("wanted", "gpus", "leased"), [(4, ["0", "1"], ["0", "1"]), (1, [], []), (0, ["0"], [])])
def test_no_more_than_there_are_and_than_are_wanted(scope, wanted, gpus, leased):
    with leased_gpus(wanted, gpus, scope=scope) as found:
        assert found == leased


def test_the_environment_is_as_before_afterwards(scope, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a")
    with leased_gpus(1, ["GPU-8a"], scope=scope):
        pass
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8a"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with leased_gpus(1, ["0"], scope=scope):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_machine_without_gpus_has_none_to_lease(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert visible_gpus() == []
