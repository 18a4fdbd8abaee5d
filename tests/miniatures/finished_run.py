"""A finished run of one small image experiment, without training: cells of drawn logits, scored and measured."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from collect import collect
from evaluate import evaluate
from score import score

from unsmooth.config.cells import Cell
from unsmooth.config.settings import Evaluation
from unsmooth.data.arrays import Split, write_dataset
from unsmooth.figures.mechanism import max_logit_given_probability
from unsmooth.logits.logits_file import write_logits
from unsmooth.tables.collection import read_cell_logits
from unsmooth.tables.labels import KINDS

CONFIGURATIONS = [("ce", 0.0), ("ls", 0.1), ("ls", 0.4)]
CLASSES = ["a <b>", "b", "c", "d", "e"]
SIZES = {"val": 400, "test": 600}
SCORES = ["msp", "msp_temperature", "max_logit_pnorm", "energy"]


def write_run(folder: Path, experiment: str, architecture: str, seeds: Sequence[int]) -> dict[str, object]:
    """Write cells, tables and dataset of an experiment under `folder`; return its cells and where the others are."""
    cells = [vars(Cell(experiment, architecture, *key, seed)) for key in CONFIGURATIONS for seed in seeds]
    folders = [folder / Cell(**cell).folder for cell in cells]
    for cell, place in zip(cells, folders, strict=True):
        _write_cell(place, **cell)
    tables = folder / "results" / "tables" / experiment
    files = [[place / name for place in folders] for name in ("metrics.csv", "bootstrap.parquet")]
    collect(*files, cells, KINDS, tables / "summary.csv", tables / "differences.csv")
    ends = [cell for cell in cells if cell["alpha"] in (0.0, 0.4)]
    paths = [folder / Cell(**cell).folder / "logits" / "test.safetensors" for cell in ends]
    _, windows = max_logit_given_probability(read_cell_logits(paths, ends), splits=["test"])
    windows.to_csv(tables / "windows.csv", index=False)
    dataset = folder / "resources" / experiment
    images = torch.randint(0, 256, (SIZES["test"], 1, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    splits = {"test": Split(images, torch.zeros(len(images), dtype=torch.int64))}
    write_dataset(dataset, splits, dataset=experiment, classes=CLASSES, mean=[0.5], std=[0.5])
    return {"cells": cells, "tables": tables, "dataset": dataset}


def _write_cell(folder: Path, experiment: str, architecture: str, loss: str, alpha: float, seed: int) -> None:
    logits = folder / "logits"
    for split, count in SIZES.items():
        generator = np.random.default_rng([seed, count])
        targets = generator.integers(0, len(CLASSES), count)
        values = generator.normal(size=(count, len(CLASSES))) + 2.5 * np.eye(len(CLASSES))[targets]
        # As smoothing does: the largest logit is pulled down where it is right.
        values -= alpha * np.maximum(values - 2, 0) * (values.argmax(axis=1) == targets)[:, None]
        write_logits(logits / f"{split}.safetensors", values.astype(np.float32), targets, metadata={})
    scores = folder / "scores"
    results = [scores / name for name in ("test.safetensors", "fitted.json", "pnorm_sweep.csv", "operating_points.csv")]
    score(logits / "val.safetensors", logits / "test.safetensors", SCORES, *results)
    evaluate(
        *results[:2],
        logits / "test.safetensors",
        Evaluation(bootstrap_replicates=100, curve_points=20),
        *(folder / name for name in ("metrics.csv", "bootstrap.parquet", "curves.parquet", "reliability.parquet")),
    )
    run = {
        "device": "cpu",
        "precision": "fp32",
        "epochs": 3,
        "parameters": 100,
        "wall_time_s": 1.5,
        "images_per_s": 200.0,
    }
    run |= {"peak_memory_mb": 50.0, "peak_device_memory_mb": None}
    run |= {"git_commit": "0123456789abcdef", "data_sha256": "feed" * 16, "versions": {"python": "3.11"}}
    (folder / "run.json").write_text(json.dumps(run))
