"""Fork server for the jobs of a run on one machine, with torch and other slow imports already loaded.

A new Python needs three seconds of processor time to train and half a second to write a table; a fork needs hundredths.
Only other packages are imported before the fork: each job imports this package again, so an edit counts from the next
job on. What is parsed for the fingerprints of code is kept, by the text of a module. Snakemake starts `job_client.py`
in front of each script (`command_prefix`); a job ends with its client.
"""

import ctypes
import gc
import importlib
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

from unsmooth.runtime import definitions
from unsmooth.runtime.code import decisive_files
from unsmooth.runtime.job_client import SEPARATOR

# What jobs import that takes long; torch.optim imports torch._dynamo when the first optimizer is made.
IMPORTED_BEFORE = (
    *("snakemake.logging", "snakemake.iocontainers", "snakemake.script", "pydantic.types", "pydantic.type_adapter"),
    *("pandas", "pyarrow.parquet", "scipy.special", "safetensors.numpy", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "seaborn", "tabulate"),
    *("torch", "safetensors.torch", "torch.utils.data", "torch._dynamo", "torch.distributed.launcher.api"),
)
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
LARGEST_REQUEST = 2**20
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def command_prefix(modules: Sequence[str] = IMPORTED_BEFORE) -> str:
    """Start a server that ends with this process, and return what the shell puts in front of the command of a job."""
    address = Path(tempfile.mkdtemp(prefix="unsmooth-"), "jobs")
    # The writing end stays open as long as this process lives; to the server its end is the end of standard input.
    reading, _ = os.pipe()
    subprocess.Popen([sys.executable, "-m", __name__, address, *modules], stdin=reading, env=os.environ | ONE_THREAD)
    os.close(reading)
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("job_client.py")), str(address)]
    return f"{shlex.join(command)} "


def serve(address: Path, modules: Sequence[str]) -> None:
    """Import what there is of the modules, then fork for each client until the end of standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the jobs
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # collecting takes a fifth of the time of these imports
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    definitions.parse_ahead(decisive_files())
    gc.freeze()  # else the first collection of each job copies all that it shares with this process
    gc.enable()
    jobs = dict[socket.socket, tuple[int, int]]()  # process and its descriptor, by client
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen(1024)
        while True:
            watched: list[Any] = [0, listener, *jobs, *(descriptor for _, descriptor in jobs.values())]
            ready, _, _ = select(watched, [], [])
            if 0 in ready:
                break
            # Before new clients, so that a killed job is dead when its next attempt begins.
            for client in [one for one, (_, descriptor) in jobs.items() if {one, descriptor} & {*ready}]:
                _attend(client, jobs)
            if listener in ready:
                _start(listener.accept()[0], jobs, listener)
    for process, _ in jobs.values():
        os.kill(process, signal.SIGKILL)
    address.unlink()
    address.parent.rmdir()
    os._exit(0)  # at once: Python takes half a second to take torch apart


def _start(client: socket.socket, jobs: dict[socket.socket, tuple[int, int]], listener: socket.socket) -> None:
    request, streams, _, _ = socket.recv_fds(client, LARGEST_REQUEST, 3)
    if not request:  # it was too long, and the client runs the command itself
        client.close()
        return
    if process := os.fork():
        jobs[client] = process, os.pidfd_open(process)
        for stream in streams:
            os.close(stream)
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for one in (listener, client, *jobs):
        one.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os._exit(_run(request))


def _run(request: bytes) -> int:
    """Run the script of a request as Python would, and return its exit status."""
    command, _, context = request.partition(SEPARATOR * 2)
    folder, *variables = context.split(SEPARATOR)
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(dict(variable.split(b"=", 1) for variable in variables))
    sys.argv = [os.fsdecode(part) for part in command.split(SEPARATOR)]
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [os.path.dirname(sys.argv[0]), *filter(None, searched)]
    tempfile.tempdir = None  # by the environment of the job
    own = [name for name in sys.modules if name.partition(".")[0] == __package__.partition(".")[0]]
    for name in own:
        if name != definitions.__name__:
            del sys.modules[name]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


def _attend(client: socket.socket, jobs: dict[socket.socket, tuple[int, int]]) -> None:
    """Report the end of a job to its client, kill the job of a lost client, or pass SIGTERM on."""
    process, descriptor = jobs[client]
    ended, _, _ = select([descriptor], [], [], 0)
    if not ended:
        if client.recv(16):
            os.kill(process, signal.SIGTERM)
            return
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    with suppress(OSError):
        client.send(str(code if code >= 0 else 128 - code).encode())
    os.close(descriptor)
    client.close()
    del jobs[client]


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
