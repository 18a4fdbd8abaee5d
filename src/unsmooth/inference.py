"""From a trained model to its logits."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["collect_logits"]


@torch.inference_mode()
def collect_logits(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Run the model in evaluation mode, in float32, over all batches.

    Args:
        model: returns logits (N, K), on the device of the batches.
        batches: (inputs, targets) pairs in a fixed order.

    Returns:
        Logits (N, K) float32 and targets (N,) int64, on the CPU, in the order of the batches.
    """
    model.eval()
    logits, targets = zip(*((model(inputs).float().cpu(), target.cpu()) for inputs, target in batches), strict=True)
    return torch.cat(logits), torch.cat(targets)
