"""Jobs and the workflow itself are killed at random moments; the results are those of a run without any fault."""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from faults.conftest import TARGETS, contents

from unsmooth.verification import verify

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.slow]

END_S = 300  # within which what was interrupted must end


def jobs_of(process):
    """Return the running scripts of a workflow, by rule."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            scripts = [part for part in child.cmdline() if "/.snakemake/scripts/" in part and child.name() != "bash"]
        except psutil.Error:  # it has ended meanwhile
            continue
        found |= {Path(script).name.split(".")[1]: child for script in scripts if not script.startswith("set ")}
    return found


def first_job(process, rules):
    """Wait for a job of one of the rules; return its rule and process, or None once the workflow has ended."""
    while process.poll() is None:
        try:
            running = jobs_of(process)
        except psutil.NoSuchProcess:
            break
        for rule in rules & set(running):
            return rule, running[rule]
        time.sleep(0.02)
    return None


def check_finished(workspace, clean):
    workspace.run(*TARGETS)

    assert contents(workspace) == contents(clean)
    assert verify(workspace.folder / "results").findings == []


def test_killed_jobs_are_made_again(fresh, clean, fault_seed):
    generator = random.Random(fault_seed)
    left = {"build_dataset", "train", "dump_logits", "score", "evaluate", "collect", "write_main", "draw_risk_coverage"}
    killed = []
    while left:
        process = fresh.start(*TARGETS)
        while (found := first_job(process, left)) is not None:
            rule, job = found
            time.sleep(generator.uniform(0, 2))
            left.remove(rule)
            if job.is_running():
                job.kill()
                killed.append(rule)
        output, _ = process.communicate(timeout=END_S)
        if process.returncode == 0:
            break

    print("killed:", *killed)
    assert len(killed) >= 4, output
    check_finished(fresh, clean)


def test_workflow_is_taken_up_after_sigkill_once_it_is_unlocked(fresh, clean, fault_seed):
    generator = random.Random(fault_seed)
    for rule in ("train", "evaluate"):
        with fresh.start(*TARGETS) as process:
            assert first_job(process, {rule}) is not None
            time.sleep(generator.uniform(0, 2))
            process.kill()  # its jobs live on

        refused = fresh.snakemake(*TARGETS)
        assert refused.returncode != 0 and "--unlock" in refused.stdout
        assert fresh.snakemake("--unlock").returncode == 0

    check_finished(fresh, clean)


def test_workflow_is_taken_up_after_ctrl_c(fresh, clean, fault_seed):
    # A shell starts what runs in the background deaf to Ctrl-C, and so would be all that starts from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    generator, interrupted = random.Random(fault_seed), 0
    for rule in ("train", "score", "draw_risk_coverage"):
        process = fresh.start(*TARGETS)
        assert first_job(process, {rule}) is not None
        time.sleep(generator.uniform(0, 2))
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=END_S)
        interrupted += process.returncode != 0

    assert interrupted >= 2
    check_finished(fresh, clean)
