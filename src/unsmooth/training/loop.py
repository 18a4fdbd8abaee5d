"""The training loop: one function from a fresh model to its last checkpoint.

Everything random is drawn from generators seeded by seed and epoch, and for mixing samples and for dropout by step and
shard too; a checkpoint holds the position, so that a run killed at any moment and started again ends with the same
weights, bit for bit on a CPU, as one that was never interrupted.

A step takes the shards of a batch (see `unsmooth.data.loading`) and follows the mean gradient over all its samples.
Several processes, one a device, divide the shards between them. How many there are changes the weights by rounding
alone.
"""

import hashlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unsmooth.config.specs import Recipe
from unsmooth.config.specs.recipes import Precision
from unsmooth.data.loading import Loader, Shard
from unsmooth.losses import ClassificationLoss
from unsmooth.training.checkpoints import read_checkpoint, write_checkpoint
from unsmooth.training.distributed import any_process, deferred_sum, gathered, rank, synchronised, world_size
from unsmooth.training.mixing import mixed
from unsmooth.training.optimisation import clip_gradients, fixed_statistics, make_optimizer, make_schedule, perturbed
from unsmooth.training.precision import usable_precision

__all__ = ["NonFiniteLossError", "TrainingResult", "train"]

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
FINITE_CHECK_STEPS = 50  # reading a loss waits for the device, so losses are looked at this often
AGREEMENT_STEPS = 10  # several processes ask each other this often whether one of them is to stop
LOG_INTERVAL_S = 30.0


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or nan."""


@dataclass
class TrainingResult:
    """What a finished training has to report.

    Attributes:
        history: one row an epoch: epoch (from 1), lr of its last step, mean training loss, training accuracy in [0, 1]
            (of pixels, where each has a target); a prediction for mixed samples is right where it is the class with the
            larger share.
        seconds: time spent in training steps, over all interruptions.
        samples: training samples processed in that time, by all processes.
        largest_target: mean over the last epoch of the largest probability in a target, mixed but not yet smoothed; 1
            where nothing was mixed.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    samples: int = 0
    largest_target: float = math.nan


