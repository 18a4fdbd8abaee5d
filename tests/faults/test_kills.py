"""Jobs and the workflow itself are killed at random moments; the results are those of a run without any fault."""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from faults.conftest import TARGETS, contents

from unsmooth.runtime.verification import verify

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.slow]

END_S = 300  # within which what was interrupted must end
LOOK_S = 0.1  # between two looks at what runs
STAGES = {"build_dataset", "train", "dump_logits", "score", "evaluate", "collect", "write_main", "draw_figure"}


def jobs_of(process):
    """Return the running scripts of a workflow, by name; those of a rule that runs twice count once."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            scripts = [part for part in child.cmdline() if "/.snakemake/scripts/" in part and child.name() != "bash"]
        except psutil.Error:  # it has ended meanwhile
            continue
        found |= {Path(script).name.split(".")[1]: child for script in scripts if not script.startswith("set ")}
    return found


def looks(process):
    """Yield the running jobs again and again until the workflow ends."""
    while process.poll() is None:
        try:
            yield jobs_of(process)
        except psutil.NoSuchProcess:
            return
        time.sleep(LOOK_S)


def wait_for(process, script):
    assert any(script in running for running in looks(process)), f"{script} did not run"


def check_results(workspace, clean):
    assert contents(workspace) == contents(clean)
    assert verify(workspace.folder / "results").findings == []


def test_killed_jobs_are_made_again(fresh, clean, fault_seed):
    generator, due, killed = random.Random(fault_seed), {}, set()
    process = fresh.start(*TARGETS, "--retries", "2", "--quiet", "rules")  # nobody reads before its end
    for running in looks(process):
        for script, job in running.items():
            # Within the time that jobs take: trainings seconds, most others fractions of one.
            moment = due.setdefault(job.pid, time.monotonic() + generator.uniform(0, 4 if script == "train" else 0.3))
            if script not in killed and time.monotonic() >= moment:
                job.kill()
                killed.add(script)
    output, _ = process.communicate(timeout=END_S)

    print("killed:", *sorted(killed))
    assert process.returncode == 0, output
    assert len(killed & STAGES) >= 5 and "train" in killed
    check_results(fresh, clean)


def interrupt(process):
    os.killpg(process.pid, signal.SIGINT)


def kill(process):
    process.kill()  # its jobs live on


def session_of(process):
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):  # it has ended meanwhile
        return None


def wait_for_orphans(sessions):
    """Wait until the jobs of killed runs, each in a session of its own, have ended, too."""
    end = time.monotonic() + END_S
    while sessions & {session_of(one) for one in psutil.process_iter()}:
        assert time.monotonic() < end
        time.sleep(LOOK_S)


def test_workflow_is_taken_up_after_ctrl_c_and_sigkill(fresh, clean, fault_seed):
    # A shell starts what runs in the background deaf to Ctrl-C, and so would be all that starts from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    generator, stopped, sessions = random.Random(fault_seed), [], set()
    for script, stop in (("train", interrupt), ("train", kill), ("evaluate", interrupt), ("write_main", kill)):
        with fresh.start(*TARGETS) as process:
            wait_for(process, script)
            time.sleep(generator.uniform(0, 2))
            stop(process)
            sessions.add(process.pid)
            if stop is interrupt:
                process.communicate(timeout=END_S)
        if process.returncode != 0:
            stopped.append(stop)
        if process.returncode < 0:
            if stopped.count(kill) == 1:
                refused = fresh.snakemake(*TARGETS)
                assert refused.returncode != 0 and "--unlock" in refused.stdout
            assert fresh.snakemake("--unlock").returncode == 0

    assert {interrupt, kill} <= set(stopped)
    fresh.run(*TARGETS)
    wait_for_orphans(sessions)
    check_results(fresh, clean)
