"""From a trained model to its logits."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["collect_logits", "inference_batch_size"]

LARGEST_BATCH = 500
BATCH_ELEMENTS = 2**25  # 128 MiB of float32 inputs: 222 images of 3 x 224 x 224


def inference_batch_size(input_shape: Sequence[int]) -> int:
    """Return how many inputs of this shape to run at once: 500, fewer where they are large, at least one.

    Example:
        >>> inference_batch_size([1, 16, 16]), inference_batch_size([3, 224, 224])
        (500, 222)
    """
    return max(1, min(LARGEST_BATCH, BATCH_ELEMENTS // math.prod(input_shape)))


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
