"""Build one dataset of the workflow, drawn locally or from downloads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from unsmooth.config.specs.datasets import Dataset
from unsmooth.data.arrays import DatasetError
from unsmooth.data.download import source_root
from unsmooth.registry import resolve
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import dataset_target


def build_dataset(options: Mapping[str, Any], folder: Path, downloads: Mapping[str, Path]) -> None:
    """Build the dataset described by `options` into `folder`, which is named after it, from its `downloads`.

    Raises:
        DatasetError: the downloads are damaged, or hold other data than were published.
    """
    spec = TypeAdapter(Dataset).validate_python(options)
    settings = spec.model_dump(exclude={"kind", "complete"})
    if spec.sources:
        settings["sources"] = {name: source_root(downloads[name].parent) for name in spec.sources}
    manifest = resolve(spec.target)(folder, dataset=folder.name, **settings)
    if not spec.embedded and spec.complete:
        found = sum(manifest.sizes[split] for split in ("train", "val", "test"))
        if found != spec.samples:
            raise DatasetError(
                f"{spec.kind} has {found:,} samples, {spec.samples:,} were published: the data are not complete. "
                "complete: false under dataset takes them as they are"
            )
    print(f"{manifest.dataset}: {len(manifest.classes)} classes, {manifest.sizes}, sha256 {manifest.sha256}")


if __name__ == "__main__":
    options = json.loads(snakemake.params.dataset)
    with job(snakemake, __file__, dataset_target(options)):
        torch.set_num_threads(snakemake.threads)
        build_dataset(
            options,
            Path(snakemake.output.manifest).parent,
            {name: Path(path) for name, path in snakemake.input.items()},
        )
