"""Optimizers, learning-rate schedules, gradient clipping and sharpness-aware minimisation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import lr_scheduler as schedules

from unsmooth.config.specs.recipes import GradientClip, Recipe

OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def make_optimizer(parameters: Sequence[nn.Parameter], recipe: Recipe) -> Optimizer:
    """Return the optimizer of `recipe`, with one set of hyperparameters for all `parameters`."""
    return OPTIMIZERS[recipe.optimizer.kind](parameters, **recipe.optimizer.model_dump(exclude={"kind"}), fused=True)


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> tuple[schedules.LRScheduler, bool]:
    """Return the learning-rate schedule of a recipe, and whether it steps by epoch instead of by batch.

    The peak learning rate is the optimizer's. ValueError for a warm-up as long as training or longer.
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
    by_epoch = getattr(spec, "unit", "step") == "epoch"
    total = (getattr(spec, "epochs", None) or recipe.epochs) * (1 if by_epoch else steps_per_epoch)
    rise = 0
    if warmup is not None:
        rise = warmup.epochs * (1 if by_epoch else steps_per_epoch) if warmup.epochs else warmup.steps or 0
        if rise >= total:
            raise ValueError(f"warmup must be shorter than training: {rise} of {total} schedule steps")
    main: schedules.LRScheduler
    if spec.kind == "cosine":
        peak = optimizer.param_groups[0]["lr"]
        main = schedules.CosineAnnealingLR(optimizer, T_max=total - rise, eta_min=spec.final * peak)
    elif spec.kind == "polynomial":
        main = schedules.PolynomialLR(optimizer, total_iters=total - rise, power=spec.power)
    elif spec.kind == "multistep":
        milestones = [epoch * steps_per_epoch - rise for epoch in spec.milestones]
        main = schedules.MultiStepLR(optimizer, milestones, gamma=spec.factor)
    else:
        main = schedules.ConstantLR(optimizer, factor=1.0)
    if warmup is None:
        return main, by_epoch
    linear = schedules.LinearLR(optimizer, start_factor=warmup.initial, total_iters=rise)
    return schedules.SequentialLR(optimizer, [linear, main], milestones=[rise]), by_epoch


def clip_gradients(parameters: Sequence[nn.Parameter], clip: GradientClip) -> None:
    """Clip the gradients of `parameters` in place, by global L2 norm or by element."""
    bound = nn.utils.clip_grad_norm_ if clip.kind == "norm" else nn.utils.clip_grad_value_
    bound(parameters, clip.limit)


@contextmanager
def perturbed(parameters: Sequence[nn.Parameter], rho: float) -> Iterator[None]:
    """Move the weights w to w + rho g / (|g| + 1e-12) for the block, then restore w exactly.

    g are the gradients at the beginning of the block and |g| is their L2 norm over all `parameters`.

    References:
        Foret et al.: Sharpness-aware minimization for efficiently improving generalization, ICLR 2021, equation 2.
    """
    moved = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    weights = [parameter.detach().clone() for parameter, _ in moved]
    with torch.no_grad():
        scale = rho / (nn.utils.get_total_norm([gradient for _, gradient in moved]) + 1e-12)
        for parameter, gradient in moved:
            parameter.add_(gradient * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for (parameter, _), weight in zip(moved, weights, strict=True):
                parameter.copy_(weight)


@contextmanager
def fixed_statistics(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch normalisation unchanged during the block: a step updates them once."""
    layers = [layer for layer in model.modules() if isinstance(layer, BATCH_NORMS) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
