"""Calibration losses: the kernel error MMCE of a batch, and the Brier score."""

from typing import Literal

import torch
from torch import Tensor

from unsmooth.losses.base import Batch, ClassificationLoss, check_non_negative

KERNEL_WIDTH = 0.4


class MMCE(ClassificationLoss):
    r"""Cross-entropy plus the squared maximum mean calibration error of the batch.

    .. math:: L = L_{CE} + \alpha \tfrac1{N^2} \textstyle\sum_{ij} (c_i - r_i)(c_j - r_j)\, e^{-|r_i - r_j| / 0.4}

    with confidence :math:`r_i = \max_k \pi_{ik}` and correctness :math:`c_i` (the target's share of the predicted
    class). The kernel couples all positions: memory grows with the square of their number.

    Args:
        alpha: strength, at least 0.
        ignore_index: as for `ClassificationLoss`, with its shapes; ignored positions enter neither term.
        reduction: "mean"; the loss is one number for the batch.

    Raises:
        ValueError: a negative alpha, another reduction, or as `ClassificationLoss`.

    References:
        Kumar et al., "Trainable Calibration Measures for Neural Networks from Kernel Mean Embeddings", ICML 2018,
        eq. (3).
    """

    def __init__(self, alpha: float = 1.0, *, ignore_index: int = -100, reduction: Literal["mean"] = "mean") -> None:
        super().__init__(check_non_negative(alpha, "alpha"), ignore_index=ignore_index, reduction=reduction)
        if reduction != "mean":
            raise ValueError(f"reduction must be 'mean', the loss is one number for the batch; got {reduction!r}")

    def reduced(self, batch: Batch) -> Tensor:
        cross_entropy = batch.cross_entropy()[batch.kept]
        if not cross_entropy.numel():
            return cross_entropy.sum()
        confidence, predictions = batch.logits.softmax(dim=1).max(dim=1)
        if batch.dense:
            correct = batch.targets.gather(1, predictions.unsqueeze(1)).squeeze(1)
        else:
            correct = (predictions == batch.targets).to(confidence.dtype)
        return cross_entropy.mean() + self.alpha * self.error(confidence[batch.kept], correct[batch.kept])

    def error(self, confidence: Tensor, correct: Tensor) -> Tensor:
        """Return the squared MMCE of `confidence` (N,) in [0, 1] against `correct` (N,)."""
        residual = correct - confidence
        return residual @ _kernel(confidence, confidence) @ residual / len(residual) ** 2


class WeightedMMCE(MMCE):
    r"""Cross-entropy plus MbLS's weighted MMCE, with separate averages over correct and wrong positions.

    As in the released code, the means of the three parts are divided by the counts once more, so the term is far
    smaller than that of the paper. A batch that is all correct or all wrong has no term.

    Args:
        alpha: strength, at least 0.
        ignore_index, reduction: as for `MMCE`; targets must be class indices.

    Raises:
        ValueError: distributions as targets, or as `MMCE`.

    References:
        Kumar et al., ICML 2018, section 3; Liu et al., CVPR 2022, released code.
    """

    def error(self, confidence: Tensor, correct: Tensor) -> Tensor:
        """Return the weighted MMCE of `confidence` (N,) in [0, 1] against `correct` (N,) of 0 and 1."""
        if not ((correct == 0) | (correct == 1)).all():
            raise ValueError("weighted MMCE tells correct from wrong predictions: targets must be class indices")
        right, wrong = correct == 1, correct == 0
        if not (right.any() and wrong.any()):
            return confidence.sum() * 0
        parts = {"right": (confidence[right], 1 - confidence[right]), "wrong": (confidence[wrong], confidence[wrong])}

        def part(first: str, second: str) -> Tensor:
            (a, weight_a), (b, weight_b) = parts[first], parts[second]
            count = len(a) * len(b)
            return weight_a @ _kernel(a, b) @ weight_b / count / (count + 1e-5)

        squared = part("right", "right") + part("wrong", "wrong") - 2 * part("right", "wrong")
        return (squared.clamp(min=0) + 1e-10).sqrt()  # the released sum can fall below 0


class BrierLoss(ClassificationLoss):
    r"""Brier score: :math:`\sum_k (t_k - \pi_k)^2`.

    Args:
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    Example:
        >>> float(BrierLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([0])))
        0.5
    """

    def __init__(self, *, ignore_index: int = -100, reduction: Literal["mean", "sum", "none"] = "mean") -> None:
        super().__init__(0.0, ignore_index=ignore_index, reduction=reduction)

    def values(self, batch: Batch) -> Tensor:
        return (batch.one_hot() - batch.logits.softmax(dim=1)).square().sum(dim=1)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return torch.exp(-(first[:, None] - second[None, :]).abs() / KERNEL_WIDTH)
