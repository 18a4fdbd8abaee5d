r"""Training losses: logits and targets in, one number out.

Label smoothing replaces the one-hot target by :math:`(1-\alpha)\,y + \alpha/K`. Its loss is, exactly,

.. math:: L_{LS} = L_{CE} + \alpha\,(v_y - \tfrac1K \textstyle\sum_k v_k),

so its gradient differs from that of cross-entropy (CE) by :math:`\alpha([k=y] - 1/K)`
(Xia et al., ICLR 2025, section 4). A negative alpha sharpens instead of smoothing.
"""

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["LabelSmoothing", "make_loss", "smooth_targets"]

Reduction = Literal["mean", "sum", "none"]


def smooth_targets(targets: Tensor, num_classes: int, alpha: float) -> Tensor:
    r"""Mix targets with the uniform distribution: :math:`(1-\alpha)\,\text{target} + \alpha/K`.

    Args:
        targets: class indices (N, \*) int64, or distributions (N, K, \*) floating point.
        num_classes: K.
        alpha: weight of the uniform distribution, in [-1, 1]; negative values sharpen.

    Returns:
        Soft targets (N, K, \*): float32 for indices, the dtype of `targets` for distributions.

    Raises:
        ValueError: alpha out of range, an index outside [0, K), or a class axis that is not K long.

    References:
        Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7.

    Example:
        >>> smooth_targets(torch.tensor([1]), num_classes=4, alpha=0.2)
        tensor([[0.0500, 0.8500, 0.0500, 0.0500]])
    """
    _check_alpha(alpha)
    if targets.is_floating_point():
        if targets.ndim < 2 or targets.shape[1] != num_classes:
            raise ValueError(
                f"targets must have shape (N, {num_classes}, *) as distributions, got {tuple(targets.shape)}"
            )
        one_hot = targets
    else:
        if targets.numel() and (targets.min() < 0 or targets.max() >= num_classes):
            raise ValueError(f"targets must be in [0, {num_classes}), got {int(targets.min())} to {int(targets.max())}")
        one_hot = nn.functional.one_hot(targets.long(), num_classes).movedim(-1, 1).float()
    return one_hot * (1 - alpha) + alpha / num_classes


class LabelSmoothing(nn.Module):
    r"""Cross-entropy with smoothed targets; alpha = 0 is plain cross-entropy.

    Args:
        alpha: weight of the uniform distribution over all K classes, in [-1, 1]; negative values sharpen.
        ignore_index: positions with this class index count neither in the sum nor in the mean.
        reduction: "mean" over the kept positions, "sum", or "none" (0 at ignored positions).

    Shape:
        logits (N, K, \*) floating point; targets (N, \*) int64 or (N, K, \*) distributions.
        Returns a scalar, or (N, \*) for "none"; lower is better. With no position kept, mean and sum are 0.

    Raises:
        ValueError: alpha outside [-1, 1], an unknown reduction, or shapes that do not fit.

    References:
        Xia et al., "Towards Understanding Why Label Smoothing Degrades Selective Classification", ICLR 2025, eq. (2).

    Example:
        >>> loss = LabelSmoothing(0.1)
        >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))), 4)
        0.2269
    """

    def __init__(self, alpha: float = 0.1, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check_alpha(alpha)
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.alpha = alpha
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of `logits` (N, K, *) against `targets`."""
        dense = targets.shape == logits.shape and targets.is_floating_point()
        if not dense and targets.shape != logits.shape[:1] + logits.shape[2:]:
            raise ValueError(
                f"targets must have shape {tuple(logits.shape[:1] + logits.shape[2:])} (indices) or "
                f"{tuple(logits.shape)} (distributions), got {tuple(targets.shape)}"
            )
        log_normaliser = logits.logsumexp(dim=1)  # (N, *)
        if dense:
            kept = torch.ones_like(log_normaliser, dtype=torch.bool)
            mass = targets.sum(dim=1)
            target_logit = (targets * logits).sum(dim=1)
        else:
            kept = targets != self.ignore_index
            mass = torch.ones_like(log_normaliser)
            target_logit = logits.gather(1, targets.where(kept, 0).unsqueeze(1)).squeeze(1)
        mass = (1 - self.alpha) * mass + self.alpha
        values = mass * log_normaliser - (1 - self.alpha) * target_logit - self.alpha * logits.mean(dim=1)
        values = values.where(kept, 0)
        if self.reduction == "none":
            return values
        return values.sum() if self.reduction == "sum" else values.sum() / kept.sum().clamp(min=1)

    def extra_repr(self) -> str:
        """Show the settings in the module's text."""
        return f"alpha={self.alpha}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"


def make_loss(kind: str, alpha: float = 0.0, *, ignore_index: int = -100, reduction: Reduction = "mean") -> nn.Module:
    """Return the training loss named `kind` at strength `alpha`.

    Args:
        kind: "ce" (takes alpha 0 only) or "ls".
        alpha: smoothing strength for "ls", in [-1, 1].
        ignore_index: class index that marks positions to leave out.
        reduction: "mean", "sum" or "none".

    Returns:
        A module called as `loss(logits, targets)`; lower is better.

    Raises:
        ValueError: an unknown kind, or a strength for a loss that has none.
    """
    if kind == "ce":
        if alpha != 0:
            raise ValueError(f"loss 'ce' has no alpha, got {alpha}")
        return nn.CrossEntropyLoss(ignore_index=ignore_index, reduction=reduction)
    if kind == "ls":
        return LabelSmoothing(alpha, ignore_index=ignore_index, reduction=reduction)
    raise ValueError(f"kind must be 'ce' or 'ls', got {kind!r}")


def _check_alpha(alpha: float) -> None:
    if not -1 <= alpha <= 1:
        raise ValueError(f"alpha must be in [-1, 1], got {alpha}")
