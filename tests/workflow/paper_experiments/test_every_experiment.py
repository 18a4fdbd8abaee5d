"""Every trained experiment of the paper, in one run, from downloads or a folder of archives to tables and figures.

All of them run to the risk-coverage curves and the scorecard; one of images, text and scenes each to everything.
"""

import json

import pandas as pd
import pytest
import torch
from miniatures.workspace import make_workspace
from torchvision.models import resnet50, resnet101
from workflow.paper_experiments.conftest import SMALL, small_workspace, upstream_server

from unsmooth.config.loading import load_experiment

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

NAMES = [name for name in SMALL if name != "zoo"]
WHOLE = ["cifar10_resnet20", "imdb_lstm", "cityscapes_deeplabv3plus"]
SCENES = ["cityscapes_deeplabv3plus", "voc_deeplabv3"]
PRETRAINED = ["cub_resnet101", "voc_deeplabv3"]
TIMEOUT_S = 3600


@pytest.fixture(scope="module")
def run(archives, tmp_path_factory):
    """A workspace in which every experiment has run as far as it can; `log` is what the run printed."""
    folders = {name: str(next(iter(archives.values())).parent) for name in ("imagenet", "cityscapes")}
    for model in (resnet50, resnet101):
        source = f"{model.__name__}_imagenet1k_v1"
        folders[source] = str(tmp_path_factory.mktemp(source))
        torch.save(model().state_dict(), f"{folders[source]}/weights.pth")
    with upstream_server(archives) as server:
        empty = make_workspace(tmp_path_factory.mktemp("every_experiment"))
        workspace = small_workspace(empty, archives, server, NAMES, folders=folders)
        targets = [file for name in NAMES for file in files_of(workspace, name)]
        workspace.log = workspace.snakemake(*WHOLE, *targets, timeout=TIMEOUT_S).stdout
    return workspace


def settings_of(workspace, name):
    return load_experiment(workspace.folder / "experiments" / f"{name}.yaml")


def files_of(workspace, name):
    """The last files that every experiment comes to; one with image files also shows them on its page."""
    figures = ["risk_coverage_msp", *(["ranking_maps"] if name in SCENES else [])]
    return [
        "results/tables/scorecard.csv",
        f"results/tables/{name}/summary.csv",
        *(
            f"results/figures/{name}/{architecture}/{figure}.{suffix}"
            for architecture in settings_of(workspace, name).architecture_names
            for figure in figures
            for suffix in ("pdf", "csv")
        ),
        *(["results/report/imagenet_resnet50.json"] if name == "imagenet_resnet50" else []),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_experiment_runs_from_archives_to_figures(run, name):
    experiment, tables = settings_of(run, name), run.folder / "results" / "tables"
    assert [file for file in files_of(run, name) if not (run.folder / file).is_file()] == [], run.log

    summary = pd.read_csv(tables / name / "summary.csv")
    test = summary[(summary["metric"] == "error") & (summary["score"] == "msp")]
    assert len(test) == 2 and test["mean"].between(0, 1).all()
    for cell in experiment.cells(name):
        ran = json.loads((run.folder / cell.folder / "run.json").read_text())
        assert ran["epochs"] == experiment.recipe.epochs
        assert ("pretrained_sha256" in ran) == (name in PRETRAINED)
        assert (run.folder / cell.folder / "logits" / "test.safetensors").exists()
    for architecture in experiment.architecture_names:
        figures = run.folder / "results" / "figures" / name / architecture
        assert (figures / "risk_coverage_msp.pdf").stat().st_size > 0
    scorecard = pd.read_csv(tables / "scorecard.csv").query("experiment == @name")
    assert scorecard["verdict"].tolist() == ["one seed"] * 4 and scorecard["mean"].between(0, 1).all()
    manifest = json.loads((run.folder / "resources" / experiment.dataset_id / "manifest.json").read_text())
    assert manifest["sizes"]["test"] == SMALL[name][1]


def test_everything_is_made_of_one_experiment_of_each_kind(run):
    assert run.planned(*WHOLE) == set(), run.log


@pytest.mark.parametrize("name", SCENES)
def test_scenes_come_to_ranking_maps(run, name):
    (folder,) = (run.folder / "results" / "figures" / name).iterdir()

    assert set(pd.read_csv(folder / "ranking_maps.csv")["scene"]) == {0, 1}
