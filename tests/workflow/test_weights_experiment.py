"""An experiment on checkpoints from elsewhere gets the tables and figures of one that trains, but no cost."""

import hashlib
import json

import pandas as pd
import pytest
import torch
import yaml
from miniatures.released import released_names, write_lightning
from miniatures.server import file_server
from safetensors.torch import load_file

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RELEASED = "owner/models@v1"


@pytest.fixture
def released(workspace):
    """A finished workspace with the checkpoints of its cells as they would be released, and an experiment on them."""
    experiment = yaml.safe_load((workspace.folder / "experiments" / "tiny_glyphs.yaml").read_text())
    del experiment["recipe"]
    experiment |= {"weights": "checkpoints/{loss}-{alpha}.ckpt", "losses": {"ce": None, "ls": {"alpha": [0.1]}}}
    (workspace.folder / "experiments" / "released.yaml").write_text(yaml.safe_dump(experiment))
    for loss, alpha in (("ce", "0"), ("ls", "0.1")):
        cell = workspace.folder / "results" / "cells" / "tiny_glyphs" / "resnet8" / f"{loss}_alpha-{alpha}" / "seed-0"
        weights = released_names(load_file(cell / "model.safetensors"))
        write_lightning(workspace.folder / "checkpoints" / f"{loss}-{alpha}.ckpt", weights)
    return workspace


def test_released_checkpoints_give_the_same_tables_and_figures(released):
    output = released.run("released")

    assert "] train " not in output
    tables = released.folder / "results" / "tables"
    keys = ["loss", "alpha", "score", "metric"]
    trained, imported = (
        pd.read_csv(tables / name / "summary.csv").set_index(keys) for name in ("tiny_glyphs", "released")
    )
    pd.testing.assert_series_equal(imported["mean"], trained.loc[imported.index, "mean"])
    figures = {path.name for path in (released.folder / "results/figures/released/resnet8").glob("*.png")}
    assert figures == {path.name for path in (released.folder / "results/figures/tiny_glyphs/resnet8").glob("*.png")}
    assert (tables / "released" / "main.tex").exists() and not (tables / "released" / "cost.csv").exists()
    cell = released.folder / "results" / "cells" / "released" / "resnet8" / "ls_alpha-0.1" / "seed-0"
    run = json.loads((cell / "run.json").read_text())
    content = (released.folder / "checkpoints" / "ls-0.1.ckpt").read_bytes()
    assert run["weights"] == "checkpoints/ls-0.1.ckpt"
    assert run["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert not (cell / "history.csv").exists()
    assert released.planned("released") == set()


def test_checkpoints_come_from_the_hub(released, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    cell = "results/cells/released/resnet8/ce_alpha-0/seed-0/model.safetensors"
    content = (released.folder / "checkpoints" / "ce-0.ckpt").read_bytes()
    released.edit_experiment("released", weights=f"hf://{RELEASED}/{{loss}}-{{alpha}}.ckpt")
    settings = yaml.safe_load((released.folder / "tiny.yaml").read_text())
    with file_server({"owner/models/resolve/v1/ce-0.ckpt": content}) as server:
        server.headers = {"X-Repo-Commit": "0" * 40}
        settings["downloads"] = {"mirrors": {"https://huggingface.co/": server.url("")}}
        settings["experiments"].append("experiments/released.yaml")
        (released.folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
        released.run(cell)

    assert (released.folder / "resources" / "hub" / RELEASED / "ce-0.ckpt").read_bytes() == content
    run = json.loads((released.folder / cell).with_name("run.json").read_text())
    assert run["weights"] == f"hf://{RELEASED}/ce-0.ckpt"


def test_checkpoint_of_another_model_stops_the_job_and_is_named(released):
    torch.save({"stem.0.weight": torch.zeros(1)}, released.folder / "checkpoints" / "ce-0.ckpt")

    done = released.snakemake("released")
    output = done.stdout + done.stderr

    assert done.returncode != 0 and "Traceback" not in output
    assert "checkpoints/ce-0.ckpt: the weights are not those of this CifarResNet" in output
    assert not (released.folder / "results/cells/released/resnet8/ce_alpha-0/seed-0/model.safetensors").exists()


def test_missing_checkpoint_is_named_before_any_job(released):
    (released.folder / "checkpoints" / "ls-0.1.ckpt").unlink()

    done = released.snakemake("released")

    assert done.returncode != 0 and "checkpoints/ls-0.1.ckpt" in done.stdout + done.stderr
    assert not (released.folder / "results/cells/released").exists()
