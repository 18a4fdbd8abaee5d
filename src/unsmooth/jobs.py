"""What every workflow job does around its work: a log, errors that a user can read, and a record of what it made."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unsmooth.records import digests, record_path, write_record

__all__ = ["job", "job_log"]


@contextmanager
def job(snakemake: Any, script: str) -> Iterator[None]:  # noqa: ANN401 - snakemake gives its scripts no public type
    """Run the block as one job of the workflow: with its log, and once it has succeeded with the record of its outputs.

    Args:
        snakemake: the object that snakemake puts into a script.
        script: the script's own file.
    """
    log = snakemake.log[0]
    with job_log(log):
        inputs = digests(snakemake.input)
        yield
        write_record(
            record_path(Path(log)),
            rule=snakemake.rule,
            wildcards=dict(snakemake.wildcards.items()),
            outputs=snakemake.output,
            inputs=inputs,
            params=dict(snakemake.params.items()),
            script=Path(script),
        )


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
