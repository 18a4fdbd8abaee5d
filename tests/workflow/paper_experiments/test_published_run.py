"""A run of the published experiments whose data lie in a folder, and the page of its results."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
NAME = "bank_marketing_mlp"
SHOWN = ["scorecard", "figure_risk_coverage_msp"]  # on the page, with all that they are made from


def published(workspace, *arguments):
    variables = os.environ | {"PYTHONPATH": str(workspace.folder / "src")}
    command = [sys.executable, "-m", "unsmooth.published", *arguments]
    return subprocess.run(command, cwd=workspace.folder, env=variables, capture_output=True, text=True, check=True)


def follow_plan(workspace):
    """Let the workspace run what the plan says, on archives of other digests than the published ones."""
    plan = yaml.safe_load((workspace.folder / "results" / "published" / "config.yaml").read_text())
    settings = yaml.safe_load((workspace.folder / "tiny.yaml").read_text())
    settings["downloads"] |= plan.pop("downloads")
    (workspace.folder / "tiny.yaml").write_text(yaml.safe_dump(settings | plan))


def test_data_in_a_folder_become_a_page_and_so_do_finished_cells(shipped, archives, server, tmp_path):
    data = tmp_path / "data"
    (data / "bank_marketing").mkdir(parents=True)
    shutil.copy(archives["bank+marketing.zip"], data / "bank_marketing")
    workspace = shipped(NAME)
    page = workspace.folder / "docs" / "results" / "index.md"

    published(workspace, "plan", str(data), "--as-released", NAME)
    follow_plan(workspace)
    workspace.run(*SHOWN)
    published(workspace, "write")

    assert "| bank_marketing_mlp_as_released |" in page.read_text() and "Not run as" not in page.read_text()
    assert server.requests == []

    cells = workspace.folder / "results" / "cells" / NAME / "mlp"
    shutil.rmtree(cells / "ls_alpha-0.2")
    published(workspace, "plan", str(data), "--finished")
    follow_plan(workspace)
    assert not {job for job in workspace.planned(*SHOWN) if job.startswith("train ")}
    workspace.run(*SHOWN)
    published(workspace, "write")

    assert "Not run as shipped: LS 0.2." in page.read_text()
