r"""Label smoothing and related losses: cross-entropy plus a term in differences of logits.

Label smoothing replaces the one-hot target by :math:`(1-\alpha)\,y + \alpha/K`. Its loss is, exactly,

.. math:: L_{LS} = L_{CE} + \alpha\,(v_y - \tfrac1K \textstyle\sum_k v_k),

so its gradient differs from that of cross-entropy (CE) by :math:`\alpha([k=y] - 1/K)`
(Xia et al., ICLR 2025, section 4). A negative alpha sharpens instead of smoothing.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from unsmooth.losses.base import Batch, ClassificationLoss, Reduction, check_non_negative

__all__ = [
    "CrossEntropy",
    "LabelSmoothing",
    "MarginLabelSmoothing",
    "MaxSuppression",
    "OnlineLabelSmoothing",
    "effective_smoothing",
    "smooth_targets",
]


def smooth_targets(targets: Tensor, num_classes: int, alpha: float) -> Tensor:
    r"""Mix targets with the uniform distribution: :math:`(1-\alpha)\,\text{target} + \alpha/K`.

    Mixed targets (MixUp, CutMix) are smoothed after mixing, so that every component is smoothed.

    Args:
        targets: class indices (N, \*) integers, or distributions (N, K, \*) floating point.
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


def effective_smoothing(largest: float, *, num_classes: int, alpha: float) -> float:
    r"""Return the mean probability of smoothed targets outside their largest class.

    .. math:: \tfrac1N \textstyle\sum_i (1 - \max_k t'_{ik}), \quad t' = (1-\alpha)\,t + \alpha/K

    for the targets t before smoothing: one-hot, or mixed (MixUp, CutMix). The largest class stays the largest, so the
    mean maximum suffices; the value is :math:`\alpha - \alpha/K` for one-hot targets.

    Args:
        largest: mean over the positions of :math:`\max_k t_k`, in [1/K, 1]; 1 for one-hot targets.
        num_classes: K.
        alpha: weight of the uniform distribution, in [-1, 1).

    Returns:
        The probability, in [0, 1]; below 0 for a negative alpha, which puts more than 1 on the class.

    Example:
        >>> effective_smoothing(1.0, num_classes=4, alpha=0.25)
        0.1875
    """
    return (1 - alpha) * (1 - largest) + (alpha - alpha / num_classes)


