import logging

import pytest
from snakemake.logging import LogEvent

from unsmooth.runtime.job_lines import shorten_terminal_output

INFO = [
    {"jobid": number, "log": log, "rule_name": f"rule_{number}"}
    for number, log in enumerate([["results/logs/train/a/seed-0.5.log"], []])
]


@pytest.fixture
def terminal():
    """Return the lines that the terminal shows of records, each an event with its message and fields."""

    def shown(records, *, dry_run):
        lines = []
        logger, handler = logging.Logger("test"), logging.Handler()
        handler.emit = lambda record: lines.append(handler.format(record))
        handler.name = "DefaultStreamHandler"
        handler.setFormatter(logging.Formatter())
        logger.addHandler(handler)
        shorten_terminal_output(logger, dry_run=dry_run)
        for event, message, fields in records:
            logger.info(message, extra={"event": event, **fields})
        return lines

    return shown


def test_run_gives_one_line_to_each_finished_job(terminal):
    lines = terminal(
        [
            (None, "Select jobs to execute...", {}),
            *((LogEvent.JOB_INFO, "", fields) for fields in INFO),
            (LogEvent.JOB_FINISHED, "Finished jobid: 1", {"job_id": 1}),
            (LogEvent.PROGRESS, None, {"done": 1, "total": 3}),
            (LogEvent.JOB_ERROR, "Error in rule x", {}),
            (LogEvent.JOB_FINISHED, "Finished jobid: 0", {"job_id": 0}),
            (LogEvent.PROGRESS, None, {"done": 2, "total": 3}),
        ],
        dry_run=False,
    )

    assert lines == ["[1/3] rule_1 (0 s)", "Error in rule x", "[2/3] train a/seed-0.5 (0 s)"]


def test_dry_run_lists_jobs_and_counts_them_once(terminal):
    stats = (LogEvent.RUN_INFO, "Job stats: 2", {})
    lines = terminal([stats, *((LogEvent.JOB_INFO, "", fields) for fields in INFO), stats], dry_run=True)

    assert lines == ["Job stats: 2", "Job 0: train a/seed-0.5", "Job 1: rule_1"]
