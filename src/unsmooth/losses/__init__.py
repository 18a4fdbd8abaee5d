"""Training losses: logits and targets in, one number out.

All take `(logits, targets)` with the class axis at 1, any trailing dimensions, class indices or distributions as
targets, and the keywords `ignore_index` and `reduction`; `alpha` is the strength of each, the grid axis of an
experiment.
"""

from collections.abc import Callable
from typing import Any

from unsmooth.losses.base import ClassificationLoss, Reduction
from unsmooth.losses.calibration import MMCE, BrierLoss, WeightedMMCE
from unsmooth.losses.distillation import Distillation
from unsmooth.losses.focal import AdaptiveFocalLoss, FocalLoss
from unsmooth.losses.penalties import ConfidencePenalty, L1Penalty, LogitPenalty
from unsmooth.losses.smoothing import (
    LabelSmoothing,
    MarginLabelSmoothing,
    MaxSuppression,
    OnlineLabelSmoothing,
    effective_smoothing,
    smooth_targets,
)

__all__ = [
    "MMCE",
    "AdaptiveFocalLoss",
    "BrierLoss",
    "ClassificationLoss",
    "ConfidencePenalty",
    "Distillation",
    "FocalLoss",
    "L1Penalty",
    "LabelSmoothing",
    "LogitPenalty",
    "MarginLabelSmoothing",
    "MaxSuppression",
    "OnlineLabelSmoothing",
    "Reduction",
    "WeightedMMCE",
    "effective_smoothing",
    "make_loss",
    "smooth_targets",
]

WITHOUT_STRENGTH: dict[str, Callable[..., ClassificationLoss]] = {
    "ce": lambda **settings: LabelSmoothing(0.0, **settings),
    "brier": BrierLoss,
}
KINDS: dict[str, Callable[..., ClassificationLoss]] = {
    "ls": LabelSmoothing,
    "mbls": MarginLabelSmoothing,
    "maxsup": MaxSuppression,
    "focal": FocalLoss,
    "flsd": AdaptiveFocalLoss,
    "ecp": ConfidencePenalty,
    "l1": L1Penalty,
    "logit_penalty": LogitPenalty,
    "mmce": MMCE,
    "mmce_weighted": WeightedMMCE,
    "online_ls": OnlineLabelSmoothing,
    "distillation": Distillation,
}


def make_loss(
    kind: str,
    alpha: float = 0.0,
    *,
    num_classes: int | None = None,
    **params: Any,  # noqa: ANN401
) -> ClassificationLoss:
    """Return the training loss named `kind` at strength `alpha`.

    Args:
        kind: "ce", "ls", "mbls", "maxsup", "focal", "flsd", "ecp", "l1", "logit_penalty", "mmce", "mmce_weighted",
            "brier", "online_ls" or "distillation".
        alpha: its strength: gamma for the focal losses, otherwise the weight of what is added to cross-entropy; 0 for
            "ce" and "brier", which have none.
        num_classes: K, which "online_ls" needs beforehand.
        params: keywords of the loss, such as `margin`, `ignore_index` and `reduction`.

    Returns:
        A module called as `loss(logits, targets)`, with the teacher's logits behind them for "distillation"; lower is
        better.

    Raises:
        ValueError: an unknown kind, a strength for a loss that has none, or as the loss.
        TypeError: a keyword that the loss does not have.
    """
    if kind in WITHOUT_STRENGTH:
        if alpha != 0:
            raise ValueError(f"loss {kind!r} has no alpha, got {alpha}")
        return WITHOUT_STRENGTH[kind](**params)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join([*WITHOUT_STRENGTH, *KINDS])}, got {kind!r}")
    if kind == "online_ls":
        params["num_classes"] = num_classes
    return KINDS[kind](alpha, **params)
