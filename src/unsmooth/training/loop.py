"""The training loop: one function from a fresh model to its last checkpoint.

Random numbers come from generators seeded by seed and epoch; those of mixing and dropout also by step and shard. A
checkpoint holds the position, so an interrupted and resumed run ends with the same weights as an uninterrupted one,
bit for bit on a CPU.

A step follows the mean gradient over all samples of a batch, shard by shard (see `unsmooth.data.loading`). Several
processes, one per device, divide the shards; their number changes the weights by rounding alone.
"""

import hashlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from unsmooth.config.specs.recipes import Precision, Recipe
from unsmooth.data.loading import Loader, Shard
from unsmooth.losses import ClassificationLoss
from unsmooth.training.checkpoints import read_checkpoint, write_checkpoint
from unsmooth.training.distributed import any_process, deferred_sum, gathered, rank, synchronised, world_size
from unsmooth.training.mixing import mixed
from unsmooth.training.optimisation import clip_gradients, fixed_statistics, make_optimizer, make_schedule, perturbed
from unsmooth.training.precision import usable_precision

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
FINITE_CHECK_STEPS = 50  # interval, since reading a loss waits for the device
AGREEMENT_STEPS = 10  # interval at which processes agree whether to stop
LOG_INTERVAL_S = 30.0


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or nan."""


@dataclass
class TrainingResult:
    # One row per epoch: epoch (from 1), lr of its last step, mean training loss, training accuracy in [0, 1] (over
    # pixels for dense targets; over the class with the larger share for mixed samples)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # time spent in training steps, over all interruptions
    samples: int = 0  # training samples processed in that time by all processes
    # Mean over the last epoch of the largest target probability, after mixing and before smoothing; 1 without mixing
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
        model: returns logits (N, K), or (N, K, H, W) for dense targets; moved to `device`.
        loss: called in float32 as loss(logits, targets), with the logits of the teacher, if any, as third; returns the
            mean over samples. A `ClassificationLoss` is told of epochs, and its `ignore_index` counts nowhere.
        loader: the shards of this process, at least one per batch.
        recipe: optimizer, schedule, precision (see `unsmooth.training.precision`), ...; `batch_size` is the loader's.
        seed: with the epoch, decides order, augmentation, mixing and dropout.
        num_classes: K; needed only for mixing.
        teacher: trained model that gives the loss logits of the same inputs; moved to `device`, not changed.
        checkpoint: file to resume from, on any number of processes; saved after every epoch and at SIGTERM.
        fingerprint: identifies the training; a checkpoint with another one is not resumed.
        log: receives one line per epoch, from process 0.

    Returns:
        The history by epoch and the throughput, equal in all processes.

    Raises:
        ValueError: mixing without the number of classes.
        NonFiniteLossError: infinite or nan loss in any process; the message names epoch and step.
        SystemExit: with status 143 after SIGTERM to any process, once the checkpoint is saved.
    """
    training = _Training(
        model,
        loss,
        loader,
        recipe,
        seed=seed,
        device=torch.device(device),
        num_classes=num_classes,
        teacher=teacher,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        log=log if rank() == 0 else _silence,
    )
    training.resume()
    with _termination_request() as terminated:
        while training.epoch < recipe.epochs:
            training.train_epoch(terminated)
    return training.result


