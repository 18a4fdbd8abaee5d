"""What every workflow job does around its work: a log of its own, and errors that a user can read."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["job_log"]


@contextmanager
def job_log(path: str | os.PathLike[str]) -> Iterator[None]:
    """Send standard output and error of the block, child processes included, to the file `path`.

    An error that this package raises on purpose (bad configuration, a damaged file, a non-finite loss) is logged as
    its message alone; any other one with its traceback. Either way the process exits with status 1.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", buffering=1) as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        try:
            yield
        except Exception as error:
            if type(error).__module__.startswith("unsmooth."):
                print(f"error: {error}", file=sys.stderr)
            else:
                traceback.print_exc()
            raise SystemExit(1) from None