def train(
    model: nn.Module,
    loss: nn.Module,
    loader: Loader,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    num_classes: int | None = None,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    log: Callable[[str], None] = print,
) -> TrainingResult:
    """Train `model` in place and return its history.

    Args:
        model: returns logits (N, K), or (N, K, H, W) where each pixel has a target; moved to `device`.
        loss: called as loss(logits, targets) in float32, with the teacher's logits behind them where there is one; the
            mean over its samples. A `ClassificationLoss` is told when epochs start and end, and what it has learnt is
            part of the checkpoint. Targets of its `ignore_index` count nowhere.
        loader: the shards of this process; no batch may leave it without one.
        recipe: optimizer, schedule, precision and the rest; its `batch_size` is the loader's. Where the device has no
            fast fp16, another precision trains; see `unsmooth.training.precision`.
        seed: with the epoch, decides order, augmentation, mixing and dropout.
        device: "cpu", "cuda", "cuda:1", ...
        num_classes: K; needed only where `recipe` mixes samples.
        teacher: trained model whose logits for the same inputs the loss is to be given; moved to `device`, not changed.
        checkpoint: file to resume from and to save to after every epoch and at SIGTERM; None keeps nothing. Any number
            of processes may go on from it.
        fingerprint: identifies what is being trained; a checkpoint with another one is not resumed.
        log: receives one line an epoch, from process 0.

    Returns:
        The history by epoch and the throughput, equal in all processes.

    Raises:
        ValueError: a recipe that mixes samples without the number of classes.
        NonFiniteLossError: a loss was infinite or nan in any process; the message names epoch and step.
        SystemExit: with status 143 after SIGTERM to any process, once the checkpoint is saved.
    """
    device = torch.device(device)
    if rank() > 0:
        log = _silence
    model.to(device).train()
    loss.to(device).train()
    if teacher is not None:
        teacher.to(device).eval()
    if recipe.channels_last:
        for network in filter(None, (model, teacher)):
            network.to(memory_format=torch.channels_last)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(parameters, recipe)
    schedule, steps_by_epoch = make_schedule(optimizer, recipe, len(loader))
    precision = usable_precision(recipe.precision, device)
    if precision != recipe.precision:
        log(f"precision: {precision} instead of the recipe's {recipe.precision}, which a CPU computes far slower")
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    add_gradient = _GradientSum(model, parameters, loss, recipe, precision, scaler, num_classes, teacher)
    generator = torch.Generator()

    result = TrainingResult()
    epoch = step = 0
    totals = torch.zeros(4, dtype=torch.float64, device=device)  # this process's, see _sums
    seen = 0  # samples behind the totals of all processes
    resumed: dict[str, Any] | None = None
    parts: dict[str, Any] = {
        "model": model,
        "loss": loss,
        "optimizer": optimizer,
        "schedule": schedule,
        "scaler": scaler,
    }

    def save() -> None:
        if checkpoint is None:
            return
        everyones = torch.stack(gathered(totals.cpu())).sum(dim=0)
        if rank() == 0:
            state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
            state |= {"epoch": epoch, "step": step, "seen": seen, "generator": generator.get_state()}
            state |= {"totals": everyones, "result": vars(result), "fingerprint": fingerprint}
            write_checkpoint(checkpoint, state)
        gathered(None)  # no process may end before the file is written

    if checkpoint is not None and (state := read_checkpoint(checkpoint, fingerprint, log)) is not None:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        result = TrainingResult(**state["result"])
        epoch, step, seen = state["epoch"], state["step"], state["seen"]
        resumed = state if step else None
        log(f"resumed at epoch {epoch + 1}, step {step + 1}")
    gathered(None)  # the file may be replaced only when all have read it

    with _termination_request() as terminated:
        while epoch < recipe.epochs:
            generator.manual_seed(_derive_seed(seed, epoch))
            if isinstance(loss, ClassificationLoss):
                loss.start_epoch(epoch, recipe.epochs)
            resume = None
            if resumed is not None:
                resume = resumed["generator"]
                if rank() == 0:
                    totals += resumed["totals"].to(device)
                resumed = None
            losses: list[Tensor] = []  # not yet checked
            started = logged = time.perf_counter()
            earlier = seen
            for shards in loader.epoch(generator, start=step, resume=resume):
                size = sum(len(targets) for _, targets in shards)
                if world_size() > 1:
                    # Only the last batch has another size: no need to ask the other processes before.
                    size = recipe.batch_size if step + 1 < len(loader) else sum(gathered(size))
                lr = optimizer.param_groups[0]["lr"]
                optimizer.zero_grad(set_to_none=True)
                values, sums = add_gradient(shards, size, _derive_seed(seed, epoch, step))
                if recipe.gradient_clip is not None:
                    scaler.unscale_(optimizer)
                    clip_gradients(parameters, recipe.gradient_clip)
                scaler.step(optimizer)
                scaler.update()
                step += 1
                if not steps_by_epoch:
                    schedule.step()

                losses += values
                totals += sums
                seen += size
                asked = world_size() == 1 or step % AGREEMENT_STEPS == 0
                stop = asked and any_process(terminated())
                if step % FINITE_CHECK_STEPS == 0 or step == len(loader) or stop:
                    _check_finite(losses, epoch, step, len(shards))
                    losses.clear()
                now = time.perf_counter()
                if now - logged > LOG_INTERVAL_S:
                    logged = now
                    rate = (seen - earlier) / (now - started)
                    log(f"epoch {epoch + 1}/{recipe.epochs}  step {step}/{len(loader)}  {rate:,.0f} images/s")
                if stop and step < len(loader):
                    result.seconds += time.perf_counter() - started
                    result.samples += seen - earlier
                    save()
                    log(f"SIGTERM: saved epoch {epoch + 1}, step {step}; a rerun goes on from here")
                    raise SystemExit(128 + signal.SIGTERM)

            if isinstance(loss, ClassificationLoss):
                loss.end_epoch()
            if steps_by_epoch:
                schedule.step()
            *everyones, positions = torch.stack(gathered(totals.cpu())).sum(dim=0).tolist()
            mean_loss, accuracy, result.largest_target = (total / positions for total in everyones)
            seconds = time.perf_counter() - started
            speed = (seen - earlier) / seconds
            result.seconds += seconds
            result.samples += seen - earlier
            result.history.append({"epoch": epoch + 1, "lr": lr, "loss": mean_loss, "accuracy": accuracy})
            epoch, step, seen = epoch + 1, 0, 0
            totals.zero_()
            save()
            log(_epoch_line(result, recipe.epochs, speed))
            if any_process(terminated()) and epoch < recipe.epochs:
                log(f"SIGTERM: saved epoch {epoch}; a rerun goes on from here")
                raise SystemExit(128 + signal.SIGTERM)
    return result