class _Training:
    """A training and its position: `epoch` and `step` come next."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        loader: Loader,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        num_classes: int | None,
        teacher: nn.Module | None,
        checkpoint: Path | None,
        fingerprint: str,
        log: Callable[[str], None],
    ) -> None:
        self.loss, self.loader, self.recipe, self.seed, self.device = loss, loader, recipe, seed, device
        self.checkpoint, self.fingerprint, self.log = checkpoint, fingerprint, log
        model.to(device).train()
        loss.to(device).train()
        if teacher is not None:
            teacher.to(device).eval()
        if recipe.channels_last:
            for network in filter(None, (model, teacher)):
                network.to(memory_format=torch.channels_last)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(self.parameters, recipe)
        self.schedule, self.steps_by_epoch = make_schedule(self.optimizer, recipe, len(loader))
        precision = usable_precision(recipe.precision, device)
        if precision != recipe.precision:
            log(f"precision: {precision} instead of the recipe's {recipe.precision}, which a CPU computes far slower")
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.add_gradient = _GradientSum(
            model, self.parameters, loss, recipe, precision, self.scaler, num_classes, teacher
        )
        self.generator = torch.Generator()
        self.stateful: dict[str, Any] = {
            "model": model,
            "loss": loss,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }
        self.result = TrainingResult()
        self.epoch = self.step = 0
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)  # of this process, see _sums
        self.seen = 0  # samples of this epoch behind the totals of all processes
        self.generator_state: Tensor | None = None  # of an epoch that is resumed at `step`

    def resume(self) -> None:
        """Take the position of the checkpoint, if there is one of this training."""
        if self.checkpoint is None:
            return
        if (state := read_checkpoint(self.checkpoint, self.fingerprint, self.log)) is not None:
            for name, part in self.stateful.items():
                part.load_state_dict(state[name])
            self.result = TrainingResult(**state["result"])
            self.epoch, self.step, self.seen = state["epoch"], state["step"], state["seen"]
            if self.step:
                self.generator_state = state["generator"]
                if rank() == 0:
                    self.totals += state["totals"].to(self.device)
            self.log(f"resumed at epoch {self.epoch + 1}, step {self.step + 1}")
        gathered(None)  # the file may be replaced only after all have read it

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        totals = self._totals_of_all()
        if rank() == 0:
            state: dict[str, Any] = {name: part.state_dict() for name, part in self.stateful.items()}
            state |= {"epoch": self.epoch, "step": self.step, "seen": self.seen}
            state |= {"generator": self.generator.get_state(), "totals": totals}
            state |= {"result": vars(self.result), "fingerprint": self.fingerprint}
            write_checkpoint(self.checkpoint, state)
        gathered(None)  # no process may end before the file is written

    def train_epoch(self, terminated: Callable[[], bool]) -> None:
        """Train the remaining steps of an epoch and save; SIGTERM ends the process after a step or the epoch."""
        self.generator.manual_seed(_derive_seed(self.seed, self.epoch))
        resume, self.generator_state = self.generator_state, None
        if isinstance(self.loss, ClassificationLoss):
            self.loss.start_epoch(self.epoch, self.recipe.epochs)
        unchecked: list[Tensor] = []  # losses of the last steps
        started, earlier = time.perf_counter(), self.seen
        logged = started
        for shards in self.loader.epoch(self.generator, start=self.step, resume=resume):
            lr = self.optimizer.param_groups[0]["lr"]
            unchecked += self._take_step(shards)
            asked = world_size() == 1 or self.step % AGREEMENT_STEPS == 0
            stop = asked and any_process(terminated())
            if self.step % FINITE_CHECK_STEPS == 0 or self.step == len(self.loader) or stop:
                _check_finite(unchecked, self.epoch, self.step, len(shards))
                unchecked.clear()
            now = time.perf_counter()
            if now - logged > LOG_INTERVAL_S:
                logged = now
                rate = (self.seen - earlier) / (now - started)
                position = f"epoch {self.epoch + 1}/{self.recipe.epochs}  step {self.step}/{len(self.loader)}"
                self.log(f"{position}  {rate:,.0f} samples/s")
            if stop and self.step < len(self.loader):
                self._count_time(started, earlier)
                self._save()
                self._exit(f"epoch {self.epoch + 1}, step {self.step}")
        self._end_epoch(lr, started, earlier)
        if any_process(terminated()) and self.epoch < self.recipe.epochs:
            self._exit(f"epoch {self.epoch}")

    def _take_step(self, shards: list[Shard]) -> list[Tensor]:
        """Take one step of the optimizer; return the losses of the shards."""
        size = sum(len(targets) for _, targets in shards)
        if world_size() > 1:
            # Only the last batch has another size: earlier ones need no communication.
            size = self.recipe.batch_size if self.step + 1 < len(self.loader) else sum(gathered(size))
        self.optimizer.zero_grad(set_to_none=True)
        losses, sums = self.add_gradient(shards, size, _derive_seed(self.seed, self.epoch, self.step))
        if self.recipe.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            clip_gradients(self.parameters, self.recipe.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if not self.steps_by_epoch:
            self.schedule.step()
        self.step += 1
        self.totals += sums
        self.seen += size
        return losses

    def _end_epoch(self, lr: float, started: float, earlier: int) -> None:
        if isinstance(self.loss, ClassificationLoss):
            self.loss.end_epoch()
        if self.steps_by_epoch:
            self.schedule.step()
        *sums, positions = self._totals_of_all().tolist()
        mean_loss, accuracy, self.result.largest_target = (total / positions for total in sums)
        speed = self._count_time(started, earlier)
        self.result.history.append({"epoch": self.epoch + 1, "lr": lr, "loss": mean_loss, "accuracy": accuracy})
        self.epoch, self.step, self.seen = self.epoch + 1, 0, 0
        self.totals.zero_()
        self._save()
        self.log(_epoch_line(self.result, self.recipe.epochs, speed))

    def _exit(self, position: str) -> NoReturn:
        self.log(f"SIGTERM: saved {position}; a rerun resumes here")
        raise SystemExit(128 + signal.SIGTERM)

    def _count_time(self, started: float, earlier: int) -> float:
        """Add the seconds since `started` and the samples since `earlier` to the result; return samples/s."""
        seconds, samples = time.perf_counter() - started, self.seen - earlier
        self.result.seconds += seconds
        self.result.samples += samples
        return samples / seconds

    def _totals_of_all(self) -> Tensor:
        return torch.stack(gathered(self.totals.cpu())).sum(dim=0)


class _GradientSum:
    """Gradient of a step, accumulated in the parameters shard by shard."""

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
        # dynamic=False: shards have one or two sizes, and others only in the last batch of an epoch.
        self.forward = torch.compile(self.network, dynamic=False) if recipe.compile else self.network

    def __call__(self, shards: list[Shard], size: int, seed: int) -> tuple[list[Tensor], Tensor]:
        """Add the gradient of the mean loss over the `size` samples of the batch; return the losses and `_sums`.

        `seed` and the index of the shard decide mixing and dropout. The first shard alone updates the running
        statistics of batch normalisation, as the first device does when every shard has its own.
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
        """Add the gradient at perturbed weights; return loss and logits at the weights themselves."""
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
            self.loss.eval()  # it learns at the unperturbed weights
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
    # torch.manual_seed also seeds absent devices lazily, with a stack trace for each: half a step of a small network.
    torch.default_generator.manual_seed(seed)
    if device_type == "cuda":
        torch.cuda.manual_seed(seed)


def _sums(value: Tensor, logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Sum over the positions of a shard that are not ignored: loss, correct predictions, largest targets, and 1."""
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
        f"{speed:,.0f} samples/s  {left:.0f} s left"
    )


def _silence(line: str) -> None:
    """Log nothing."""


def _check_finite(losses: list[Tensor], epoch: int, step: int, shards: int) -> None:
    """Check the losses of the last steps, `shards` per step, in all processes."""
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
    """Replace SIGTERM by a flag that the loop reads; outside the main thread it is never set."""
    received = False

    def remember(signal_number: int, frame: object) -> None:
        nonlocal received
        received = True

    try:
        previous = signal.signal(signal.SIGTERM, remember)
    except ValueError:  # only the main thread may handle signals
        yield lambda: False
        return
    try:
        yield lambda: received
    finally:
        signal.signal(signal.SIGTERM, previous)
