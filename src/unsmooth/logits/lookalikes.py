"""Rows of another kind than the logits that were fitted, told by how many of those look alike.

A row of logits may look like an output of softmax by chance. The fitted rows show how often: n rows that all do are
refused where n such rows would be rare among logits like these, be n one or a thousand. A kind that no fitted row looks
like keeps a small chance, so that a lone unsure row of few classes is not refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

from unsmooth.logits.probabilities import ROUNDED_ZERO

_RARE = 1e-3  # probability, among logits like those that were fitted, of rows that are refused
_SOFTMAX = "is non-negative and sums to one, as softmax outputs and predict_proba do"


def _sum_to(whole: float, *, within: float, lowest: float) -> Callable[[Any], Any]:
    """Which rows have no number below `lowest` and sum to the whole."""
    return lambda rows: (rows >= lowest).all(axis=1) & (abs(rows.sum(axis=1) - whole) < within)


# What the rows of a kind are, the width of the interval of their sum in units of the logits, and whether a row is one.
_KINDS: Mapping[str, tuple[str, float, Callable[[Any], Any]]] = {
    "softmax": (_SOFTMAX, 1e-4, _sum_to(1, within=1e-4, lowest=ROUNDED_ZERO)),
    "rounded softmax": (_SOFTMAX, 0.01, _sum_to(1, within=0.01, lowest=ROUNDED_ZERO)),
    "percent": ("is non-negative and sums to 100, as percent do", 0.01, _sum_to(100, within=1, lowest=0)),
    "fractions": (
        "lies in [0, 1], as outputs of softmax and sigmoid do",
        1.0,
        lambda rows: ((rows >= 0) & (rows <= 1)).all(axis=1) & (rows != rows[:, :1]).any(axis=1),
    ),
}


def lookalike_shares(logits: Any) -> dict[str, float]:  # noqa: ANN401 - tensor or array
    """Share of the rows of (N, K) logits that look like each of the other kinds.

    Example:
        >>> import numpy as np
        >>> lookalike_shares(np.array([[3.0, -1.0], [0.7, 0.2]]))
        {'softmax': 0.0, 'rounded softmax': 0.0, 'percent': 0.0, 'fractions': 0.5}
    """
    return {kind: int(looks(logits).sum()) / len(logits) for kind, (*_, looks) in _KINDS.items()}


def refuse_lookalikes(logits: Any, shares: Mapping[str, float]) -> None:  # noqa: ANN401 - tensor or array
    """Raise ValueError where every row of (n, K) logits looks like another kind than those fitted, of these `shares`.

    Example:
        >>> import numpy as np
        >>> refuse_lookalikes(np.array([[0.7, 0.3]]), lookalike_shares(np.array([[3.0, -1.0], [0.7, 0.2]])))
        Traceback (most recent call last):
        ValueError: logits: every row is non-negative and sums to one, as softmax outputs and predict_proba do, ...
    """
    for kind, (what, width, looks) in _KINDS.items():
        share = max(shares[kind], width / 2 ** logits.shape[1])  # each logit falls into [0, 1] by chance of at most 1/2
        # The first row alone clears nearly all logits.
        if share ** len(logits) < _RARE and bool(looks(logits[:1]).all()) and bool(looks(logits).all()):
            raise ValueError(
                f"logits: every row {what}, unlike the logits that were fitted; expected logits, or the logarithms of "
                "softmax outputs, unsmooth.logits.probabilities.logits_from_probabilities(probs)"
            )
