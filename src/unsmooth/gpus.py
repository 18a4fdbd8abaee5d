"""The GPUs of this machine, each for one job at a time.

Snakemake counts GPUs but does not say which one a job may use, and by themselves all jobs take the first. A lease is a
lock on a file, which the operating system gives back when a job ends in whatever way.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["leased_gpus", "visible_gpus"]

VARIABLE = "CUDA_VISIBLE_DEVICES"
# One for each Slurm job: it sees its own GPUs only, and many clusters number them from 0 in every job.
FOLDER = Path(tempfile.gettempdir()) / "-".join(
    ["unsmooth-gpus", str(os.getuid()), *filter(None, [os.environ.get("SLURM_JOB_ID")])]
)
PAUSE_S = 0.5


def visible_gpus() -> list[str]:
    """Return the GPUs that this job may use, as `CUDA_VISIBLE_DEVICES` names them: all, or those a cluster gave it."""
    import torch

    named = os.environ.get(VARIABLE)
    found = [str(number) for number in range(torch.cuda.device_count())]
    return found if named is None else [name.strip() for name in named.split(",")][: len(found)]


@contextmanager
def leased_gpus(wanted: int, gpus: Sequence[str] | None = None, *, folder: Path = FOLDER) -> Iterator[list[str]]:
    """Wait until GPUs are free, and let this process and its children use these only, for the block.

    Args:
        wanted: how many; all, where there are fewer.
        gpus: names of those to choose from; `visible_gpus` by default.
        folder: where the locks lie; jobs that share GPUs share it.

    Yields:
        The names of the leased GPUs; none where the machine has none, or none are wanted.
    """
    gpus = visible_gpus() if gpus is None else gpus
    before = os.environ.get(VARIABLE)
    with ExitStack() as held:
        leased = _lease(min(wanted, len(gpus)), gpus, folder, held)
        if gpus:
            os.environ[VARIABLE] = ",".join(leased)
        try:
            yield leased
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before


def _lease(wanted: int, gpus: Sequence[str], folder: Path, held: ExitStack) -> list[str]:
    """Lock `wanted` of the GPUs, all at once: two jobs that each held half would wait for ever."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with ExitStack() as attempt, (folder / "choosing.lock").open("w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            leased: list[str] = []
            for name in gpus:
                if len(leased) < wanted and _locked(folder / f"{name.replace('/', '-')}.lock", attempt):
                    leased.append(name)
            if len(leased) == wanted:
                held.enter_context(attempt.pop_all())
                return leased
        time.sleep(PAUSE_S)


def _locked(path: Path, stack: ExitStack) -> bool:
    file = stack.enter_context(path.open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
