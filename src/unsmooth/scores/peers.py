"""Scores from the code of Cattelan & Silva (UAI 2024), in forms that do not saturate.

Scales are those of :mod:`unsmooth.scores.logit_scores`: ``"log"`` is a strictly increasing function of the published
value, ``"natural"`` is that value.
"""

import math

import torch
from torch import Tensor

from unsmooth.scores.formulas import of_logits
from unsmooth.scores.logit_scores import Scale, check_temperature, log_entropy, msp_at
from unsmooth.scores.rows import Rows, sigmoid, softplus

# Replaces zero under a logarithm, so that every confidence is finite.
_TINY = 1e-300


def check_bk(alpha: float, beta: float) -> None:
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha must be positive and finite, got {alpha}")
    if not -alpha < beta < float("inf"):
        raise ValueError(f"beta must be above -alpha = {-alpha} and finite, got {beta}")


def check_ets(temperature: float, weight: float) -> None:
    check_temperature(temperature)
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must be in [0, 1], got {weight}")


def check_hts(weight: float, bias: float) -> None:
    if not (abs(weight) < float("inf") and abs(bias) < 700):
        raise ValueError(f"weight must be finite and bias in (-700, 700), got {weight} and {bias}")


def check_lda(num_classes: int) -> None:
    if num_classes == 2:
        raise ValueError("lda needs the spread of the other classes, and K = 2 leaves only one; use msp")


@of_logits(limits=check_bk)
def bk(rows: Rows, *, alpha: float = 1.0, beta: float = 0.5, scale: Scale = "log") -> Tensor:
    r"""Weighted difference of the two largest softmax probabilities.

    .. math:: s = \alpha p_{(1)} - \beta p_{(2)}, \qquad \text{log scale: } -\log(1 - s / \alpha)

    beta = 0 has the order of MSP, beta = alpha that of the softmax margin.

    Args:
        logits: as in :func:`unsmooth.scores.msp`; so are the result and the errors raised.
        alpha: weight of the largest probability, positive.
        beta: weight of the second, above -alpha.
        scale: ``"log"`` or ``"natural"``.

    References:
        Belghazi & Lopez-Paz, "What classifiers know what they don't?", 2021, as released by Cattelan & Silva, UAI 2024.

    Example:
        >>> bk(torch.tensor([[0.0, 0.0]]), alpha=1.0, beta=0.5, scale="natural")
        tensor([0.2500], dtype=torch.float64)
    """
    if scale == "log":
        return -rows.log_uncertainty - torch.log1p(beta / alpha * rows.runner_up_share)
    return alpha * rows.probability - beta * rows.uncertainty * rows.runner_up_share


@of_logits(limits=check_ets)
def ets(rows: Rows, *, temperature: float, weight: float, scale: Scale = "log") -> Tensor:
    r"""Ensemble temperature scaling without its constant term.

    .. math:: s = w \max_k \mathrm{softmax}(z / T)_k + (1 - w) \max_k \mathrm{softmax}(z)_k, \qquad
        \text{log scale: } -\log(1 - s)

    Args:
        logits: as in :func:`unsmooth.scores.msp`; so are the result and the errors raised.
        temperature: T > 0.
        weight: w in [0, 1].
        scale: ``"log"`` or ``"natural"``.

    References:
        Zhang, Kailkhura & Han, "Mix-n-Match", ICML 2020.

    Example:
        >>> ets(torch.tensor([[2.0, 0.0]]), temperature=2.0, weight=1.0, scale="natural")
        tensor([0.7311], dtype=torch.float64)
    """
    return ets_combination(rows.log_odds_at(1 / temperature), rows.log_odds, weight, scale)


def ets_combination(tempered: Tensor, plain: Tensor, weight: float, scale: Scale = "log") -> Tensor:
    """ETS from the log-odds of the prediction with and without temperature."""
    if scale == "natural":
        return weight * sigmoid(tempered) + (1 - weight) * sigmoid(plain)
    # -log(w u_T + (1 - w) u), with the smaller exponent factored out; a weight of zero is an exponent of infinity.
    tempered = softplus(tempered) - (math.log(weight) if weight else -math.inf)
    plain = softplus(plain) - (math.log1p(-weight) if weight < 1 else -math.inf)
    least = torch.minimum(tempered, plain)
    return least - torch.log(torch.exp(least - tempered) + torch.exp(least - plain))


