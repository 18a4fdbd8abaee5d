"""The training loop: one function from a fresh model to its last checkpoint.

Everything random in an epoch is drawn from a generator seeded by (seed, epoch), and a checkpoint holds the position
and the random states, so that a run killed at any moment and started again ends with the same weights, bit for bit on
a CPU, as one that was never interrupted.
"""

import hashlib
import io
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim import lr_scheduler as schedules

from unsmooth.files import atomic_path
from unsmooth.specs import Recipe

__all__ = ["Loader", "NonFiniteLossError", "TrainingResult", "make_schedule", "train"]

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
FINITE_CHECK_STEPS = 50  # reading a loss waits for the device, so losses are looked at this often
LOG_INTERVAL_S = 30.0


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or nan."""


class Loader(Protocol):
    """Batches of training data, in an order drawn from the generator."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(
        self, generator: torch.Generator, *, start: int, resume: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) on the device, from batch `start`, whose random state is `resume`, on."""
        ...


@dataclass
class TrainingResult:
    """What a finished training has to report.

    Attributes:
        history: one row an epoch: epoch (from 1), lr of its last step, mean training loss, training accuracy in [0, 1].
        seconds: time spent in training steps, over all interruptions.
        samples: training samples processed in that time.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    samples: int = 0


def train(
    model: nn.Module,
    loss: nn.Module,
    loader: Loader,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    fingerprint: str = "",
    log: Callable[[str], None] = print,
) -> TrainingResult:
    """Train `model` in place and return its history.

    Args:
        model: returns logits (N, K); moved to `device`.
        loss: called as loss(logits, targets) in float32.
        loader: the training batches.
        recipe: optimizer, schedule, precision and the rest.
        seed: with the epoch, decides order, augmentation and dropout.
        device: "cpu", "cuda", "cuda:1", ...
        checkpoint: file to resume from and to save to after every epoch and at SIGTERM; None keeps nothing.
        fingerprint: identifies what is being trained; a checkpoint with another one is not resumed.
        log: receives one line an epoch.

    Returns:
        The history by epoch and the throughput.

    Raises:
        NonFiniteLossError: a loss was infinite or nan; the message names epoch and step.
        SystemExit: with status 143 after SIGTERM, once the checkpoint is saved.
    """
    device = torch.device(device)
    model.to(device).train()
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = _make_optimizer(model, recipe)
    schedule, steps_by_epoch = make_schedule(optimizer, recipe, len(loader))
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    # dynamic=False: only the last batch of an epoch has another size.
    forward = torch.compile(model, dynamic=False) if recipe.compile else model
    generator = torch.Generator()

    result = TrainingResult()
    epoch = step = 0
    totals = torch.zeros(2, dtype=torch.float64, device=device)  # summed loss, correct predictions of this epoch
    seen = 0  # samples behind the totals
    random_states: dict[str, Tensor] | None = None
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}

    def save() -> None:
        if checkpoint is not None:
            state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
            position = {"epoch": epoch, "step": step, "totals": totals, "seen": seen}
            state |= {"position": position, "random": _random_states(generator, device), "result": vars(result)}
            _write_checkpoint(checkpoint, state | {"fingerprint": fingerprint})

    if checkpoint is not None and (state := _read_checkpoint(checkpoint, fingerprint, log)) is not None:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        result = TrainingResult(**state["result"])
        epoch, step, seen = (state["position"][name] for name in ("epoch", "step", "seen"))
        totals = state["position"]["totals"].to(device)
        random_states = state["random"] if step else None
        log(f"resumed at epoch {epoch + 1}, step {step + 1}")

    with _termination_request() as terminated:
        while epoch < recipe.epochs:
            generator.manual_seed(_derive_seed(seed, epoch))
            torch.manual_seed(_derive_seed(seed, epoch))
            resume = None
            if random_states is not None:
                resume = random_states["generator"]
                torch.set_rng_state(random_states["cpu"])
                if "device" in random_states:
                    torch.cuda.set_rng_state(random_states["device"], device)
                random_states = None
            losses: list[Tensor] = []  # not yet checked
            started = logged = time.perf_counter()
            earlier = seen
            for inputs, targets in loader.epoch(generator, start=step, resume=resume):
                lr = optimizer.param_groups[0]["lr"]
                with torch.autocast(device.type, AUTOCAST[recipe.precision], enabled=recipe.precision != "fp32"):
                    logits = forward(inputs)
                logits = logits.float()
                value = loss(logits, targets)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(value).backward()
                if recipe.gradient_clip is not None:
                    scaler.unscale_(optimizer)
                    _clip_gradients(model, recipe)
                scaler.step(optimizer)
                scaler.update()
                step += 1
                if not steps_by_epoch:
                    schedule.step()

                losses.append(value.detach())
                correct = (logits.detach().argmax(dim=1) == targets).sum()
                totals += torch.stack([losses[-1].double() * len(targets), correct.double()])
                seen += len(targets)
                stop = terminated()
                if len(losses) == FINITE_CHECK_STEPS or step == len(loader) or stop:
                    _check_finite(losses, epoch, step)
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

            if steps_by_epoch:
                schedule.step()
            mean_loss, accuracy = (totals / seen).tolist()
            seconds = time.perf_counter() - started
            result.seconds += seconds
            result.samples += seen - earlier
            result.history.append({"epoch": epoch + 1, "lr": lr, "loss": mean_loss, "accuracy": accuracy})
            rate, left = (seen - earlier) / seconds, (recipe.epochs - epoch - 1) * result.seconds / (epoch + 1)
            line = (
                f"epoch {epoch + 1}/{recipe.epochs}  loss {mean_loss:.4f}  accuracy {100 * accuracy:.2f} %  "
                f"{rate:,.0f} images/s  {left:.0f} s left"
            )
            epoch, step, seen = epoch + 1, 0, 0
            totals.zero_()
            save()
            log(line)
            if terminated() and epoch < recipe.epochs:
                log(f"SIGTERM: saved epoch {epoch}; a rerun goes on from here")
                raise SystemExit(128 + signal.SIGTERM)
    return result


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> tuple[schedules.LRScheduler, bool]:
    """Return the learning-rate schedule, and whether it is stepped once an epoch instead of once a step.

    Args:
        optimizer: holds the peak learning rate.
        recipe: its `schedule`, `warmup` and `epochs`.
        steps_per_epoch: number of batches.

    Raises:
        ValueError: a warm-up as long as training or longer.
    """
    spec, warmup = recipe.schedule, recipe.warmup
    total_steps = recipe.epochs * steps_per_epoch
    if spec.kind == "one_cycle":
        return schedules.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps + 1,  # stepped once more after the last update
            pct_start=spec.rise,
            anneal_strategy="cos" if spec.anneal == "cosine" else "linear",
            cycle_momentum=False,
            div_factor=1 / spec.initial,
            final_div_factor=spec.initial / spec.final,
        ), False
    by_epoch = spec.kind == "cosine" and spec.unit == "epoch"
    total = recipe.epochs if by_epoch else total_steps
    rise = 0
    if warmup is not None:
        rise = warmup.epochs * (1 if by_epoch else steps_per_epoch) if warmup.epochs else warmup.steps or 0
        if rise >= total:
            raise ValueError(f"warmup must be shorter than training: {rise} of {total} schedule steps")
    main: schedules.LRScheduler
    if spec.kind == "cosine":
        peak = optimizer.param_groups[0]["lr"]
        main = schedules.CosineAnnealingLR(optimizer, T_max=total - rise, eta_min=spec.final * peak)
    elif spec.kind == "multistep":
        milestones = [epoch * steps_per_epoch - rise for epoch in spec.milestones]
        main = schedules.MultiStepLR(optimizer, milestones, gamma=spec.factor)
    else:
        main = schedules.ConstantLR(optimizer, factor=1.0)
    if warmup is None:
        return main, by_epoch
    linear = schedules.LinearLR(optimizer, start_factor=warmup.initial, total_iters=rise)
    return schedules.SequentialLR(optimizer, [linear, main], milestones=[rise]), by_epoch


