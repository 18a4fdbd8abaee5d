"""Training of one cell of an experiment, from its description to its files, on one device or on several."""

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
from safetensors.torch import save_file
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from unsmooth.data.arrays import read_manifest
from unsmooth.data.loading import prepared_embedding, training_loader
from unsmooth.distributed import process_group, rank, world_size
from unsmooth.files import atomic_path
from unsmooth.losses import make_loss
from unsmooth.models import make_model
from unsmooth.provenance import canonical_json, git_commit, versions
from unsmooth.specs import Recipe
from unsmooth.training import TrainingResult, train

__all__ = ["CellJob", "CellTrainingError", "launch", "train_cell"]

SAVING_TIME_S = 300  # how long processes may take to save after SIGTERM, before they are killed
LAUNCHER_CHECK_S = 0.2


class CellTrainingError(RuntimeError):
    """One of the processes that train a cell failed."""


@dataclass(frozen=True)
class CellJob:
    """What to train, as plain data that JSON can hold.

    Attributes:
        training: architecture, loss, recipe and seed, see `unsmooth.experiment.Experiment.training`.
        dataset: folder of the prepared dataset.
        cell: folder of the results.
        checkpoint: file from which an interrupted training goes on; removed at the end.
        code: fingerprint of the training code.
        device: "cpu" or "cuda".
        workers: processes that decode image files, for each device.
    """

    training: dict[str, Any]
    dataset: str
    cell: str
    checkpoint: str
    code: str
    device: str
    workers: int = 0


def launch(job: CellJob, *, devices: int) -> None:
    """Train a cell on several devices of this machine, in one process each.

    With one device it trains in this process. SIGTERM reaches every process; they save and end.

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
        # As torchrun --standalone --nproc-per-node {devices} -m unsmooth.cell_training job.json, on this host's own
        # address, without restarts and without torchrun's report of a failure.
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
            elastic_launch(config, sys.executable)("-m", "unsmooth.cell_training", str(description))
        except SignalException as signalled:
            raise SystemExit(128 + signalled.sigval) from None
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            text = failure.message if isinstance(failure.message, str) else failure.message["message"]
            raise CellTrainingError(f"process {number} of {devices}: {text}") from None


def train_cell(job: CellJob) -> None:
    """Train a cell; write model.safetensors, history.csv and run.json into its folder.

    A checkpoint is resumed only where settings, data, code and torch are those that wrote it; on how many devices does
    not matter. Of several processes, all come here and the first writes.
    """
    started = datetime.now(UTC)
    training, dataset, cell, checkpoint = job.training, Path(job.dataset), Path(job.cell), Path(job.checkpoint)
    if rank() == 0:
        for left_by_a_kill in cell.glob(f".{checkpoint.stem}-*"):
            left_by_a_kill.unlink()
    recipe, manifest = Recipe.model_validate(training["recipe"]), read_manifest(dataset)
    torch.set_float32_matmul_precision(recipe.matmul_precision)
    loader = training_loader(
        dataset, recipe, device=job.device, rank=rank(), world_size=world_size(), workers=job.workers
    )
    torch.manual_seed(training["seed"])
    model = make_model(
        training["architecture"], manifest.input_shape, len(manifest.classes), prepared_embedding(dataset)
    )
    result = train(
        model,
        make_loss(**training["loss"], num_classes=len(manifest.classes), ignore_index=manifest.ignore_index),
        loader,
        recipe,
        seed=training["seed"],
        device=job.device,
        checkpoint=checkpoint,
        fingerprint=canonical_json(
            {"training": training, "data": manifest.sha256, "code": job.code, "torch": torch.__version__}
        ),
    )
    if rank() > 0:
        return
    run = {
        **training,
        "data_sha256": manifest.sha256,
        "epochs": recipe.epochs,
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
    with atomic_path(cell / "model.safetensors") as temporary:
        save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, temporary)
    checkpoint.unlink(missing_ok=True)


def _cost(result: TrainingResult, device: str) -> dict[str, Any]:
    """Return what the training took; memory is that of the first process and of its device."""
    on_cpu = device == "cpu"
    return {
        "device": "cpu" if on_cpu else torch.cuda.get_device_name(device),
        "devices": world_size(),
        "wall_time_s": round(result.seconds, 2),
        "images_per_s": round(result.samples / result.seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_device_memory_mb": None if on_cpu else round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
    }


@record
def _train_together(job: CellJob) -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)  # the other cores decode, or belong to the other processes
    with process_group(job.device):
        train_cell(job)


def _end_with(launcher: int) -> None:
    """Send SIGTERM to this process once `launcher`, which was killed, is no longer its parent."""
    while os.getppid() == launcher:
        time.sleep(LAUNCHER_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    try:
        _train_together(CellJob(**json.loads(Path(sys.argv[1]).read_text())))
    except Exception as error:
        # What this package raises on purpose is reported by the process that launched this one.
        if not type(error).__module__.startswith("unsmooth."):
            traceback.print_exc()
        raise SystemExit(1) from None
