"""Terminal output of a run: one line per finished job, with progress."""

import logging
import time
from typing import Any

from snakemake.logging import LogEvent, get_event

SILENT = {LogEvent.JOB_FINISHED, LogEvent.JOB_STARTED, LogEvent.RESOURCES_INFO}
# Messages that Snakemake logs without an event.
NOISE = (
    "Select jobs to execute",
    "Using shell",
    "Conda environments: ignored",
    "Assuming unrestricted shared filesystem",
    "Reasons:",
    "Rules with provenance",
    "Some jobs were triggered by provenance",
)


class JobLines(logging.Formatter):
    """Formatter of Snakemake's jobs and progress, and filter that drops all but errors and messages beside them.

    A dry run lists the jobs, a run those that have finished: "[12/78] train glyphs/resnet8/ls_alpha-0.2/seed-1 (31 s)".
    """

    def __init__(self, other: logging.Formatter, *, dry_run: bool) -> None:
        super().__init__()
        self.other, self.dry_run = other, dry_run
        self.begun: dict[int, tuple[str, float]] = {}
        self.finished: list[int] = []
        self.told_plan = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Track starting and finished jobs; return whether the record is shown."""
        event = get_event(record)
        if event == LogEvent.JOB_INFO:
            self.begun[record.jobid] = (_name(record), time.monotonic())  # type: ignore[attr-defined]
            return self.dry_run
        if event == LogEvent.JOB_FINISHED:
            self.finished.append(record.job_id)  # type: ignore[attr-defined]
        if event == LogEvent.RUN_INFO:  # a dry run gives the table of jobs twice
            first, self.told_plan = not self.told_plan, True
            return first
        return event not in SILENT and not str(record.msg).startswith(NOISE)

    def format(self, record: logging.LogRecord) -> str:
        event = get_event(record)
        if event == LogEvent.JOB_INFO:
            return f"Job {record.jobid}: {self.begun[record.jobid][0]}"  # type: ignore[attr-defined]
        if event == LogEvent.PROGRESS:
            place = f"[{record.done}/{record.total}]"  # type: ignore[attr-defined]
            ended, self.finished = self.finished, []
            jobs = [self.begun.pop(number) for number in ended]
            return "\n".join(f"{place} {name} ({time.monotonic() - began:.0f} s)" for name, began in jobs)
        return self.other.format(record)


def _name(record: Any) -> str:  # noqa: ANN401 - Snakemake adds the fields of an event
    """Return rule and place of a job, which are the folder and the rest of the path of its log."""
    log = record.log[0] if record.log else record.rule_name
    return log.removeprefix("results/logs/").removesuffix(".log").replace("/", " ", 1)


def shorten_terminal_output(logger: logging.Logger, *, dry_run: bool) -> None:
    """Let Snakemake's handler for the terminal write `JobLines`; its log file keeps everything."""
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and handler.formatter is not None:
            lines = JobLines(handler.formatter, dry_run=dry_run)
            handler.setFormatter(lines)
            handler.addFilter(lines)