class _GradientSum:
    """Adds the gradient of a step to the parameters, shard by shard."""

    def __init__(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        loss: nn.Module,
        recipe: Recipe,
        precision: Precision,
        scaler: torch.amp.GradScaler,
        num_classes: int | None,
        teacher: nn.Module | None,
    ) -> None:
        self.model, self.parameters, self.loss, self.recipe = model, parameters, loss, recipe
        self.precision, self.scaler = precision, scaler
        self.num_classes, self.teacher = num_classes, teacher
        self.ignore_index = loss.ignore_index if isinstance(loss, ClassificationLoss) else -100
        self.device_type = parameters[0].device.type
        self.network = synchronised(model)
        # dynamic=False: shards have one size or two, and others in the last batch of an epoch only.
        self.forward = torch.compile(self.network, dynamic=False) if recipe.compile else self.network

    def __call__(self, shards: list[Shard], size: int, seed: int) -> tuple[list[Tensor], Tensor]:
        """Add the gradient of the mean loss over the `size` samples of the batch; return the losses and `_sums`.

        `seed` and the number of the shard decide mixing and dropout. The first shard alone moves the running statistics
        of batch normalisation, as those of the first device do where every shard has its own.
        """
        values, sums = [], torch.zeros(4, dtype=torch.float64, device=self.parameters[0].device)
        for place, (inputs, targets) in enumerate(shards):
            if targets.ndim not in (1, 3) or targets.is_floating_point():
                raise ValueError(
                    f"targets must be (B,) or (B, H, W) class indices, got {tuple(targets.shape)} {targets.dtype}"
                )
            shard = rank() + place * world_size()
            _seed_global(seed + shard, self.device_type)
            inputs, targets = mixed(
                inputs, targets, self.recipe, num_classes=self.num_classes, ignore_index=self.ignore_index
            )
            against = (targets,) if self.teacher is None else (targets, self._teacher_logits(inputs))
            weight = world_size() * len(targets) / size  # gradients are averaged over processes
            statistics = nullcontext() if shard == 0 else fixed_statistics(self.model)
            with deferred_sum(self.network, place + 1 < len(shards)), statistics:
                add = self._add if self.recipe.sam is None else self._add_at_perturbed_weights
                value, logits = add(inputs, against, weight)
            values.append(value)
            sums += _sums(value, logits, targets, self.ignore_index)
        return values, sums

    def _add(self, inputs: Tensor, against: tuple[Tensor, ...], weight: float) -> tuple[Tensor, Tensor]:
        """Add the gradient of one shard; return loss and logits."""
        value, logits = self._evaluate(inputs, against)
        self.scaler.scale(value if weight == 1 else value * weight).backward()
        return value.detach(), logits.detach()

    def _add_at_perturbed_weights(
        self, inputs: Tensor, against: tuple[Tensor, ...], weight: float
    ) -> tuple[Tensor, Tensor]:
        """Take the gradient where that of this shard alone points to; loss and logits are of the weights themselves."""
        assert self.recipe.sam is not None
        sums = [parameter.grad for parameter in self.parameters]
        self._set_gradients([None] * len(sums))
        with deferred_sum(self.network, True):
            value, logits = self._evaluate(inputs, against)
            value.backward()
        if self.recipe.gradient_clip is not None:
            clip_gradients(self.parameters, self.recipe.gradient_clip)
        with perturbed(self.parameters, self.recipe.sam.rho), fixed_statistics(self.model):
            self._set_gradients(sums)
            self.loss.eval()  # it learns at the weights themselves
            self._add(inputs, against, weight)
            self.loss.train()
        return value.detach(), logits.detach()

    def _evaluate(self, inputs: Tensor, against: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        logits = self._logits(self.forward, inputs)
        return self.loss(logits, *against), logits

    @torch.no_grad()
    def _teacher_logits(self, inputs: Tensor) -> Tensor:
        assert self.teacher is not None
        return self._logits(self.teacher, inputs)

    def _logits(self, network: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        if inputs.ndim == 4 and not self.recipe.channels_last:
            inputs = inputs.contiguous()
        with torch.autocast(self.device_type, AUTOCAST[self.precision], enabled=self.precision != "fp32"):
            return network(inputs).float()

    def _set_gradients(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient


def _seed_global(seed: int, device_type: str) -> None:
    """Seed the global generators that mixing (CPU) and dropout (the device) draw from.

    `torch.manual_seed` also seeds devices that are not there, later, and formats a stack trace for each: half a step of
    a small network.
    """
    torch.default_generator.manual_seed(seed)
    if device_type == "cuda":
        torch.cuda.manual_seed(seed)


def _sums(value: Tensor, logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Sum over the positions of a shard that are not ignored: loss, right predictions, largest targets, and 1."""
    if targets.is_floating_point():
        largest, labels = targets.max(dim=1)
        kept = largest > 0
    else:
        labels, kept = targets, targets != ignore_index
        largest = kept
    right = kept & (logits.argmax(dim=1) == labels)
    positions = kept.sum()
    return torch.stack([value.double() * positions, right.sum(), largest.sum(), positions])


def _epoch_line(result: TrainingResult, epochs: int, speed: float) -> str:
    last = result.history[-1]
    left = (epochs - last["epoch"]) * result.seconds / last["epoch"]
    return (
        f"epoch {last['epoch']}/{epochs}  loss {last['loss']:.4f}  accuracy {100 * last['accuracy']:.2f} %  "
        f"{speed:,.0f} images/s  {left:.0f} s left"
    )


def _silence(line: str) -> None:
    """Log nothing."""


def _check_finite(losses: list[Tensor], epoch: int, step: int, shards: int) -> None:
    """Look at the `shards` losses of each of the last steps, in all processes."""
    finite = torch.stack(losses).isfinite().tolist()
    found = None
    if not all(finite):
        first = finite.index(False)
        found = step - (len(losses) - 1 - first) // shards, losses[first].item()
    if faults := [fault for fault in gathered(found) if fault is not None]:
        first, value = min(faults)
        raise NonFiniteLossError(f"loss is {value} at epoch {epoch + 1}, step {first}")


def _derive_seed(*numbers: int) -> int:
    digest = hashlib.sha256("/".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def _termination_request() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM into a question the loop can ask; outside the main thread it is never asked."""
    received = False

    def remember(signal_number: int, frame: object) -> None:
        nonlocal received
        received = True

    try:
        previous = signal.signal(signal.SIGTERM, remember)
    except ValueError:  # only the main thread may listen for signals
        yield lambda: False
        return
    try:
        yield lambda: received
    finally:
        signal.signal(signal.SIGTERM, previous)
