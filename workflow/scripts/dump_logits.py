"""Run one cell's model over every split and write its logits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unsmooth.data.arrays import read_manifest
from unsmooth.data.loading import evaluation_batches
from unsmooth.inference import collect_pixel_logits, inference_batch_size, load_model
from unsmooth.logits.collection import collect_logits
from unsmooth.logits.logits_file import write_logits
from unsmooth.models import own_preprocessing
from unsmooth.runtime.gpus import leased_device
from unsmooth.runtime.jobs import job
from unsmooth.runtime.provenance import versions
from unsmooth.runtime.targets import architecture_target


def dump_logits(
    architecture: dict[str, Any],
    cell: dict[str, Any],
    dataset: Path,
    weights: Path,
    outputs: list[Path],
    *,
    device: str,
    workers: int,
    pixels: dict[str, Any] | None = None,
) -> None:
    """Write a logits file for each of `outputs`, which are named after the splits.

    For scenes, `pixels` sets the number of kept pixels, and the metadata hold the count of each scene.

    For a large training split the dataset defines the part with logits, the split train_logits.
    """
    manifest = read_manifest(dataset)
    model = load_model(architecture, dataset, weights, device=device)
    preprocessing = own_preprocessing(architecture)
    if size := preprocessing.get("image_size"):
        manifest = replace(manifest, input_shape=[3, size, size])
    for path in outputs:
        split = path.stem
        batches = evaluation_batches(
            dataset,
            f"{split}_logits" if f"{split}_logits" in manifest.sizes else split,
            device=device,
            batch_size=inference_batch_size(manifest, device),
            workers=workers,
            preprocessing=preprocessing,
        )
        metadata = {"cell": cell, "split": split, "versions": versions("unsmooth", "torch")}
        if pixels is None:
            logits, targets = collect_logits(model, batches)
        else:
            logits, targets, counts = collect_pixel_logits(model, batches, **pixels)
            metadata["samples_by_scene"] = counts
        write_logits(path, logits, targets, metadata=metadata)
        print(f"{split}: {len(targets)} samples, error {100 * (logits.argmax(1) != targets).double().mean():.2f} %")


if __name__ == "__main__":
    architecture = json.loads(snakemake.params.architecture)
    with job(snakemake, __file__, architecture_target(architecture)):
        torch.set_num_threads(snakemake.threads)
        # Scores rank small differences of logits, which TF32 would round.
        torch.backends.cudnn.allow_tf32 = False
        with leased_device(snakemake.resources) as device:
            dump_logits(
                architecture,
                json.loads(snakemake.params.cell),
                Path(snakemake.input.manifest).parent,
                Path(snakemake.input.model),
                [Path(path) for path in snakemake.output],
                device=device,
                workers=snakemake.threads - 1,
                pixels=json.loads(snakemake.params.get("pixels", "null")),
            )
