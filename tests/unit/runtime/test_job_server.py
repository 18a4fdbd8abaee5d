"""Scripts run in forks of a server as they would in a Python of their own."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from unsmooth.runtime import job_client, job_server

START = "from unsmooth.runtime.job_server import command_prefix\nprint(command_prefix(['json']), flush=True)\ninput()\n"
SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "evaluate.py"
ALONE = {"OMP_NUM_THREADS": "1"}  # as Snakemake tells a job with one thread


def test_paths_with_spaces_stay_whole_for_the_shell(monkeypatch, tmp_path):
    monkeypatch.setattr(job_server.subprocess, "Popen", lambda *args, **options: None)
    monkeypatch.setattr(job_server, "__file__", str(tmp_path / "my project" / "job_server.py"))

    assert shlex.split(job_server.command_prefix())[3] == str(tmp_path / "my project" / "job_client.py")


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server():
    """A process that has started a server, and the beginning of the commands of its clients."""
    with subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        prefix = process.stdout.readline().split()
        wait_until(Path(prefix[-1]).exists)
        yield process, prefix
        process.communicate("\n")


@pytest.fixture
def start(server, tmp_path):
    """Start a script; the file `process` holds the number of the process that runs it."""

    def started(text, **variables):
        script = tmp_path / "script.py"
        script.write_text(f"import os\nopen('process', 'w').write(str(os.getpid()))\n{text}")
        return subprocess.Popen(
            [*server[1], sys.executable, script],
            cwd=tmp_path,
            env=os.environ | ALONE | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def number_of(path):
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_script_has_its_own_folder_environment_streams_and_code(start, tmp_path):
    done = start(
        "import sys, unsmooth\n"
        "print(os.getcwd(), os.environ['OWN'], sys.argv, *sys.path[:3], 'json' in sys.modules, __name__)\n"
        "print('in error', file=sys.stderr)\n",
        OWN="1",
        PYTHONPATH=f"/first{os.pathsep}/second",
    )
    output, error = done.communicate()

    script = str(tmp_path / "script.py")
    path = [str(tmp_path), "/first", "/second"]
    assert output.split() == [str(tmp_path), "1", f"['{script}']", *path, "True", "__main__"]
    assert (error, done.returncode) == ("in error\n", 0)
    assert number_of(tmp_path / "process") != done.pid


def test_job_has_the_parsed_code_of_the_server_and_no_other_module_of_this_package(start):
    done = start(
        "import sys\n"
        "print([name for name in sys.modules if name.startswith('unsmooth')])\n"
        "from pathlib import Path\n"
        "from unsmooth.runtime import code, definitions\n"
        "before = definitions.parsed.cache_info().misses\n"
        f"code.definitions(Path({str(SCRIPT)!r}))\n"
        "print(before > 0, definitions.parsed.cache_info().misses - before)\n"
    )
    output, _ = done.communicate()

    assert output.splitlines() == ["['unsmooth.runtime.definitions']", "True 0"]


@pytest.mark.parametrize(
    ("text", "status", "error"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('why')", 1, "why\n"),
        ("os._exit(4)", 4, ""),
        ("raise ValueError('bad')", 1, "ValueError: bad"),
        ("os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_exit_status_is_that_of_the_script(start, text, status, error):
    done = start(text)
    _, printed = done.communicate()

    assert done.returncode == status
    assert error in printed


def test_job_of_a_killed_client_is_killed(start, tmp_path):
    client = start("import time\ntime.sleep(600)")
    job = number_of(tmp_path / "process")

    client.kill()
    client.communicate()

    wait_until(lambda: not psutil.pid_exists(job))


def test_sigterm_reaches_the_job_which_ends_as_it_likes(start, tmp_path):
    client = start(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(143)))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(600)"
    )
    wait_until((tmp_path / "ready").exists)

    client.send_signal(signal.SIGTERM)
    output, _ = client.communicate()

    assert (output, client.returncode) == ("saved\n", 143)


@pytest.mark.parametrize("variables", [{"OMP_NUM_THREADS": "2"}, {"LONG": "x" * 100_000, "LONGER": "x" * 120_000}])
def test_job_with_threads_or_a_large_environment_starts_its_own_python(start, tmp_path, variables):
    client = start("print('done')", **variables)
    output, _ = client.communicate()

    assert (output, client.returncode) == ("done\n", 0)
    assert number_of(tmp_path / "process") == client.pid


def test_client_without_a_server_becomes_the_command(tmp_path):
    client = [sys.executable, "-I", "-S", job_client.__file__, tmp_path / "none"]
    done = subprocess.run(
        [*client, sys.executable, "-c", "print('done')"], env=os.environ | ALONE, capture_output=True, text=True
    )

    assert (done.stdout, done.returncode) == ("done\n", 0)


def test_server_and_jobs_end_with_the_process_that_started_it(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        prefix = process.stdout.readline().split()
        wait_until(Path(prefix[-1]).exists)
        (tmp_path / "script.py").write_text("import time\nopen('ready', 'w').close()\ntime.sleep(600)")
        client = subprocess.Popen(
            [*prefix, sys.executable, tmp_path / "script.py"], cwd=tmp_path, env=os.environ | ALONE
        )
        wait_until((tmp_path / "ready").exists)
        process.kill()

    assert client.wait(60) == 137 or client.returncode == 1
    wait_until(lambda: not Path(prefix[-1]).parent.exists())
