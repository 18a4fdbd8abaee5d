"""Every experiment of the paper, from download to figures, on a miniature of its dataset in the upstream archives.

What is made small is data, epochs and batches; rules, builders, loaders, models and the rest of the recipe are the
shipped ones.
"""

import hashlib
import json
from urllib.parse import urlsplit

import pandas as pd
import pytest
import timm
import torch
import yaml
from miniatures.cifar import write_cifar10, write_cifar100
from miniatures.cityscapes import write_cityscapes
from miniatures.cub import write_cub
from miniatures.imagenet import write_imagenet
from miniatures.imdb import write_glove, write_imdb, write_punkt_tab
from miniatures.newsgroups import write_glove_6b, write_newsgroups
from miniatures.server import file_server
from miniatures.tabular import write_bank_marketing, write_online_shoppers
from miniatures.tiny_imagenet import write_tiny_imagenet
from miniatures.voc import write_voc2012
from safetensors.torch import load_file, save_file
from torchvision.models import resnet50, resnet101

from unsmooth.data.sources import SOURCES
from unsmooth.experiment import load_experiment

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GRID = {"losses": {"ce": None, "ls": {"alpha": [0.2]}}, "seeds": [0]}
PUBLISHED = {"error": 20.0, "aurc": 10.0, "source": "a test"}
IMAGENET = {
    "dataset": {"num_val": 20, "num_train_logits": 10, "image_size": 64, "resize": 72},
    "recipe": {"epochs": 2, "batch_size": 16, "shards": 2, "warmup": {"epochs": 1}, "precision": "fp32"},
}
TWO_EPOCHS = {"epochs": 2, "schedule": {"milestones": [1]}}
MBLS_CIFAR = {"dataset": {"num_val": 80}, "recipe": TWO_EPOCHS | {"batch_size": 10}}
TINY_IMAGENET = {"dataset": {"val_per_class": 3}, "recipe": TWO_EPOCHS | {"batch_size": 4}}
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
    "cifar10_resnet50_mbls": (MBLS_CIFAR, 20),
    "cifar10_resnet101_mbls": (MBLS_CIFAR, 20),
    "tiny_imagenet_resnet50": (TINY_IMAGENET, 12),
    "tiny_imagenet_resnet101": (TINY_IMAGENET, 12),
    "cub_resnet101": (
        {
            "dataset": {"num_val": 12, "image_size": 48, "resize": 56},
            "recipe": TWO_EPOCHS | {"batch_size": 8},
        },
        20,
    ),
    "newsgroups_gpool_cnn": (
        {
            "dataset": {"num_val": 16, "num_test": 24, "max_tokens": 32},
            "recipe": {"epochs": 3, "batch_size": 16},
        },
        24,
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
    "voc_deeplabv3": (
        {
            "dataset": {"num_val": 4, "num_train_logits": 3, "image_size": 48},
            "recipe": TWO_EPOCHS | {"batch_size": 4, "augmentation": {"scene_crop": {"size": 48, "longest": 64}}},
            "pixels": {"per_scene": 50, "maps": [0, 1]},
        },
        6,
    ),
    "imagenet_resnet50": (IMAGENET, 40),
    "imagenet_vit_s16": (IMAGENET, 40),
    "zoo": ({"dataset": {"num_val": 20, "num_train_logits": 10}}, 40),
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
        **write_tiny_imagenet(folder),
        **write_cub(folder),
        **write_imdb(folder, reviews=30),
        **write_glove(folder),
        **write_punkt_tab(folder),
        **write_newsgroups(folder),
        **write_glove_6b(folder),
        **write_voc2012(folder),
        **write_bank_marketing(folder),
        **write_online_shoppers(folder),
    }


