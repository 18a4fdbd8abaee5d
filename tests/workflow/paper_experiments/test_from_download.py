"""Experiments whose data all come from the net."""

import pytest
from workflow.paper_experiments.conftest import SMALL, check_results

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.mark.parametrize(
    "name", [name for name in SMALL if not name.startswith(("cityscapes", "cub", "imagenet", "voc", "zoo"))]
)
def test_experiment_runs_from_download_to_figures(shipped, name):
    workspace = shipped(name)

    workspace.run()

    check_results(workspace, name)