def _make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    spec = recipe.optimizer
    settings = spec.model_dump(exclude={"kind"})
    return SGD(model.parameters(), **settings) if spec.kind == "sgd" else AdamW(model.parameters(), **settings)


def _clip_gradients(model: nn.Module, recipe: Recipe) -> None:
    assert recipe.gradient_clip is not None
    clip = nn.utils.clip_grad_norm_ if recipe.gradient_clip.kind == "norm" else nn.utils.clip_grad_value_
    clip(model.parameters(), recipe.gradient_clip.limit)


def _check_finite(losses: list[Tensor], epoch: int, step: int) -> None:
    finite = torch.stack(losses).isfinite().tolist()
    if not all(finite):
        first = step - len(losses) + finite.index(False) + 1
        raise NonFiniteLossError(f"loss is {losses[finite.index(False)].item()} at epoch {epoch + 1}, step {first}")


def _derive_seed(seed: int, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _random_states(generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    states = {"generator": generator.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state(device)
    return states


def _write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state behind its own SHA-256, so that damage shows before anything is resumed."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def _read_checkpoint(path: Path, fingerprint: str, log: Callable[[str], None]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        log(f"{path.name} is damaged: training starts from the beginning")
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        log(f"{path.name} belongs to another configuration: training starts from the beginning")
        return None
    return state


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
