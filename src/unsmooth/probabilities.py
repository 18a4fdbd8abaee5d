"""Logits from saved softmax outputs, where enough digits were saved."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.foreign_logits import logits_from_probabilities

__all__ = ["check_probabilities"]

Floats = NDArray[np.floating[Any]]


def check_probabilities(probs: Floats) -> Floats:
    r"""Logits for softmax outputs, or the reason why these cannot give them.

    With :math:`\log p_k = z_k - \log\sum_j e^{z_j}` the logarithm restores the logits up to one number per row.
    Centring removes that number, so MSP, the margins, entropy, every temperature and the centred p-norm are those of
    the true logits; ``max_logit`` and ``energy`` are not.

    Args:
        probs: (N, K), rows summing to one.

    Returns:
        (N, K) float32 logits.

    Raises:
        ValueError: probabilities of zero, or rounded so coarsely (a few decimals, half precision) that the logarithm of
            the smallest one is off by more than 5 %.

    Example:
        >>> check_probabilities(np.array([[0.7, 0.2, 0.1]]))
        Traceback (most recent call last):
        ValueError: probabilities are rounded to 1 decimals and the smallest is 0.1: ...
    """
    logits = logits_from_probabilities(probs)
    smallest = float(probs.min())
    sample = np.asarray(probs[: max(1, 1_000_000 // probs.shape[1])], dtype=np.float64)
    for decimals in range(1, 8):
        scaled = sample * 10.0**decimals
        # Single precision cannot hold decimals exactly; 2e-7 is its rounding.
        if (np.abs(scaled - np.round(scaled)) <= 2e-7 * scaled).all():
            _check_resolution(10.0**-decimals, smallest, f"rounded to {decimals} decimals")
            break
    if (sample == sample.astype(np.float16)).all():
        _check_resolution(2.0**-24, smallest, "stored in half precision")
    return logits


def _check_resolution(step: float, smallest: float, how: str) -> None:
    if step / 2 > 0.05 * smallest:
        raise ValueError(
            f"probabilities are {how} and the smallest is {smallest:g}: too coarse for their logarithms; "
            "save the logits, or softmax in float32 with all digits"
        )
