"""Training of one cell of an experiment, from its settings to its files, on one device or several."""

import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from unsmooth.atomic_files import atomic_path, remove_leftovers, sha256_of
from unsmooth.config.specs.recipes import Recipe
from unsmooth.data.arrays import read_manifest
from unsmooth.data.loading import prepared_embedding, training_loader
from unsmooth.losses import effective_smoothing, make_loss
from unsmooth.models import make_model, trained_model
from unsmooth.models.weights import write_weights
from unsmooth.runtime.provenance import canonical_json, git_commit, processor, versions
from unsmooth.training.distributed import process_group, rank, world_size
from unsmooth.training.loop import TrainingResult, train
from unsmooth.training.precision import usable_precision

SAVING_TIME_S = 300  # how long processes may take to save after SIGTERM, before they are killed
LAUNCHER_CHECK_S = 0.2


class CellTrainingError(RuntimeError):
    """A process of the training of a cell failed."""


@dataclass(frozen=True)
class CellJob:
    """Settings and paths of the training of a cell, as JSON can hold them."""

    # Architecture, loss, recipe, seed and teacher, see `unsmooth.config.kinds.Experiment.training`
    training: dict[str, Any]
    dataset: str  # folder of the prepared dataset
    cell: str  # folder of the results
    checkpoint: str  # file from which an interrupted training resumes; removed at the end
    code: str  # fingerprint of the training code
    device: str  # "cpu" or "cuda"
    workers: int = 0  # image-decoding processes of each device
    pretrained: str | None = None  # file of the initial weights; None for fresh ones
    teacher: str | None = None  # file of the weights of `training["teacher"]`; None without one


def launch(job: CellJob, *, devices: int) -> None:
    """Train a cell with one process per device of this machine; a single device needs no new process.

    SIGTERM reaches every process; each saves and ends.

    Raises:
        CellTrainingError: a process failed; the message is that of the first.
        SystemExit: with status 143 after SIGTERM, once the checkpoint is saved.
    """
    if devices == 1:
        return train_cell(job)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SAVING_TIME_S))
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder) / "job.json"
        description.write_text(json.dumps(asdict(job)))
        # As torchrun --standalone --nproc-per-node {devices} -m unsmooth.training.cell job.json, without its report
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "unsmooth.training.cell", str(description))
        except SignalException as signalled:
            raise SystemExit(128 + signalled.sigval) from None
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            text = failure.message if isinstance(failure.message, str) else failure.message["message"]
            raise CellTrainingError(f"process {number} of {devices}: {text}") from None


def train_cell(job: CellJob) -> None:
    """Train a cell; write model.safetensors, history.csv and run.json into its folder.

    A checkpoint is resumed only if settings, data, code and torch version are unchanged; the number of devices may
    differ. Every process calls this; the first one writes.
    """
    started = datetime.now(UTC)
    training, dataset, cell, checkpoint = job.training, Path(job.dataset), Path(job.cell), Path(job.checkpoint)
    if rank() == 0:
        remove_leftovers(checkpoint)
    recipe, manifest = Recipe.model_validate(training["recipe"]), read_manifest(dataset)
    torch.set_float32_matmul_precision(recipe.matmul_precision)
    loader = training_loader(
        dataset, recipe, device=job.device, rank=rank(), world_size=world_size(), workers=job.workers
    )
    num_classes = len(manifest.classes)
    torch.manual_seed(training["seed"])
    pretrained = None if job.pretrained is None else Path(job.pretrained)
    sizes = manifest.input_shape, num_classes, prepared_embedding(dataset)
    model = make_model(training["architecture"], *sizes, pretrained)
    loss = make_loss(**training["loss"], num_classes=num_classes, ignore_index=manifest.ignore_index)
    data = {"data_sha256": manifest.sha256}
    if pretrained is not None:
        data["pretrained_sha256"] = sha256_of(pretrained)
    teacher = None
    if job.teacher is not None:
        teacher = trained_model(Path(job.teacher), training["teacher"]["architecture"], *sizes)
        data["teacher_sha256"] = sha256_of(job.teacher)
    result = train(
        model,
        loss,
        loader,
        recipe,
        seed=training["seed"],
        device=job.device,
        num_classes=num_classes,
        teacher=teacher,
        checkpoint=checkpoint,
        fingerprint=canonical_json({"training": training, **data, "code": job.code, "torch": torch.__version__}),
    )
    if rank() > 0:
        return
    run = {
        **training,
        **data,
        **_smoothing(loss.smoothing, result.largest_target, num_classes),
        "epochs": recipe.epochs,
        "precision": usable_precision(recipe.precision, job.device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "started": started.isoformat(timespec="seconds"),
        "code": job.code,
        **_cost(result, job.device),
        "git_commit": git_commit(),
        "versions": versions("unsmooth", "torch", "torchvision", "numpy"),
    }
    with atomic_path(cell / "history.csv") as temporary:
        pd.DataFrame(result.history).to_csv(temporary, index=False)
    with atomic_path(cell / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=1) + "\n")
    write_weights(cell / "model.safetensors", model)
    checkpoint.unlink(missing_ok=True)


def _smoothing(alpha: float | None, largest_target: float, num_classes: int) -> dict[str, float | None]:
    """Return `alpha` and the mean target probability outside the largest class; None for soft targets of a model."""
    if alpha is None:
        return {"smoothing": None, "effective_smoothing": None}
    return {
        "smoothing": alpha,
        "effective_smoothing": effective_smoothing(largest_target, num_classes=num_classes, alpha=alpha),
    }


def _cost(result: TrainingResult, device: str) -> dict[str, Any]:
    """Return the cost of the training; memory is that of the first process and its device."""
    on_cpu = device == "cpu"
    return {
        "device": "cpu" if on_cpu else torch.cuda.get_device_name(device),
        "processor": processor(),
        "devices": world_size(),
        "wall_time_s": round(result.seconds, 2),
        "images_per_s": round(result.samples / result.seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_device_memory_mb": None if on_cpu else round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
    }


@record
def _train_together(job: CellJob) -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)  # other cores decode or serve other processes
    with process_group(job.device):
        train_cell(job)


def _end_with(launcher: int) -> None:
    """Send SIGTERM to this process once `launcher` is no longer its parent, which was killed."""
    while os.getppid() == launcher:
        time.sleep(LAUNCHER_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    try:
        _train_together(CellJob(**json.loads(Path(sys.argv[1]).read_text())))
    except Exception as error:
        # The launching process reports the errors of this package.
        if not type(error).__module__.startswith("unsmooth."):
            traceback.print_exc()
        raise SystemExit(1) from None
