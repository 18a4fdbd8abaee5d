"""Every experiment of the paper, from download to figures, on a miniature of its dataset in the upstream archives.

What is made small is data, epochs and batches; rules, builders, loaders, models and the rest of the recipe are the
shipped ones.
"""

import hashlib
import json
from urllib.parse import urlsplit

import pandas as pd
import pytest
import yaml
from miniatures.cifar import write_cifar10, write_cifar100
from miniatures.cityscapes import write_cityscapes
from miniatures.imagenet import write_imagenet
from miniatures.imdb import write_glove, write_imdb, write_punkt_tab
from miniatures.server import file_server
from miniatures.tabular import write_bank_marketing, write_online_shoppers

from unsmooth.data.sources import SOURCES
from unsmooth.experiment import load_experiment

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GRID = {"losses": {"ce": None, "ls": {"alpha": [0.2]}}, "seeds": [0]}
PUBLISHED = {"error": 20.0, "aurc": 10.0, "source": "a test"}
IMAGENET = {
    "dataset": {"num_val": 20, "num_train_logits": 10, "image_size": 64, "resize": 72},
    "recipe": {"epochs": 2, "batch_size": 16, "shards": 2, "warmup": {"epochs": 1}, "precision": "fp32"},
}
# experiment: what is made small, and the size of its test split
SMALL = {
    "cifar10_resnet20": ({"dataset": {"num_val": 20}, "recipe": {"epochs": 2, "schedule": {"milestones": [1]}}}, 20),
    "cifar100_densenet": (
        {
            "dataset": {"num_val": 40},
            "recipe": {"epochs": 2, "schedule": {"milestones": [1]}, "precision": "fp32"},  # CPUs are slow in fp16
        },
        100,
    ),
    "cityscapes_deeplabv3plus": (
        {
            "dataset": {"num_val": 4, "num_train_logits": 3},
            "architectures": {"deeplabv3plus": {"pretrained": None}},
            "recipe": {
                "epochs": 2,
                "batch_size": 4,
                "schedule": {"epochs": 1},
                "augmentation": {"scene_crop": {"size": 48}},
                "precision": "fp32",
            },
            "pixels": {"per_scene": 50, "maps": [0, 1]},
        },
        6,
    ),
    "imagenet_resnet50": (IMAGENET, 40),
    "imagenet_vit_s16": (IMAGENET, 40),
    "imdb_lstm": ({"dataset": {"num_val": 20, "max_tokens": 32}, "recipe": {"epochs": 3, "batch_size": 16}}, 40),
    "bank_marketing_mlp": ({"dataset": {"num_val": 100}, "recipe": {"epochs": 3}}, 221),
    "online_shoppers_mlp": ({"dataset": {"num_val": 100}, "recipe": {"epochs": 3}}, 221),
}


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The miniature of every archive, by its upstream name."""
    folder = tmp_path_factory.mktemp("archives")
    return {
        **write_cifar10(folder),
        **write_cifar100(folder),
        **write_cityscapes(folder),
        **write_imagenet(folder, num_classes=4, train_images=8, val_images=60),
        **write_imdb(folder, reviews=30),
        **write_glove(folder),
        **write_punkt_tab(folder),
        **write_bank_marketing(folder),
        **write_online_shoppers(folder),
    }


@pytest.fixture
def server(archives):
    """A server of the miniatures, under the last part of their upstream addresses."""
    upstream = {archive.file: archive.url for source in SOURCES.values() for archive in source.archives if archive.url}
    with file_server(
        {urlsplit(url).path.lstrip("/"): archives[name].read_bytes() for name, url in upstream.items()}
    ) as served:
        yield served


@pytest.fixture
def shipped(pytestconfig, fresh, archives, server):
    """A workspace for a shipped experiment, small, whose downloads come from the server."""

    def prepare(name, *, folders=None):
        data = yaml.safe_load((pytestconfig.rootpath / "experiments" / f"{name}.yaml").read_text())
        for part, changes in SMALL[name][0].items():
            data[part] = merged(data[part], changes)
        data["dataset"]["complete"] = False
        data |= GRID | {"published": [PUBLISHED | {"loss": "ce"}, PUBLISHED | {"loss": "ls", "alpha": 0.2}]}
        (fresh.folder / "experiments" / f"{name}.yaml").write_text(yaml.safe_dump(data))
        hosts = {f"{url.scheme}://{url.netloc}/" for url in map(urlsplit, addresses())}
        digests = {name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in archives.items()}
        settings = yaml.safe_load((fresh.folder / "tiny.yaml").read_text()) | {
            "experiments": [f"experiments/{name}.yaml"],
            "downloads": {
                "mirrors": dict.fromkeys(sorted(hosts), f"{server.address}/"),
                "checksums": digests,
                "folders": folders or {},
            },
        }
        (fresh.folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
        return fresh

    return prepare


def addresses():
    return [archive.url for source in SOURCES.values() for archive in source.archives if archive.url]


def merged(data, changes):
    nested = {
        key: merged(data[key], value) for key, value in changes.items() if isinstance(value, dict) and key in data
    }
    return {**data, **changes, **nested}


def check_results(workspace, name):
    experiment = load_experiment(workspace.folder / "experiments" / f"{name}.yaml")
    tables = workspace.folder / "results" / "tables" / name
    summary = pd.read_csv(tables / "summary.csv")
    test = summary[(summary["metric"] == "error") & (summary["score"] == "msp")]
    assert len(test) == 2 and test["mean"].between(0, 1).all()
    for cell in experiment.cells(name):
        run = json.loads((workspace.folder / cell.folder / "run.json").read_text())
        assert run["epochs"] == experiment.recipe.epochs
        assert (workspace.folder / cell.folder / "logits" / "test.safetensors").exists()
    for architecture in experiment.architecture_names:
        figures = workspace.folder / "results" / "figures" / name / architecture
        assert (figures / "risk_coverage_msp.pdf").stat().st_size > 0
    scorecard = pd.read_csv(workspace.folder / "results" / "tables" / "scorecard.csv")
    assert scorecard["verdict"].tolist() == ["one seed"] * 4 and scorecard["mean"].between(0, 1).all()
    manifest = json.loads((workspace.folder / "resources" / experiment.dataset_id / "manifest.json").read_text())
    assert manifest["sizes"]["test"] == SMALL[name][1]


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith(("cityscapes", "imagenet"))])
def test_experiment_runs_from_download_to_figures(shipped, name):
    workspace = shipped(name)

    workspace.run()

    check_results(workspace, name)


@pytest.mark.parametrize("name", ["imagenet_resnet50", "imagenet_vit_s16"])
def test_imagenet_runs_from_a_folder_of_archives(shipped, archives, name):
    workspace = shipped(name, folders={"imagenet": str(next(iter(archives.values())).parent)})

    workspace.run()

    check_results(workspace, name)


def test_cityscapes_runs_from_a_folder_of_archives_to_ranking_maps(shipped, archives):
    workspace = shipped("cityscapes_deeplabv3plus", folders={"cityscapes": str(next(iter(archives.values())).parent)})

    workspace.run()

    check_results(workspace, "cityscapes_deeplabv3plus")
    folder = workspace.folder / "results" / "figures" / "cityscapes_deeplabv3plus" / "deeplabv3plus"
    assert set(pd.read_csv(folder / "ranking_maps.csv")["scene"]) == {0, 1}


def test_imagenet_without_archives_says_which_files_go_where(shipped):
    workspace = shipped("imagenet_resnet50")

    done = workspace.snakemake()
    output = done.stdout + done.stderr

    assert done.returncode != 0 and "Traceback" not in output
    for file in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        assert file in output
    assert not (workspace.folder / "results" / "logs" / "train").exists()


def test_a_broken_download_is_resumed(shipped, server):
    workspace = shipped("online_shoppers_mlp")
    server.cuts = [500, 700]

    workspace.run("resources/sources/online_shoppers/source.json")

    ranges = [value for _, value in server.requests if value]
    assert [int(value.removeprefix("bytes=").rstrip("-")) for value in ranges] == [500, 1200]


def test_a_corrupt_download_ends_the_run_and_is_not_kept(shipped, server):
    workspace = shipped("online_shoppers_mlp")
    name = next(name for name in server.files if "shoppers" in name)
    right = server.files[name]
    server.files[name] = right[:-10] + bytes(10)

    done = workspace.snakemake()
    output = done.stdout + done.stderr

    assert done.returncode != 0 and "Traceback" not in output
    assert hashlib.sha256(server.files[name]).hexdigest() in output and hashlib.sha256(right).hexdigest() in output
    manifest = "resources/online_shoppers_complete-False_num_val-100/manifest.json"
    assert not (workspace.folder / manifest).exists()
    server.files[name] = right
    workspace.run(manifest)


def test_where_a_download_comes_from_reruns_nothing(shipped, server):
    workspace = shipped("online_shoppers_mlp")
    workspace.run()

    workspace.edit("tiny.yaml", f"{server.address}/", f"{server.address}/elsewhere/")

    assert workspace.planned() == set()
