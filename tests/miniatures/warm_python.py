"""A Python that has imported what takes long, and forks for scripts: minutes of processor time less."""

import atexit
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unsmooth.runtime import job_client, job_server

# What a run of Snakemake imports, and then what its jobs do.
IMPORTED = ["snakemake.cli", "snakemake.report.html_reporter", "smart_open", *job_server.IMPORTED_BEFORE]


@functools.cache
def warm_python() -> list[str]:
    """Start a job server that ends with this process; return what makes it run the command of a script that follows."""
    address = Path(tempfile.mkdtemp(prefix="unsmooth-"), "scripts")
    server = subprocess.Popen(
        [sys.executable, "-m", job_server.__name__, address, *IMPORTED],
        stdin=subprocess.PIPE,
        env=os.environ | job_server.ONE_THREAD,
    )
    atexit.register(server.communicate)
    while not address.exists():  # else the first script would start a Python of its own
        assert server.poll() is None
        time.sleep(0.05)
    return [sys.executable, "-I", "-S", job_client.__file__, str(address)]
