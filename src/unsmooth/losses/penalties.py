"""Cross-entropy with a penalty on confident predictions or large logits."""

from torch import Tensor

from unsmooth.losses.base import Batch, ClassificationLoss, Reduction, check_non_negative


class _Penalised(ClassificationLoss):
    """Cross-entropy plus alpha times a penalty at every position."""

    def __init__(self, alpha: float = 0.1, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(check_non_negative(alpha, "alpha"), ignore_index=ignore_index, reduction=reduction)

    def values(self, batch: Batch) -> Tensor:
        cross_entropy = batch.cross_entropy()
        # The penalty of masked classes may be inf, and 0 times inf is nan.
        return cross_entropy + self.alpha * self.penalty(batch.logits) if self.alpha else cross_entropy

    def penalty(self, logits: Tensor) -> Tensor:
        r"""Return the penalty of `logits` (N, K, \*) by position."""
        raise NotImplementedError


class ConfidencePenalty(_Penalised):
    r"""Confidence penalty (ECP): :math:`L_{CE} - \alpha H(\pi)/K`.

    The entropy is divided by K as in MbLS's code; the original penalty is this one with alpha times K.

    Args:
        alpha: strength, at least 0.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output Distributions", ICLR 2017 workshop.
    """

    def penalty(self, logits: Tensor) -> Tensor:
        """Return the negative entropy over K, with probabilities clamped to [1e-10, 1 - 1e-10]."""
        held = logits.softmax(dim=1).clamp(1e-10, 1 - 1e-10)
        return (held * held.log()).mean(dim=1)


class L1Penalty(_Penalised):
    r"""L1 distance to the uniform distribution: :math:`L_{CE} + \alpha \sum_k |\pi_k - 1/K|`.

    Args:
        alpha: strength, at least 0.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes. The mean is over positions; MbLS's code
            divides the sum over all pixels by the number of images.

    References:
        Liu et al., "The Devil is in the Margin", CVPR 2022, released code.
    """

    def penalty(self, logits: Tensor) -> Tensor:
        return (logits.softmax(dim=1) - 1 / logits.shape[1]).abs().sum(dim=1)


class LogitPenalty(_Penalised):
    r"""Logit penalty: :math:`L_{CE} + \alpha \lVert v \rVert_2^2`.

    Args:
        alpha: strength, at least 0; around 1e-4 for a thousand classes.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    References:
        Kornblith et al., "Why Do Better Loss Functions Lead to Less Transferable Features?", NeurIPS 2021.
    """

    def penalty(self, logits: Tensor) -> Tensor:
        return logits.square().sum(dim=1)
