"""Knowledge distillation: softened predictions of a trained model as a part of the target."""

import torch
from torch import Tensor

from unsmooth.losses.base import Batch, ClassificationLoss, Reduction


class Distillation(ClassificationLoss):
    r"""Cross-entropy plus the divergence from tempered predictions of a teacher.

    .. math:: L = (1-\alpha) L_{CE} + \alpha\, T^2\, \mathrm{KL}(\pi^{teacher}_T \,\|\, \pi_T), \quad
        \pi_T = \mathrm{softmax}(v / T)

    Its gradient is :math:`(1-\alpha)(\pi - y) + \alpha T\,(\pi_T - \pi^{teacher}_T)`. For large T the divergence times
    :math:`T^2` becomes the mean squared difference of centred logits over 2. alpha = 0 is cross-entropy.

    Called as `loss(logits, targets, teacher_logits)`, with the teacher's logits for the same inputs, which get no
    gradient.

    Args:
        alpha: weight of the divergence, in [0, 1].
        temperature: T, above 0.
        ignore_index, reduction: as for `ClassificationLoss`, with its shapes.

    Raises:
        ValueError: alpha or temperature out of range, missing teacher logits, or as `ClassificationLoss`.

    References:
        Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.

    Example:
        >>> loss = Distillation(0.5, temperature=2.0)
        >>> logits, teacher_logits = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
        >>> round(float(loss(logits, torch.tensor([0]), teacher_logits)), 4)
        0.3037
    """

    def __init__(
        self, alpha: float = 0.9, *, temperature: float = 4.0, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be finite and above 0, got {temperature}")
        super().__init__(alpha, ignore_index=ignore_index, reduction=reduction)
        self.temperature = temperature

    def forward(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        r"""Return the loss of `logits` (N, K, \*) against `targets` and `teacher_logits` (N, K, \*)."""
        if teacher_logits is None:
            raise ValueError("distillation needs teacher_logits, the logits of a teacher for the same inputs")
        with torch.autocast(logits.device.type, enabled=False):
            return self.reduced(Batch(logits, targets, self.ignore_index, teacher_logits.detach()))

    def values(self, batch: Batch) -> Tensor:
        assert batch.teacher_logits is not None
        student, teacher = (
            (logits / self.temperature).log_softmax(dim=1) for logits in (batch.logits, batch.teacher_logits)
        )
        terms = teacher.exp() * (teacher - student)
        divergence = terms.where(~teacher.isneginf(), 0).sum(dim=1)  # 0 log 0 = 0, for masked classes
        return (1 - self.alpha) * batch.cross_entropy() + self.alpha * self.temperature**2 * divergence

    @property
    def smoothing(self) -> None:
        """Return None: soft targets come from the teacher."""
