"""Run one cell's model over every split and write its logits."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from unsmooth.data.arrays import load_split, read_manifest
from unsmooth.data.loading import TensorLoader
from unsmooth.inference import collect_logits
from unsmooth.jobs import job_log
from unsmooth.logits import write_logits
from unsmooth.models import make_model
from unsmooth.provenance import versions

BATCH_SIZE = 500


def dump_logits(
    architecture: dict[str, Any], cell: dict[str, Any], dataset: Path, weights: Path, outputs: list[Path], device: str
) -> None:
    """Write a logits file for each of `outputs`, which are named after the splits."""
    manifest = read_manifest(dataset)
    model = make_model(architecture, manifest.input_shape, len(manifest.classes))
    model.load_state_dict(load_file(weights))
    model.to(device)
    for path in outputs:
        split = load_split(dataset, path.stem)
        loader = TensorLoader(
            split.inputs,
            split.targets,
            batch_size=BATCH_SIZE,
            mean=manifest.mean,
            std=manifest.std,
            device=device,
        )
        logits, targets = collect_logits(model, loader.in_order())
        metadata = {"cell": cell, "split": path.stem, "versions": versions("unsmooth", "torch")}
        write_logits(path, logits, targets, metadata=metadata)
        print(f"{path.stem}: {len(targets)} samples, error {100 * (logits.argmax(1) != targets).double().mean():.2f} %")


if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        # Scores rank small differences of logits: no ten-bit mantissas.
        torch.backends.cudnn.allow_tf32 = False
        dump_logits(
            json.loads(snakemake.params.architecture),
            json.loads(snakemake.params.cell),
            Path(snakemake.input.manifest).parent,
            Path(snakemake.input.model),
            [Path(path) for path in snakemake.output],
            "cuda" if torch.cuda.is_available() else "cpu",
        )
