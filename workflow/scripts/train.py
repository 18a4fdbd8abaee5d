"""Train one cell."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from unsmooth.config.specs.recipes import Recipe
from unsmooth.data.sources import WEIGHTS, data_root
from unsmooth.runtime.code import code_hash
from unsmooth.runtime.gpus import leased_gpus
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import training_targets
from unsmooth.training.cell import CellJob, launch


def train(
    training: dict[str, Any],
    dataset: Path,
    cell: Path,
    checkpoint: Path,
    pretrained: Path | None = None,
    *,
    teacher: Path | None = None,
    threads: int,
    gpus: int,
) -> None:
    """Train what `training` describes into the folder `cell`, on at most `gpus` GPUs, or on the CPU with 0.

    `pretrained` is the folder of the source of the weights from which training starts.

    More devices than a batch has shards would have nothing to do. `threads` are shared between them: one each for the
    training, the others decode images. `teacher` are the weights of the model from which it is distilled.
    """
    shards = Recipe.model_validate(training["recipe"]).shards
    devices = max(1, min(shards, gpus))
    job = CellJob(
        training=training,
        dataset=str(dataset),
        cell=str(cell),
        checkpoint=str(checkpoint),
        code=code_hash(Path(__file__), *training_targets(training)),
        device="cuda" if gpus else "cpu",
        workers=max(0, threads // devices - 1),
        pretrained=None if pretrained is None else str(data_root(pretrained) / WEIGHTS),
        teacher=None if teacher is None else str(teacher),
    )
    torch.set_num_threads(1 if gpus else threads)
    launch(job, devices=devices)


if __name__ == "__main__":
    training = json.loads(snakemake.params.training)
    with job(snakemake, __file__, *training_targets(training)):
        began = time.perf_counter()
        pretrained = snakemake.input.get("pretrained")
        resources = snakemake.resources
        with leased_gpus(resources.get("gpu", 1), jobs_per_gpu=resources.get("jobs_per_gpu", 1)) as gpus:
            train(
                training,
                Path(snakemake.input.manifest).parent,
                Path(snakemake.output.model).parent,
                Path(snakemake.params.checkpoint),
                None if pretrained is None else Path(pretrained).parent,
                threads=snakemake.threads,
                gpus=len(gpus),
                teacher=Path(weights) if (weights := snakemake.input.get("teacher")) else None,
            )
        print(f"done in {time.perf_counter() - began:.1f} s")
