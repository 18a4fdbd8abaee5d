"""Thresholds in readable units: a probability instead of its logarithm.

Scores of a probability return minus the logarithm of the complement, which cannot saturate (see
:mod:`unsmooth.scores.logit_scores`). A threshold of 1.56445 on MSP is therefore a largest probability of 0.791.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from unsmooth.scores.fitting import FittedScore

__all__ = ["REJECT", "acceptance_rule", "threshold_value"]

REJECT = -1  # the class of a sample that is not accepted


class _Quantity(NamedTuple):
    """Quantity behind a score; its name takes the parameters. An uncertainty is accepted up to the threshold."""

    name: str
    value: Callable[[float], float] = float
    uncertainty: bool = False


def _probability(log_value: float) -> float:
    return -math.expm1(-log_value)


def _uncertainty(log_value: float) -> float:
    return math.exp(-log_value)


_QUANTITIES: Mapping[str, _Quantity] = {
    "msp": _Quantity("the largest probability", _probability),
    "msp_temperature": _Quantity("the largest probability at temperature {temperature:.4g}", _probability),
    "max_logit": _Quantity("the largest logit"),
    "energy": _Quantity("the log-sum-exp of the logits"),
    "logit_margin": _Quantity("the lead of the largest logit over the second"),
    "softmax_margin": _Quantity("the lead of the largest probability over the second", _probability),
    "negative_entropy": _Quantity("the entropy of the softmax in nats", _uncertainty, uncertainty=True),
    "negative_gini": _Quantity("the Gini impurity of the softmax", _uncertainty, uncertainty=True),
    "doctor_alpha": _Quantity("DOCTOR's alpha uncertainty", _uncertainty, uncertainty=True),
    "doctor_beta": _Quantity("the odds of an error, (1 - MSP) / MSP,", _uncertainty, uncertainty=True),
    "gen": _Quantity("the generalised entropy of the softmax", _uncertainty, uncertainty=True),
    "softmax_k": _Quantity("the largest probability among the {k} largest logits", _probability),
    "max_logit_pnorm": _Quantity("the largest p-normalised logit (p = {p:g})"),
    "msp_pnorm": _Quantity(
        "the largest probability of the p-normalised logits (p = {p:g}, temperature {temperature:.4g})", _probability
    ),
    "bk": _Quantity("the largest probability minus {ratio:.4g} times the second", _probability),
    "ets": _Quantity(
        "the largest probability, mixed with weight {weight:.4g} at temperature {temperature:.4g},", _probability
    ),
    "hts": _Quantity("the largest probability at the sample's own temperature", _probability),
    "lda": _Quantity("the LDA score on its log scale"),
    "j_score": _Quantity("the J score on its log scale"),
}


def acceptance_rule(score: FittedScore, threshold: float) -> str:
    """Acceptance rule of a threshold in words.

    Args:
        score: the score of the threshold; MSP if it fell back.
        threshold: accepts confidence >= threshold; inf accepts nothing.

    Returns:
        A clause without a full stop.

    Example:
        >>> acceptance_rule(FittedScore("msp"), 1.56445)
        'accept when the largest probability is at least 0.791'
        >>> acceptance_rule(FittedScore("negative_entropy"), 1.0)
        'accept when the entropy of the softmax in nats is at most 0.3679'
    """
    if threshold == math.inf:
        return "accept nothing"
    quantity = _quantity(score)
    params = dict(score.params)
    if "beta" in params:
        params["ratio"] = params["beta"] / params["alpha"]
    value = quantity.value(threshold)
    # One more decimal for each leading nine.
    decimals = 3 + max(0, int(threshold / math.log(10)) - 1) if quantity.value is _probability else None
    text = f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}"
    bound = "at most" if quantity.uncertainty else "at least"
    return f"accept when {quantity.name.format(**params)} is {bound} {text}"


def threshold_value(score: FittedScore, threshold: float) -> float:
    """A threshold in the unit of :func:`acceptance_rule`; nan if it accepts nothing.

    Example:
        >>> round(threshold_value(FittedScore("msp"), 1.56445), 3)
        0.791
    """
    return math.nan if threshold == math.inf else _quantity(score).value(threshold)


def _quantity(score: FittedScore) -> _Quantity:
    return _QUANTITIES["msp" if score.fell_back else score.name]