@pytest.fixture
def server(archives):
    """A server of the miniatures, under the last part of their upstream addresses."""
    upstream = [archive for source in SOURCES.values() for archive in source.archives if archive.file in archives]
    with file_server(
        {urlsplit(each.url).path.lstrip("/"): archives[each.file].read_bytes() for each in upstream if each.url}
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


@pytest.mark.parametrize(
    "name", [name for name in SMALL if not name.startswith(("cityscapes", "cub", "imagenet", "voc", "zoo"))]
)
def test_experiment_runs_from_download_to_figures(shipped, name):
    workspace = shipped(name)

    workspace.run()

    check_results(workspace, name)


@pytest.mark.parametrize("name", ["imagenet_resnet50", "imagenet_vit_s16"])
def test_imagenet_runs_from_a_folder_of_archives(shipped, archives, name):
    workspace = shipped(name, folders={"imagenet": str(next(iter(archives.values())).parent)})

    workspace.run()

    check_results(workspace, name)


def test_cub_runs_from_download_and_pretrained_weights(shipped, tmp_path):
    workspace = shipped("cub_resnet101", folders={"resnet101_imagenet1k_v1": str(tmp_path)})
    torch.save(resnet101().state_dict(), tmp_path / "weights.pth")

    workspace.run()

    check_results(workspace, "cub_resnet101")
    for run in workspace.folder.glob("results/cells/**/run.json"):
        assert "pretrained_sha256" in json.loads(run.read_text())


def test_training_starts_from_pretrained_weights(shipped, tmp_path):
    name = "cifar10_resnet20"
    workspace = shipped(name, folders={"resnet50_imagenet1k_v1": str(tmp_path)})
    published = resnet50()
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    resnet = {"kind": "torchvision", "name": "resnet50", "pretrained": "resnet50_imagenet1k_v1"}
    recipe = yaml.safe_load((workspace.folder / "experiments" / f"{name}.yaml").read_text())["recipe"]
    recipe |= {"epochs": 1, "schedule": {"kind": "constant"}, "optimizer": {"kind": "sgd", "lr": 1e-9}}
    workspace.edit_experiment(name, architectures={"resnet50": resnet}, recipe=recipe)
    cell = workspace.folder / "results" / "cells" / name / "resnet50" / "ce_alpha-0" / "seed-0"

    workspace.run(str((cell / "model.safetensors").relative_to(workspace.folder)))

    weights = load_file(cell / "model.safetensors")
    torch.testing.assert_close(weights["layer1.0.conv1.weight"], published.layer1[0].conv1.weight.detach())
    assert weights["fc.weight"].shape == (10, 2048)
    run = json.loads((cell / "run.json").read_text())
    assert run["pretrained_sha256"] == hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()


def test_zoo_runs_from_files_of_weights(shipped, archives, tmp_path):
    workspace = shipped("zoo", folders={"imagenet": str(next(iter(archives.values())).parent)})
    models = {"plain": "resnet18.tv_in1k", "smoothed": "resnet18.a1_in1k"}
    for name in models.values():
        torch.manual_seed(len(name))
        save_file(timm.create_model(name, num_classes=4).state_dict(), tmp_path / f"{name}.safetensors")
    architectures = {key: {"kind": "timm", "name": name, "preprocessing": "timm"} for key, name in models.items()}
    workspace.edit_experiment(
        "zoo",
        architectures=architectures,
        losses={"ce": None, "ls_mixup": {"kind": "ls", "alpha": [0.1]}},
        trained_with={"ce": ["plain"], "ls_mixup": ["smoothed"]},
        weights=f"{tmp_path}/{{name}}.safetensors",
        published=[],
    )

    workspace.run("zoo")

    results = workspace.folder / "results"
    gains = pd.read_csv(results / "tables" / "zoo" / "zoo.csv")
    assert sorted(zip(gains["architecture"], gains["metric"], strict=True)) == [
        (model, metric) for model in ("plain", "smoothed") for metric in ("aurc", "failure_auroc")
    ]
    assert (results / "figures" / "zoo" / "zoo.pdf").stat().st_size > 0
    run = json.loads((results / "cells/zoo/smoothed/ls_mixup_alpha-0.1/seed-0/run.json").read_text())
    assert run["weights"] == f"{tmp_path}/resnet18.a1_in1k.safetensors"


def test_cityscapes_runs_from_a_folder_of_archives_to_ranking_maps(shipped, archives):
    workspace = shipped("cityscapes_deeplabv3plus", folders={"cityscapes": str(next(iter(archives.values())).parent)})

    workspace.run()

    check_results(workspace, "cityscapes_deeplabv3plus")
    folder = workspace.folder / "results" / "figures" / "cityscapes_deeplabv3plus" / "deeplabv3plus"
    assert set(pd.read_csv(folder / "ranking_maps.csv")["scene"]) == {0, 1}


def test_voc_runs_from_download_and_pretrained_weights_to_ranking_maps(shipped, tmp_path):
    workspace = shipped("voc_deeplabv3", folders={"resnet50_imagenet1k_v1": str(tmp_path)})
    torch.save(resnet50().state_dict(), tmp_path / "weights.pth")

    workspace.run()

    check_results(workspace, "voc_deeplabv3")
    folder = workspace.folder / "results" / "figures" / "voc_deeplabv3" / "deeplabv3"
    assert set(pd.read_csv(folder / "ranking_maps.csv")["scene"]) == {0, 1}
    for run in workspace.folder.glob("results/cells/**/run.json"):
        assert "pretrained_sha256" in json.loads(run.read_text())


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
