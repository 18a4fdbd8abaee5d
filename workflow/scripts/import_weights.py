"""Import weights as those of a cell."""

import json
from pathlib import Path
from typing import Any

from unsmooth.atomic_files import atomic_path, sha256_of
from unsmooth.data.arrays import read_manifest
from unsmooth.data.loading import prepared_embedding
from unsmooth.models import make_model
from unsmooth.models.released import renamed
from unsmooth.models.weights import load_weights, read_weights, write_weights
from unsmooth.runtime.jobs import job
from unsmooth.runtime.provenance import git_commit, versions
from unsmooth.runtime.targets import architecture_target


def import_weights(architecture: dict[str, Any], source: str, weights: Path, dataset: Path, cell: Path) -> None:
    """Write `weights` as those of `cell`, and their origin `source` into run.json."""
    manifest = read_manifest(dataset)
    model = make_model(architecture, manifest.input_shape, len(manifest.classes), prepared_embedding(dataset))
    load_weights(model, renamed(read_weights(weights), architecture["kind"], model), source)
    run = {
        "dataset": manifest.dataset,
        "architecture": architecture,
        "weights": source,
        "weights_sha256": sha256_of(weights),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "git_commit": git_commit(),
        "versions": versions("unsmooth", "torch", "torchvision", "timm"),
    }
    with atomic_path(cell / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=1) + "\n")
    write_weights(cell / "model.safetensors", model)
    print(f"{source}: {run['parameters']:,} parameters, SHA-256 {run['weights_sha256']}")


if __name__ == "__main__":
    architecture = json.loads(snakemake.params.architecture)
    with job(snakemake, __file__, architecture_target(architecture)):
        import_weights(
            architecture,
            snakemake.params.source,
            Path(snakemake.input.weights),
            Path(snakemake.input.manifest).parent,
            Path(snakemake.output.model).parent,
        )
