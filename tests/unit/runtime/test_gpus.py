"""Leases of GPUs, which are names here: that locks exclude each other needs none."""

import os
import subprocess
import sys
import threading
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from uuid import uuid4

import pytest
import torch

from unsmooth.runtime.gpus import GpuMemoryError, leased_device, leased_gpus, visible_gpus


@pytest.fixture
def scope():
    """Of one test alone, also where other runs test on this machine."""
    return uuid4().hex


@pytest.fixture
def memory(monkeypatch):
    """GPUs of 80 GiB, all free."""
    gpus = SimpleNamespace(free=80 * 2**30, fractions={})
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: (gpus.free, 80 * 2**30))
    monkeypatch.setattr(
        "torch.cuda.set_per_process_memory_fraction",
        lambda fraction, index: gpus.fractions.update({index: fraction}),
    )
    return gpus


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


@pytest.mark.slow
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


def test_jobs_share_gpus_and_the_one_with_the_fewest_comes_first(scope, memory):
    lease = partial(leased_gpus, 1, ["0", "1"], jobs_per_gpu=2, scope=scope)
    with lease() as first, lease() as second, lease() as third, lease() as fourth:
        assert [*first, *second, *third, *fourth] == ["0", "1", "0", "1"]


def test_no_more_jobs_share_a_gpu_than_there_are_shares(scope, memory):
    got = []

    def work():
        with leased_gpus(1, ["0"], jobs_per_gpu=2, scope=scope) as gpus:
            got.append(gpus)

    lease = partial(leased_gpus, 1, ["0"], jobs_per_gpu=2, scope=scope)
    with lease(), lease():
        waiting = threading.Thread(target=work)
        waiting.start()
        waiting.join(timeout=0.8)
        assert waiting.is_alive() and not got
    waiting.join(timeout=30)

    assert got == [["0"]]


def test_a_job_of_two_gpus_takes_shares_of_different_ones(scope, memory):
    with leased_gpus(2, ["0", "1"], jobs_per_gpu=4, scope=scope) as gpus:
        assert gpus == ["0", "1"]


def test_a_job_may_allocate_its_share_of_the_memory_alone(scope, memory, monkeypatch):
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    with leased_gpus(1, ["0"], jobs_per_gpu=3, scope=scope):
        assert memory.fractions == {0: pytest.approx(0.3)}
        # Processes that the job starts, for several devices, read it when they start.
        assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True,per_process_memory_fraction:0.3000"
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


def test_a_whole_gpu_is_not_limited(scope, memory, monkeypatch):
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    with leased_gpus(1, ["0"], scope=scope):
        assert memory.fractions == {} and "PYTORCH_ALLOC_CONF" not in os.environ


def test_memory_that_other_programs_use_is_said_before_work_starts(scope, memory):
    memory.free = 10 * 2**30
    with (
        pytest.raises(GpuMemoryError, match=r"GPU 0 has 10\.0 GiB free, each of 2 jobs needs 36\.0: end other"),
        leased_gpus(1, ["0"], jobs_per_gpu=2, scope=scope),
    ):
        pytest.fail("work started")
    memory.free = 80 * 2**30
    with leased_gpus(1, ["0"], jobs_per_gpu=1, scope=scope) as gpus:
        assert gpus == ["0"]  # given back


def test_a_job_that_needs_more_than_its_share_fails_with_what_to_do(scope, memory):
    with (
        pytest.raises(GpuMemoryError, match="more than its share of a GPU's memory, 22% with 4 jobs a GPU: lower"),
        leased_gpus(1, ["0"], jobs_per_gpu=4, scope=scope),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("gpus", "device"), [([], "cpu"), (["0"], "cuda")])
def test_device_of_a_job_is_cuda_if_it_leases_a_gpu(monkeypatch, gpus, device):
    monkeypatch.setattr("unsmooth.runtime.gpus.visible_gpus", lambda: gpus)

    with leased_device({"gpu": 1}) as leased:
        assert leased == device
