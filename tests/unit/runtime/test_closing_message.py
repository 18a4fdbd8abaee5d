import os
import subprocess
import sys

import pandas as pd
import pytest

from unsmooth.runtime.closing_message import closing_message, costs_by_rule
from unsmooth.tables.labels import KINDS, Losses


@pytest.fixture
def benchmarks(tmp_path):
    for rule, cell, seconds, processor, memory in [
        ("train", "a", 10.0, 9.0, 300.0),
        ("train", "b", 20.0, 30.0, 100.0),
        ("score", "a", 1.0, 1.0, "-"),
    ]:
        path = tmp_path / "benchmarks" / rule / "exp" / f"{cell}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tcpu_time\tmax_rss\n{seconds}\t{processor}\t{memory}\n")
    return tmp_path


def test_costs_are_summed_times_and_largest_memory_by_rule(benchmarks):
    costs = costs_by_rule(benchmarks / "benchmarks")

    assert costs.iloc[:, :4].to_numpy().tolist() == [["train", 2, 30.0, 39.0], ["score", 1, 1.0, 1.0]]
    assert costs["memory"][0] == 300.0 and pd.isna(costs["memory"][1])


def test_rule_of_one_job_has_its_costs_in_a_file_of_its_name(tmp_path):
    (tmp_path / "merge_summaries.tsv").write_text("s\tcpu_time\tmax_rss\n2\t1\t100\n")

    assert costs_by_rule(tmp_path)["rule"].tolist() == ["merge_summaries"]


def test_closing_message_names_costs_and_only_files_that_exist(benchmarks):
    page, findings = benchmarks / "report" / "index.html", benchmarks / "tables" / "finished" / "findings.md"
    for file in (page, findings):
        file.parent.mkdir(parents=True)
    page.touch()
    findings.write_text("# Digits, MLP\n\nSmoothing harms.\n\n- A detail.\n\n# Digits, CNN\n\nIt helps.\n")

    message = closing_message(benchmarks, {"unfinished": KINDS, "finished": KINDS})

    assert "Smoothing harms.\n\nIt helps." in message and "A detail" not in message
    assert "Cost by rule, processor time and jobs, of all results here: train 39 s (2), score 1 s (1)" in message
    assert message.endswith(f"To open:\n  {page}")


def test_closing_message_calls_losses_as_their_experiment_does(tmp_path):
    table = {
        "experiment": "e",
        "architecture": "mlp",
        "loss": "sharp",
        "alpha": -0.02,
        "score": "msp",
        "metric": "error",
    }
    (tmp_path / "tables/e").mkdir(parents=True)
    statistics = {"mean": 0.1, "std": 0.0, "low": 0.0, "high": 0.2, "seeds": 2}
    pd.DataFrame([table | statistics]).to_csv(tmp_path / "tables/e/summary.csv", index=False)

    losses = Losses.of([{"key": "sharp", "kind": "ls", "label": "NLS"}])
    assert "NLS -0.02" in closing_message(tmp_path, {"e": losses})


PROGRAM = """
import sys
from unsmooth.runtime.jobs import job_log
from unsmooth.atomic_files import sha256_of
from unsmooth.config.errors import ConfigError
print("before")
with job_log(sys.argv[1]):
    print("inside")
    import subprocess
    subprocess.run(["echo", "child"])
    if sys.argv[2] != "none":
        raise {"own": ConfigError, "foreign": KeyError}[sys.argv[2]]("the message")
"""


@pytest.mark.parametrize(
    ("kind", "status", "last"),
    [("none", 0, "child"), ("own", 1, "error: the message"), ("foreign", 1, "KeyError: 'the message'")],
)
def test_job_log_catches_output_children_and_errors(tmp_path, kind, status, last):
    log = tmp_path / "logs" / "job.log"
    done = subprocess.run([sys.executable, "-c", PROGRAM, log, kind], capture_output=True, text=True, check=False)

    lines = log.read_text().splitlines()
    assert done.returncode == status and done.stdout == "before\n" and done.stderr == ""
    assert lines[0] == "inside" and "child" in lines and lines[-1] == last
    assert ("Traceback (most recent call last):" in lines) == (kind == "foreign")


def test_job_log_is_utf8_in_any_locale(tmp_path):
    program = "import sys\nfrom unsmooth.runtime.jobs import job_log\nwith job_log(sys.argv[1]):\n    print('\u2192')"
    variables = os.environ | {"PYTHONIOENCODING": "latin-1"}
    subprocess.run([sys.executable, "-c", program, tmp_path / "job.log"], env=variables, check=True)

    assert (tmp_path / "job.log").read_text(encoding="utf-8") == "\u2192\n"
