"""Build one dataset of the workflow."""

import json
from pathlib import Path

import torch
from pydantic import TypeAdapter

from unsmooth.jobs import job_log
from unsmooth.specs import Dataset, resolve


def build_dataset(options: str, folder: Path) -> None:
    """Build the dataset described by JSON `options` into `folder`, which is named after it."""
    spec = TypeAdapter(Dataset).validate_python(json.loads(options))
    manifest = resolve(spec.target)(folder, dataset=folder.name, **spec.model_dump(exclude={"kind"}))
    print(f"{manifest.dataset}: {len(manifest.classes)} classes, {manifest.sizes}, sha256 {manifest.sha256}")


if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        build_dataset(snakemake.params.dataset, Path(snakemake.output.manifest).parent)
