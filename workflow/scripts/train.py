"""Train one cell."""

import json
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from unsmooth.data.arrays import load_split, read_manifest
from unsmooth.data.loading import TensorLoader
from unsmooth.files import atomic_path
from unsmooth.jobs import job_log
from unsmooth.losses import make_loss
from unsmooth.models import make_model
from unsmooth.provenance import canonical_json, code_hash, git_commit, versions
from unsmooth.specs import Architecture, Recipe, module_file
from unsmooth.training import train


def train_cell(training: dict[str, Any], dataset: Path, cell: Path, checkpoint: Path, device: str) -> None:
    """Train what `training` describes; write model.safetensors, history.csv and run.json into the folder `cell`.

    A checkpoint is resumed only where settings, data, code and torch are those that wrote it.
    """
    started = datetime.now(UTC)
    for left_by_a_kill in cell.glob(f".{checkpoint.stem}-*"):
        left_by_a_kill.unlink()
    architecture = TypeAdapter(Architecture).validate_python(training["architecture"])
    code = code_hash(__file__, module_file(architecture.target))
    manifest, split = read_manifest(dataset), load_split(dataset, "train")
    recipe = Recipe.model_validate(training["recipe"])
    loader = TensorLoader(
        split.inputs,
        split.targets,
        batch_size=recipe.batch_size,
        mean=manifest.mean,
        std=manifest.std,
        device=device,
        **recipe.augmentation.model_dump(),
    )
    torch.manual_seed(training["seed"])
    model = make_model(training["architecture"], manifest.input_shape, len(manifest.classes))
    result = train(
        model,
        make_loss(**training["loss"]),
        loader,
        recipe,
        seed=training["seed"],
        device=device,
        checkpoint=checkpoint,
        fingerprint=canonical_json(
            {"training": training, "data": manifest.sha256, "code": code, "torch": torch.__version__}
        ),
    )
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    run = {
        **training,
        "data_sha256": manifest.sha256,
        "epochs": recipe.epochs,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "started": started.isoformat(timespec="seconds"),
        "wall_time_s": round(result.seconds, 2),
        "images_per_s": round(result.samples / result.seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_device_memory_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if device != "cpu" else None,
        "code": code,
        "git_commit": git_commit(),
        "versions": versions("unsmooth", "torch", "torchvision", "numpy"),
    }
    with atomic_path(cell / "history.csv") as temporary:
        pd.DataFrame(result.history).to_csv(temporary, index=False)
    with atomic_path(cell / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=1) + "\n")
    with atomic_path(cell / "model.safetensors") as temporary:
        save_file(weights, temporary)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        began = time.perf_counter()
        train_cell(
            json.loads(snakemake.params.training),
            Path(snakemake.input.manifest).parent,
            Path(snakemake.output.model).parent,
            Path(snakemake.params.checkpoint),
            "cuda" if torch.cuda.is_available() else "cpu",
        )
        print(f"done in {time.perf_counter() - began:.1f} s")