@of_logits(limits=check_hts)
def hts(rows: Rows, *, weight: float, bias: float, scale: Scale = "log") -> Tensor:
    r"""MSP with a temperature for each sample, by its entropy H.

    .. math:: T = \log\left(1 + e^b + w \log \frac{H}{\log K}\right), \qquad s = \max_k \mathrm{softmax}(z / T)_k

    The argument of the logarithm is that of the released code of Cattelan & Silva; the original method puts
    w log(H / log K) inside the exponential. w <= 0 is defined for every row. The order depends on the logits' scale.

    Args:
        logits: as in :func:`unsmooth.scores.msp`; so are the result and the errors raised.
        weight: w, finite.
        bias: b, finite, below 700.
        scale: as in :func:`unsmooth.scores.msp`.

    Raises:
        ValueError: as :func:`unsmooth.scores.msp`, or T is not positive in some row, which needs w > 0.

    References:
        Balanya, Maroñas & Ramos, "Adaptive Temperature Scaling for Robust Calibration of Deep Neural Networks", 2022.

    Example:
        >>> hts(torch.tensor([[2.0, 0.0, 0.0]]), weight=0.0, bias=0.541324855, scale="natural").round(decimals=3)
        tensor([0.7870], dtype=torch.float64)
    """
    return msp_at(hts_log_odds(rows, log_relative_entropy(rows), weight, bias), scale)


def log_relative_entropy(rows: Rows) -> Tensor:
    """log(H / log K) of a block."""
    return log_entropy(rows) - math.log(math.log(rows.num_classes))


def hts_log_odds(rows: Rows, log_entropy: Tensor, weight: float, bias: float) -> Tensor:
    """Log-odds of the prediction at the temperature of the sample, by its `log_relative_entropy`."""
    temperature = torch.log1p(math.exp(bias) + weight * log_entropy)
    rows.refuse(~(temperature > 0), f"gets a temperature that is not positive from weight {weight} and bias {bias}")
    return rows.log_odds_at(1 / temperature)


@of_logits(exists=check_lda)
def lda(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Separation of the prediction from the other classes, in units of their spread.

    .. math:: s = \frac{(p_{(1)} - 1/K)^2}{\mathrm{Var}_{k \ne \hat y}\, p_k}, \qquad \text{log scale: } \log s

    The variance is the row's own, with K - 2 degrees of freedom, and 1e-300 when the other classes tie exactly.
    (The released code takes one variance over all rows together, which leaves the order of MSP.)

    Args:
        logits: (N, K) floating point, K >= 3; the result is as of :func:`unsmooth.scores.msp`.
        scale: ``"log"`` or ``"natural"``, which overflows for confident samples.

    Raises:
        ValueError: as :func:`unsmooth.scores.msp`, or K = 2, where there is no spread.

    References:
        Released code of Cattelan & Silva, UAI 2024, after Fisher's discriminant ratio.

    Example:
        >>> lda(torch.tensor([[3.0, 1.0, 0.0]]), scale="natural").round(decimals=2)
        tensor([100.0100], dtype=torch.float64)
    """
    # The others are u q, so their variance is u^2 Var(q).
    excess = (rows.probability - 1 / rows.num_classes).clamp(min=_TINY)
    log_ratio = 2 * (excess.log() - rows.log_uncertainty) - rows.others_variance.clamp(min=_TINY).log()
    return log_ratio if scale == "log" else log_ratio.exp()


@of_logits()
def j_score(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Mean gap to the largest probability, less the spread of the gaps.

    .. math:: J = p_{(1)} - \mathrm{mean}_k(p_k - p_{(1)}) - \mathrm{std}_k(p_k), \qquad
        \text{log scale: } -\log(J_{\max} - J),\; J_{\max} = 2 - 1/K - 1/\sqrt K

    The standard deviation has K - 1 degrees of freedom.

    Args:
        logits: as in :func:`unsmooth.scores.msp`; so are the result and the errors raised.
        scale: ``"log"`` or ``"natural"``.

    References:
        Released code of Cattelan & Silva, UAI 2024.

    Example:
        >>> j_score(torch.tensor([[0.0, 0.0]]), scale="natural")
        tensor([0.5000], dtype=torch.float64)
    """
    classes = rows.num_classes
    gini_bracket = rows.log_gini_bracket.exp()
    # Var p = (1 - 1/K - (1 - sum p^2)) / (K - 1), whose largest value is 1/K; 1 - sum p^2 = u * bracket.
    spread = ((1 - 1 / classes - rows.uncertainty * gini_bracket).clamp(min=0) / (classes - 1)).sqrt()
    if scale == "natural":
        return 2 * rows.probability - 1 / classes - spread
    # J_max - J = 2u - (1/sqrt K - spread), and the difference of roots is that of the squares over their sum.
    lost_spread = gini_bracket / (classes - 1) / (classes**-0.5 + spread)
    return -rows.log_uncertainty - torch.log(2 - lost_spread)