class LabelSmoothing(ClassificationLoss):
    r"""Cross-entropy with smoothed targets; alpha = 0 is plain cross-entropy.

    Args:
        alpha: weight of the uniform distribution over all K classes, in [-1, 1]; negative values sharpen. Composer
            calls it `smoothing`, torch `label_smoothing`.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Xia et al., "Towards Understanding Why Label Smoothing Degrades Selective Classification", ICLR 2025, eq. (2).

    Example:
        >>> loss = LabelSmoothing(0.1)
        >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))), 4)
        0.2269
    """

    def __init__(self, alpha: float = 0.1, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(_check_alpha(alpha), ignore_index=ignore_index, reduction=reduction)

    @property
    def smoothing(self) -> float:
        return self.alpha

    def values(self, batch: Batch) -> Tensor:
        if self.alpha == 0 or (not batch.dense and self.alpha > 0):
            return batch.cross_entropy(label_smoothing=self.alpha)
        if batch.dense:
            # Distributions need not sum to 1: the uniform part is alpha / K in any case.
            return (1 - self.alpha) * batch.cross_entropy() + self.alpha * uniform_cross_entropy(batch)
        return batch.cross_entropy() + self.alpha * (batch.at_target(batch.logits) - batch.logits.mean(dim=1))


class CrossEntropy(LabelSmoothing):
    """Cross-entropy: label smoothing with alpha = 0.

    Args:
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.
    """

    def __init__(self, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(0.0, ignore_index=ignore_index, reduction=reduction)


class MarginLabelSmoothing(ClassificationLoss):
    r"""Margin-based label smoothing (MbLS): penalises differences from the largest logit beyond a margin.

    .. math:: L = L_{CE} + \alpha \tfrac1K \textstyle\sum_k \max(0,\ v_{max} - v_k - m)

    The released code averages over the K classes; the paper's eq. (4) reads as a sum, which is K times stronger.
    Margin 0 is label smoothing plus :math:`\alpha (v_{max} - v_y)`; a margin beyond all differences is cross-entropy.

    Args:
        alpha: strength, at least 0.
        margin: m, in logits, at least 0.
        schedule: of alpha by epoch: "none", "add" mu, "multiply" by mu, or "step", the same every `step_size` epochs.
        mu, max_alpha, step_size: of the schedule, which never raises alpha above `max_alpha`.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Liu et al., "The Devil is in the Margin: Margin-based Label Smoothing for Network Calibration", CVPR 2022.

    Example:
        >>> loss = MarginLabelSmoothing(0.1, margin=1)
        >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))), 4)
        0.1769
    """

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        margin: float = 10.0,
        schedule: Literal["none", "add", "multiply", "step"] = "none",
        mu: float = 0.0,
        max_alpha: float = 100.0,
        step_size: int = 100,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(check_non_negative(alpha, "alpha"), ignore_index=ignore_index, reduction=reduction)
        if schedule not in ("none", "add", "multiply", "step"):
            raise ValueError(f"schedule must be 'none', 'add', 'multiply' or 'step', got {schedule!r}")
        self.margin = check_non_negative(margin, "margin")
        self.schedule, self.mu, self.max_alpha, self.step_size = schedule, mu, max_alpha, step_size
        self.first_alpha = alpha

    def values(self, batch: Batch) -> Tensor:
        # Not amax, which shares the gradient among tied classes; the released code gives it to the first.
        largest = batch.logits.max(dim=1, keepdim=True).values
        penalty = (largest - self.margin - batch.logits).relu().mean(dim=1)
        return batch.cross_entropy() + self.alpha * penalty if self.alpha else batch.cross_entropy()

    def start_epoch(self, epoch: int, epochs: int) -> None:
        alpha = self.first_alpha
        for done in range(1, epoch + 1):
            if self.schedule == "add":
                alpha = min(alpha + self.mu, self.max_alpha)
            elif self.schedule == "multiply" or (self.schedule == "step" and done % self.step_size == 0):
                alpha = min(alpha * self.mu, self.max_alpha)
        self.alpha = alpha


class MaxSuppression(ClassificationLoss):
    r"""Max suppression (MaxSup): the penalty of label smoothing on the largest logit instead of the target's.

    .. math:: L = L_{CE} + \alpha (v_{max} - \tfrac1K \textstyle\sum_k v_k)

    On correct predictions it is label smoothing; on wrong ones it does not reward confidence in them.

    Args:
        alpha: strength in the first epoch, at least 0.
        last_alpha: strength in the last epoch, reached linearly; None keeps alpha.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Zhou et al., "MaxSup: Overcoming Representation Collapse in Label Smoothing", NeurIPS 2025.

    Example:
        >>> loss = MaxSuppression(0.1)
        >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([1]))), 4)
        2.2269
    """

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        last_alpha: float | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(check_non_negative(alpha, "alpha"), ignore_index=ignore_index, reduction=reduction)
        self.first_alpha = alpha
        self.last_alpha = alpha if last_alpha is None else check_non_negative(last_alpha, "last_alpha")

    def values(self, batch: Batch) -> Tensor:
        penalty = batch.logits.max(dim=1).values - batch.logits.mean(dim=1)
        return batch.cross_entropy() + self.alpha * penalty if self.alpha else batch.cross_entropy()

    def start_epoch(self, epoch: int, epochs: int) -> None:
        share = epoch / (epochs - 1) if epochs > 1 else 0.0
        self.alpha = self.first_alpha + share * (self.last_alpha - self.first_alpha)


class OnlineLabelSmoothing(ClassificationLoss):
    r"""Online label smoothing (OLS): soft targets are the model's mean predictions in the last epoch.

    .. math:: L = (1-\alpha) L_{CE}(y) + \alpha\, L_{CE}(s_y)

    where :math:`s_y` is the mean predicted distribution over the correctly predicted samples of class y in the epoch
    before; uniform in the first epoch, and for a class without a correct prediction.

    Args:
        alpha: weight of the soft target, in [0, 1].
        num_classes: K.
        ignore_index, reduction: as for `ClassificationLoss`; targets are class indices.

    Attributes:
        soft_targets: (K, K) float32, row y is :math:`s_y`.

    Raises:
        ValueError: alpha outside [0, 1], no K, distributions as targets, another K, or as `ClassificationLoss`.
        RuntimeError: training in several processes.

    References:
        Zhang et al., "Delving Deep into Label Smoothing", IEEE TIP 2021, eq. (3) to (6).
    """

    soft_targets: Tensor
    sums: Tensor

    def __init__(
        self, alpha: float = 0.5, *, num_classes: int, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}")
        if not num_classes or num_classes < 2:  # the factory passes None where it was left out
            raise ValueError(f"num_classes must be given, and at least 2, got {num_classes}")
        super().__init__(alpha, ignore_index=ignore_index, reduction=reduction)
        self.register_buffer("soft_targets", torch.full((num_classes, num_classes), 1 / num_classes))
        self.register_buffer("sums", torch.zeros(num_classes, num_classes, dtype=torch.float64))

    def values(self, batch: Batch) -> Tensor:
        """Return the loss by position; in training mode, accumulate correct predictions."""
        if batch.dense or batch.num_classes != len(self.soft_targets):
            raise ValueError(
                f"online label smoothing takes class indices of {len(self.soft_targets)} classes, got targets "
                f"{tuple(batch.targets.shape)} with {batch.num_classes} classes"
            )
        if self.training:
            self._remember(batch)
        log_probabilities = batch.logits.log_softmax(dim=1)
        soft = self.soft_targets.to(batch.logits.dtype)[batch.targets].movedim(-1, 1)
        towards_soft = (soft * log_probabilities).where(soft != 0, 0).sum(dim=1)
        towards_target = batch.at_target(log_probabilities)
        return -(1 - self.alpha) * towards_target - (self.alpha * towards_soft if self.alpha else 0)

    @property
    def smoothing(self) -> None:
        """Return None: soft targets come from the model."""

    @torch.no_grad()
    def _remember(self, batch: Batch) -> None:
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise RuntimeError(
                "online label smoothing sees the predictions of its own process only: train on one device"
            )
        right = batch.kept & (batch.logits.argmax(dim=1) == batch.targets)
        probabilities = batch.logits.softmax(dim=1).movedim(1, -1)[right]
        self.sums.index_add_(0, batch.targets[right], probabilities.double())

    def end_epoch(self) -> None:
        """Set the soft targets of the next epoch to the mean correct predictions of this one."""
        mass = self.sums.sum(dim=1, keepdim=True)
        uniform = torch.full_like(self.sums, 1 / len(self.sums))
        self.soft_targets = torch.where(mass > 0, self.sums / mass.clamp(min=1e-300), uniform).float()
        self.sums.zero_()


def uniform_cross_entropy(batch: Batch) -> Tensor:
    r"""Return :math:`-\tfrac1K \sum_k \log \pi_k` by position."""
    return batch.logits.logsumexp(dim=1) - batch.logits.mean(dim=1)


def _check_alpha(alpha: float) -> float:
    if not -1 <= alpha <= 1:
        raise ValueError(f"alpha must be in [-1, 1], got {alpha}")
    return alpha
