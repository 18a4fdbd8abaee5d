"""The GPUs of this machine, each for one job at a time.

Snakemake counts GPUs but does not say which one a job may use, and by themselves all jobs take the first. A lease is a
name in the abstract namespace of Linux's sockets, which one process can hold at a time and which ends with it in
whatever way: nothing is left to remove, on no disk.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice

__all__ = ["leased_gpus", "visible_gpus"]

VARIABLE = "CUDA_VISIBLE_DEVICES"
# One for each Slurm job: it sees its own GPUs only, and many clusters number them from 0 in every job.
SCOPE = "-".join(["unsmooth-gpus", str(os.getuid()), *filter(None, [os.environ.get("SLURM_JOB_ID")])])
PAUSE_S = 0.5


def visible_gpus() -> list[str]:
    """Return the GPUs that this job may use, as `CUDA_VISIBLE_DEVICES` names them: all, or those a cluster gave it."""
    import torch

    named = os.environ.get(VARIABLE)
    found = [str(number) for number in range(torch.cuda.device_count())]
    return found if named is None else [name.strip() for name in named.split(",")][: len(found)]


@contextmanager
def leased_gpus(wanted: int, gpus: Sequence[str] | None = None, *, scope: str = SCOPE) -> Iterator[list[str]]:
    """Wait until GPUs are free, and let this process and its children use these only, for the block.

    Args:
        wanted: how many; all, where there are fewer.
        gpus: names of those to choose from; `visible_gpus` by default.
        scope: beginning of the names that are held; jobs that share GPUs share it.

    Yields:
        The names of the leased GPUs; none where the machine has none, or none are wanted.
    """
    gpus = visible_gpus() if gpus is None else gpus
    before = os.environ.get(VARIABLE)
    with ExitStack() as held:
        leased = _lease(min(wanted, len(gpus)), gpus, scope, held) if gpus else []
        if gpus:
            os.environ[VARIABLE] = ",".join(leased)
        try:
            yield leased
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before


def _lease(wanted: int, gpus: Sequence[str], scope: str, held: ExitStack) -> list[str]:
    """Hold `wanted` of the GPUs, all at once: two jobs that each held half would wait for ever."""
    while True:
        with ExitStack() as attempt, ExitStack() as choosing:
            if _holds(f"{scope}/choosing", choosing):
                leased = list(islice((name for name in gpus if _holds(f"{scope}/{name}", attempt)), wanted))
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
