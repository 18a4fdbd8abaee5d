"""Frame of every workflow job: a log, readable errors, verified inputs and recorded outputs."""

import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unsmooth.atomic_files import atomic_path, explained_write_errors, remove_leftovers
from unsmooth.runtime.code import definitions
from unsmooth.runtime.heap import keep_freed_memory
from unsmooth.runtime.provenance import git_commit
from unsmooth.runtime.records import checked_digests, record_path, write_records

LOGS = Path("results/logs")
COSTS = Path("results/benchmarks")
STATUS = Path("/proc/self/status")


@contextmanager
def job(snakemake: Any, script: str, *targets: str) -> Iterator[None]:  # noqa: ANN401 - snakemake gives its scripts no public type
    """Run the block as one job of the workflow, with verified inputs and a log.

    After success every output gets a provenance record, resource usage is written, and the process ends. `targets` are
    "module:name" of dynamic imports of the script, such as an architecture.
    """
    began = time.monotonic()
    keep_freed_memory()
    with job_log(snakemake.log[0]):
        code, commit = definitions(Path(script), *targets), git_commit()  # files may be edited while the job runs
        inputs = checked_digests(snakemake.input)
        for path in snakemake.output:
            remove_leftovers(path)
            remove_leftovers(record_path(path))
        yield
        write_records(
            snakemake.output,
            rule=snakemake.rule,
            inputs=inputs,
            params=dict(snakemake.params.items()),
            code=code,
            git_commit=commit,
        )
        _write_usage(COSTS / Path(snakemake.log[0]).relative_to(LOGS).with_suffix(".tsv"), began)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    os._exit(0)  # at once: all is written, and Python takes half a second to take torch apart


def _write_usage(path: Path, began: float) -> None:
    """Write the resource usage of this process and its children, in the columns of Snakemake's benchmarks.

    Snakemake itself polls every process twice a second, which costs as much as a small job.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # On Linux own.ru_maxrss is at least the memory of the parent process.
    peak = re.search(r"VmHWM:\s+(\d+)", STATUS.read_text()) if STATUS.exists() else None
    columns = {
        "s": time.monotonic() - began,
        "cpu_time": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "max_rss": max(int(peak[1]) if peak else own.ru_maxrss, children.ru_maxrss) / 1024,  # of the largest, MB
    }
    with atomic_path(path) as temporary:
        temporary.write_text("\t".join(columns) + "\n" + "\t".join(f"{value:.3f}" for value in columns.values()) + "\n")


@contextmanager
def job_log(path: str | os.PathLike[str]) -> Iterator[None]:
    """Send standard output and error of the block, child processes included, to the file `path`.

    An error that this package raises on purpose (bad configuration, a damaged file, a non-finite loss, a full disk) is
    logged as its message alone; any other one with its traceback. Either way the process exits with status 1. If the
    log cannot be written, the message goes to the original standard error.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", buffering=1) as log, os.fdopen(os.dup(sys.stderr.fileno()), "w") as before:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
            stream.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]
        try:
            with explained_write_errors(path):
                yield
        except Exception as error:
            own = type(error).__module__.startswith("unsmooth.")
            text = f"error: {error}" if own else traceback.format_exc().rstrip()
            try:
                print(text, file=sys.stderr)
            except OSError:
                print(text, file=before)
            raise SystemExit(1) from None
