"""Base of all losses: shapes, ignored positions, precision and reduction."""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Batch", "ClassificationLoss", "Reduction"]

Reduction = Literal["mean", "sum", "none"]
NO_INDEX = torch.iinfo(torch.int64).min  # torch ignores -100 by default


class Batch:
    r"""Logits with their targets, either class indices or distributions.

    Args:
        logits: (N, K, \*) floating point; half precision is computed in float32.
        targets: (N, \*) class indices, or (N, K, \*) distributions; one without mass is ignored.
        ignore_index: class index of ignored positions.
        teacher_logits: (N, K, \*) logits of another model for the same inputs.

    Attributes:
        logits: (N, K, \*) float32 or float64.
        targets: (N, \*) int64 with 0 at ignored positions, or (N, K, \*).
        kept: (N, \*) bool, False at ignored positions.
        teacher_logits: (N, K, \*) of the dtype of `logits`, or None.

    Raises:
        ValueError: shapes that do not fit, or targets of another kind.
    """

    def __init__(
        self, logits: Tensor, targets: Tensor, ignore_index: int, teacher_logits: Tensor | None = None
    ) -> None:
        if logits.ndim < 2 or not logits.is_floating_point():
            raise ValueError(f"logits must be floating point (N, K, *), got {logits.dtype} {tuple(logits.shape)}")
        positions = logits.shape[:1] + logits.shape[2:]
        self.logits = logits if logits.dtype == torch.float64 else logits.float()
        self.dense = targets.shape == logits.shape and targets.is_floating_point()
        if self.dense:
            self.targets = targets.to(self.logits.dtype)
            self.kept = self.mass != 0
        elif targets.shape == positions and not (targets.is_floating_point() or targets.dtype == torch.bool):
            targets = targets.long()  # before comparing: -100 in uint8 is 156
            self.kept = targets != ignore_index
            self.targets = targets.where(self.kept, 0)
        else:
            raise ValueError(
                f"targets must be integers {tuple(positions)} (indices) or floating point {tuple(logits.shape)} "
                f"(distributions), got {tuple(targets.shape)} {targets.dtype}"
            )
        if teacher_logits is not None and teacher_logits.shape != logits.shape:
            raise ValueError(
                f"teacher_logits must have the shape of the logits, {tuple(logits.shape)}, got "
                f"{tuple(teacher_logits.shape)}"
            )
        self.teacher_logits = None if teacher_logits is None else teacher_logits.to(self.logits.dtype)

    @property
    def num_classes(self) -> int:
        return self.logits.shape[1]

    @property
    def mass(self) -> Tensor:
        r"""Return the sum of each target distribution, (N, \*); 1 for indices."""
        return self.targets.sum(dim=1) if self.dense else torch.ones_like(self.targets, dtype=self.logits.dtype)

    def at_target(self, values: Tensor) -> Tensor:
        r"""Return the expectation of `values` (N, K, \*) under the target, (N, \*)."""
        if self.dense:
            return (self.targets * values).where(self.targets != 0, 0).sum(dim=1)  # 0 times inf, of masked classes
        return values.gather(1, self.targets.unsqueeze(1)).squeeze(1)

    def one_hot(self) -> Tensor:
        r"""Return the targets as distributions, (N, K, \*)."""
        if self.dense:
            return self.targets
        return torch.zeros_like(self.logits).scatter_(1, self.targets.unsqueeze(1), 1.0)

    def cross_entropy(self, label_smoothing: float = 0.0) -> Tensor:
        r"""Return :math:`-\sum_k t_k \log \pi_k` by position, (N, \*); index targets may be smoothed."""
        if self.dense:
            terms = self.targets * self.logits.log_softmax(dim=1)
            return -terms.where(self.targets != 0, 0).sum(dim=1)  # 0 log 0 = 0, for masked classes
        return nn.functional.cross_entropy(
            self.logits, self.targets, ignore_index=NO_INDEX, reduction="none", label_smoothing=label_smoothing
        )


class ClassificationLoss(nn.Module):
    r"""A loss with a value at every position, summed or averaged over those not ignored.

    Args:
        alpha: strength; each loss says of what.
        ignore_index: class index of positions that count neither in the sum nor in the mean.
        reduction: "mean" or "sum" over the other positions, or "none" (0 at ignored positions).

    Shape:
        logits (N, K, \*) floating point; targets (N, \*) integers or (N, K, \*) distributions, where a position without
        mass is ignored. Returns a scalar, 0 with no position kept, or (N, \*) for "none"; lower is better.

    Raises:
        ValueError: a strength out of range, an unknown reduction, or shapes that do not fit.
    """

    def __init__(self, alpha: float, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.alpha = alpha
        self.ignore_index = ignore_index
        self.reduction = reduction

    @property
    def smoothing(self) -> float | None:
        """Return the weight of the uniform distribution in the targets; None for soft targets from a model."""
        return 0.0

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Prepare for `epoch` of `epochs`, counted from 0; a scheduled strength is set here."""

    def end_epoch(self) -> None:
        """Update the state of the loss after an epoch; most losses have none."""

    @abstractmethod
    def values(self, batch: Batch) -> Tensor:
        r"""Return the loss at every position, (N, \*); values at ignored positions are not used."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        r"""Return the loss of `logits` (N, K, \*) against `targets`, in single precision even under autocast."""
        with torch.autocast(logits.device.type, enabled=False):
            return self.reduced(Batch(logits, targets, self.ignore_index))

    def reduced(self, batch: Batch) -> Tensor:
        values = self.values(batch)
        if values.shape != batch.kept.shape:
            shape, name = tuple(batch.kept.shape), type(self).__name__
            raise ValueError(f"values of {name} must have shape {shape}, one a position, got {tuple(values.shape)}")
        values = values.where(batch.kept, 0)
        if self.reduction == "none":
            return values
        return values.sum() if self.reduction == "sum" else values.sum() / batch.kept.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"


def check_non_negative(value: float, name: str) -> float:
    """Return a finite `value` of at least 0, or raise ValueError naming it."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return value
