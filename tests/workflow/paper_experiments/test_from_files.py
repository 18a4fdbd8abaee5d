"""Experiments on weights that a user gives, and without the archives that a user must give."""

import hashlib
import json

import pandas as pd
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file
from torchvision.models import resnet50

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


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


def test_imagenet_without_archives_says_which_files_go_where(shipped):
    workspace = shipped("imagenet_resnet50")

    done = workspace.snakemake()
    output = done.stdout + done.stderr

    assert done.returncode != 0 and "Traceback" not in output
    for file in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        assert file in output
    assert not (workspace.folder / "results" / "logs" / "train").exists()
