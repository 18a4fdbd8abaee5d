"""Focal losses: cross-entropy with less weight on confident positions."""

import torch
from torch import Tensor

from unsmooth.losses.base import Batch, ClassificationLoss, Reduction, check_non_negative


class FocalLoss(ClassificationLoss):
    r"""Focal loss: :math:`-\sum_k t_k (1-\pi_k)^\gamma \log \pi_k`; gamma = 0 is cross-entropy.

    Args:
        gamma: focusing strength, at least 0.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. (4); Mukhoti et al., NeurIPS 2020.

    Example:
        >>> loss = FocalLoss(2.0)
        >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))), 5)
        0.0018
    """

    def __init__(self, gamma: float = 3.0, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(check_non_negative(gamma, "gamma"), ignore_index=ignore_index, reduction=reduction)

    def values(self, batch: Batch) -> Tensor:
        log_probabilities = batch.logits.log_softmax(dim=1)
        if batch.dense:
            # The derivative at a masked class would be 0 times inf.
            return batch.at_target(self._weighted(log_probabilities.masked_fill(batch.targets == 0, 0.0)))
        return self._weighted(batch.at_target(log_probabilities))

    def _weighted(self, log_probabilities: Tensor) -> Tensor:
        # 1 - p from expm1 keeps its digits where p is near 1, and pow has no gradient at 0 for gamma < 1.
        rest = -torch.expm1(log_probabilities)
        return -(rest.clamp(min=torch.finfo(rest.dtype).tiny) ** self._exponent(log_probabilities)) * log_probabilities

    def _exponent(self, log_probabilities: Tensor) -> Tensor | float:
        return self.alpha


class AdaptiveFocalLoss(FocalLoss):
    r"""Sample-dependent focal loss (FLSD): gamma is 5 where the target's probability is below 0.2, 3 below 0.5.

    With a distribution as target, each class has the gamma of its own probability.

    Args:
        gamma: focusing strength where the probability is at least 0.5.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS 2020, section 5 (FLSD-53).
    """

    def _exponent(self, log_probabilities: Tensor) -> Tensor | float:
        probabilities = log_probabilities.detach().exp()
        exponent = torch.full_like(probabilities, self.alpha)
        return exponent.masked_fill(probabilities < 0.5, 3.0).masked_fill(probabilities < 0.2, 5.0)
