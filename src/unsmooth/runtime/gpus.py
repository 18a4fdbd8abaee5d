"""Leases of GPUs: a GPU for one job at a time, or shares of it for several.

Snakemake counts GPUs but does not say which one a job may use. A lease is a name in the abstract namespace of Linux's
sockets, which one process can hold at a time and which ends with it: nothing is left to remove.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

VARIABLE = "CUDA_VISIBLE_DEVICES"
ALLOCATOR = "PYTORCH_ALLOC_CONF"
# One for each Slurm job: it sees its own GPUs only, and many clusters number them from 0 in every job.
SCOPE = "-".join(["unsmooth-gpus", str(os.getuid()), *filter(None, [os.environ.get("SLURM_JOB_ID")])])
PAUSE_S = 0.5
SHARED_MEMORY = 0.9  # part of a GPU's memory that jobs share; the rest is for their CUDA contexts


class GpuMemoryError(RuntimeError):
    """A share of a GPU's memory is not free, or too small for the job."""


def has_gpus() -> bool:
    """Return whether a driver of NVIDIA or AMD offers GPUs, without torch, which takes a second to start."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()


def visible_gpus() -> list[str]:
    """Return the GPUs that this job may use, as `CUDA_VISIBLE_DEVICES` names them: all, or those a cluster gave it."""
    import torch

    named = os.environ.get(VARIABLE)
    found = [str(number) for number in range(torch.cuda.device_count())]
    return found if named is None else [name.strip() for name in named.split(",")][: len(found)]


@contextmanager
def leased_gpus(
    wanted: int, gpus: Sequence[str] | None = None, *, jobs_per_gpu: int = 1, scope: str = SCOPE
) -> Iterator[list[str]]:
    """Wait until GPUs are free, and let this process and its children use these only, for the block.

    Args:
        wanted: how many; all, where there are fewer.
        gpus: names of those to choose from; `visible_gpus` by default.
        jobs_per_gpu: jobs that share a GPU, the same number in all jobs; each may allocate its part of the memory only.
            The GPU with the fewest jobs comes first.
        scope: beginning of the names that are held; jobs that share GPUs share it.

    Yields:
        The names of the leased GPUs; none where the machine has none, or none are wanted.

    Raises:
        GpuMemoryError: other programs use the job's part of a shared GPU's memory, or the job needs more than it.
    """
    gpus = visible_gpus() if gpus is None else gpus
    if not gpus:
        yield []
        return
    with ExitStack() as held:
        leased = _lease(min(wanted, len(gpus)), gpus, jobs_per_gpu, scope, held)
        held.enter_context(_environment(VARIABLE, ",".join(leased)))
        if jobs_per_gpu > 1:
            held.enter_context(_memory_share(leased, jobs_per_gpu))
        yield leased


@contextmanager
def leased_device(resources: Mapping[str, Any]) -> Iterator[str]:
    """Lease the GPUs of a job's `resources` for the block; yield its device, "cuda" or "cpu"."""
    with leased_gpus(resources.get("gpu", 1), jobs_per_gpu=resources.get("jobs_per_gpu", 1)) as gpus:
        yield "cuda" if gpus else "cpu"


@contextmanager
def _memory_share(leased: Sequence[str], jobs_per_gpu: int) -> Iterator[None]:
    """Limit what this process and those it starts allocate on each GPU to its share of the memory."""
    import torch

    share = SHARED_MEMORY / jobs_per_gpu
    for index, name in enumerate(leased):
        free, total = torch.cuda.mem_get_info(index)
        if free < share * total:
            raise GpuMemoryError(
                f"GPU {name} has {free / 2**30:.1f} GiB free, each of {jobs_per_gpu} jobs needs "
                f"{share * total / 2**30:.1f}: end other programs on it, or lower jobs_per_gpu"
            )
        torch.cuda.set_per_process_memory_fraction(share, index)
    settings = [*filter(None, [os.environ.get(ALLOCATOR)]), f"per_process_memory_fraction:{share:.4f}"]
    with _environment(ALLOCATOR, ",".join(settings)):
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise GpuMemoryError(
                f"the job needs more than its share of a GPU's memory, {share:.0%} with {jobs_per_gpu} jobs a GPU: "
                "lower jobs_per_gpu"
            ) from error


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = {name: os.environ[name]} if name in os.environ else {}
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update(before)


def _lease(wanted: int, gpus: Sequence[str], jobs_per_gpu: int, scope: str, held: ExitStack) -> list[str]:
    """Hold a share of each of `wanted` GPUs, all at once: two jobs that each held half would wait for ever."""
    while True:
        with ExitStack() as attempt, ExitStack() as choosing:
            if _holds(f"{scope}/choosing", choosing):
                leased: list[str] = []
                for share, name in product(range(jobs_per_gpu), gpus):
                    if len(leased) < wanted and name not in leased and _holds(f"{scope}/{name}/{share}", attempt):
                        leased.append(name)
                if len(leased) == wanted:
                    held.enter_context(attempt.pop_all())
                    return leased
        time.sleep(PAUSE_S)


def _holds(name: str, stack: ExitStack) -> bool:
    """Hold a name until `stack` is closed, unless somebody does."""
    holder = stack.enter_context(socket.socket(socket.AF_UNIX))
    try:
        holder.bind(f"\0{name}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True
