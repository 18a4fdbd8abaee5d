import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# Before numpy or torch start: small operations are slower on several threads, and results then depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As in most environments: without bytecode, each of a thousand jobs compiles the library.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import psutil
import pytest
from hypothesis import settings

# A third of the time of the workflow's tests is waiting for a disk to have written what is deleted at their end.
MEMORY, ROOM = Path("/dev/shm"), 8 << 30
if MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available - ROOM) > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

settings.register_profile("unsmooth", deadline=None, derandomize=True)
settings.load_profile("unsmooth")

# Processes take files in this order, and shall end together.
LONGEST_FIRST = ("tests/workflow/paper_experiments", "tests/workflow", "tests/faults")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the tests marked gpu, for example cuda")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(path) for path in LONGEST_FIRST])
    if config.getoption("--device") == "cpu":
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --device cuda"))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Undo what a test did to the threads of torch: several are slow in all tests after it."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
