"""Memory that a process frees and asks for again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from unsmooth.runtime.heap import keep_freed_memory
keep_freed_memory()
import numpy as np
step = lambda: [np.ones(1 << 20) for _ in range(6)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_freed_memory_is_used_again_without_page_faults():
    faults = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout

    assert int(faults) < 2048  # of 20 steps with 6 arrays of 2,048 pages
