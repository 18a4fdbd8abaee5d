"""Thresholds in readable units: a probability instead of its logarithm.

Scores of a probability return minus the logarithm of the complement, which cannot saturate (see
:mod:`unsmooth.scores.logit_scores`). A threshold of 1.56445 on MSP is therefore a largest probability of 0.791.
"""

import math

from unsmooth.registry.scores import SCORES, Score
from unsmooth.scores.fitting import FittedScore

REJECT = -1  # the class of a sample that is not accepted


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
    entry, params = _entry(score), dict(score.params)
    if "beta" in params:
        params["ratio"] = params["beta"] / params["alpha"]
    value, nines = threshold_value(score, threshold), threshold / math.log(10)
    text = f"{value:.4g}"
    if entry.unit == "probability":  # from 13 nines on, double precision lacks the digits that matter
        text = f"{value:.{2 + max(1, int(nines))}f}" if nines < 13 else f"1 - 10^-{nines:.4g}"
    bound = "at most" if entry.unit == "uncertainty" else "at least"
    return f"accept when {(entry.quantity or f'the score {entry.label}').format(**params)} is {bound} {text}"


def threshold_value(score: FittedScore, threshold: float) -> float:
    """A threshold in the unit of :func:`acceptance_rule`; nan if it accepts nothing.

    Example:
        >>> round(threshold_value(FittedScore("msp"), 1.56445), 3)
        0.791
    """
    if threshold == math.inf:
        return math.nan
    match _entry(score).unit:
        case "probability":
            return -math.expm1(-threshold)
        case "uncertainty":
            return math.exp(-threshold)
    return threshold


def _entry(score: FittedScore) -> Score:
    return SCORES["msp" if score.fell_back else score.name]
