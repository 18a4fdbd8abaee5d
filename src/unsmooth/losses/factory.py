"""Losses by their registry names."""

from inspect import signature
from typing import Any

from unsmooth.losses.base import ClassificationLoss
from unsmooth.registry import resolve
from unsmooth.registry.losses import LOSSES


def make_loss(
    kind: str,
    alpha: float = 0.0,
    *,
    num_classes: int | None = None,
    **params: Any,  # noqa: ANN401
) -> ClassificationLoss:
    """Return the training loss named `kind` at strength `alpha`.

    Args:
        kind: a name in `unsmooth.registry.losses.LOSSES`, such as "ce", "ls" or "mbls".
        alpha: its strength: gamma of the focal losses, else the weight of the added term; 0 for a loss without one.
        num_classes: K, needed by "online_ls".
        params: keywords of the loss, such as `margin`, `ignore_index` and `reduction`.

    Returns:
        A module called as `loss(logits, targets)`, "distillation" with `teacher_logits` as third; lower is better.

    Raises:
        ValueError: an unknown kind, a strength for a loss that has none, or as the loss.
        TypeError: a keyword that the loss does not have.
    """
    if kind not in LOSSES:
        raise ValueError(f"kind must be one of {', '.join(LOSSES)}, got {kind!r}")
    entry = LOSSES[kind]
    if entry.alpha is None and alpha != 0:
        raise ValueError(f"loss {kind!r} has no alpha, got {alpha}")
    loss = resolve(entry.target)
    if "num_classes" in signature(loss).parameters:
        params["num_classes"] = num_classes
    made: ClassificationLoss = loss(**params) if entry.alpha is None else loss(alpha, **params)
    return made
