"""Every trained experiment of the paper, in one run, from downloads or a folder of archives to tables and figures."""

import json

import pandas as pd
import pytest
import torch
from miniatures.workspace import make_workspace
from torchvision.models import resnet50, resnet101
from workflow.paper_experiments.conftest import SMALL, small_workspace, upstream_server

from unsmooth.config.loading import load_experiment
from unsmooth.runtime.plan import FIGURES

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

NAMES = [name for name in SMALL if name != "zoo"]
SCENES = ["cityscapes_deeplabv3plus", "voc_deeplabv3"]
PRETRAINED = ["cub_resnet101", "voc_deeplabv3"]
PAGE = "results/report/imagenet_resnet50.json"  # with images from files
# One thread a job, not one more that decodes image files: two jobs at a time, which start from the job server.
ONE_THREAD = [f"{rule}=1" for rule in ("train", "dump_logits", "dump_pixels", "stream_pixels")]
TIMEOUT_S = 3600


@pytest.fixture(scope="module")
def run(archives, tmp_path_factory):
    """A workspace in which every experiment has run as far as it can; `log` is what the run printed."""
    folders = {name: str(next(iter(archives.values())).parent) for name in ("imagenet", "cityscapes")}
    torch.manual_seed(0)
    for model in (resnet50, resnet101):
        source = f"{model.__name__}_imagenet1k_v1"
        folders[source] = str(tmp_path_factory.mktemp(source))
        torch.save(model().state_dict(), f"{folders[source]}/weights.pth")
    with upstream_server(archives) as server:
        empty = make_workspace(tmp_path_factory.mktemp("every_experiment"))
        workspace = small_workspace(empty, archives, server, NAMES, folders=folders)
        targets = [*NAMES, "scorecard", PAGE]
        workspace.log = workspace.snakemake(*targets, "--set-threads", *ONE_THREAD, timeout=TIMEOUT_S).stdout
    return workspace


def settings_of(workspace, name):
    return load_experiment(workspace.folder / "experiments" / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_experiment_runs_from_archives_to_figures(run, name):
    experiment, results = settings_of(run, name), run.folder / "results"

    summary = pd.read_csv(results / "tables" / name / "summary.csv")
    test = summary[(summary["metric"] == "error") & (summary["score"] == "msp")]
    assert len(test) == 2 and test["mean"].between(0, 1).all()
    for cell in experiment.cells(name):
        ran = json.loads((run.folder / cell.folder / "run.json").read_text())
        assert ran["epochs"] == experiment.recipe.epochs
        assert ("pretrained_sha256" in ran) == (name in PRETRAINED)
        assert (run.folder / cell.folder / "logits" / "test.safetensors").exists()
    drawn = set(FIGURES) - {"zoo"} - (set() if name in SCENES else {"ranking_maps"})
    for architecture in experiment.architecture_names:
        for figure in drawn:
            stem = results / "figures" / name / architecture / figure
            for suffix in ("pdf", "png", "csv"):
                assert stem.with_suffix(f".{suffix}").stat().st_size > 0, run.log
    scorecard = pd.read_csv(results / "tables" / "scorecard.csv").query("experiment == @name")
    assert scorecard["verdict"].tolist() == ["one seed"] * 4 and scorecard["mean"].between(0, 1).all()
    manifest = json.loads((run.folder / "resources" / experiment.dataset_id / "manifest.json").read_text())
    assert manifest["sizes"]["test"] == SMALL[name][1]


def test_nothing_is_left_to_make_of_any_experiment(run):
    assert run.planned(*NAMES, "scorecard", PAGE) == set(), run.log


@pytest.mark.parametrize("name", SCENES)
def test_scenes_come_to_ranking_maps(run, name):
    (folder,) = (run.folder / "results" / "figures" / name).iterdir()

    assert set(pd.read_csv(folder / "ranking_maps.csv")["scene"]) == {0, 1}
