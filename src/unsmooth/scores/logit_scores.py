"""Confidence from logits and their softmax.

Scores of probabilities saturate: in float32 most samples of a confident network have MSP exactly 1, and a sort
breaks those ties at random. With ``scale="log"``, the default, they return minus the logarithm of the uncertainty, a
strictly increasing function of the textbook value, which ``scale="natural"`` returns.
"""

from functools import partial
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor

from unsmooth.scores.formulas import of_logits
from unsmooth.scores.rows import Rows, power, sigmoid, softplus

Scale = Literal["log", "natural"]


def check_temperature(temperature: float) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")


def check_gen(gamma: float, top: int) -> None:
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be in (0, 1], got {gamma}")
    if not (isinstance(top, Integral) and top >= 2):
        raise ValueError(f"top must be a whole number of at least 2 classes, got {top}")


def check_k(k: int) -> None:
    if not (isinstance(k, Integral) and k >= 2):
        raise ValueError(f"k must be a whole number of at least 2 classes, got {k}")


@of_logits()
def msp(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Maximum softmax probability.

    .. math:: p_{(1)} = \max_k \mathrm{softmax}(z)_k, \qquad \text{log scale: } -\log(1 - p_{(1)})

    Args:
        logits: (N, K) floating point, K >= 2.
        scale: ``"log"`` for the form that cannot saturate, in [-log(1 - 1/K), inf); ``"natural"`` for the probability.

    Returns:
        (N,) float64; larger is more trusted.

    Raises:
        ValueError: NaN, ``+inf``, K < 2, a row with one class left, or a parameter out of range.

    References:
        Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017.

    Example:
        >>> msp(torch.tensor([[0.0, 0.0], [90.0, 0.0], [91.0, 0.0]]))
        tensor([ 0.6931, 90.0000, 91.0000], dtype=torch.float64)
        >>> msp(torch.tensor([[0.0, 0.0], [90.0, 0.0], [91.0, 0.0]]), scale="natural")
        tensor([0.5000, 1.0000, 1.0000], dtype=torch.float64)
    """
    return msp_at(rows.log_odds, scale)


@of_logits(limits=check_temperature)
def msp_temperature(rows: Rows, *, temperature: float, scale: Scale = "log") -> Tensor:
    r"""Maximum softmax probability of the tempered logits, :math:`\max_k \mathrm{softmax}(z / T)_k`.

    T -> 0 ranks by the margin of the logits, T -> inf by the maximum of the logits centred by their mean.

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        temperature: T > 0; 1 is :func:`msp`. Fit it with :func:`unsmooth.scores.fit_score`.
        scale: as in :func:`msp`.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (T by NLL).
        Cattelan & Silva, "How to Fix a Broken Confidence Estimator", UAI 2024 (T by AURC).

    Example:
        >>> msp_temperature(torch.tensor([[2.0, 0.0]]), temperature=2.0, scale="natural")
        tensor([0.7311], dtype=torch.float64)
    """
    return msp_at(rows.log_odds_at(1 / temperature), scale)


@of_logits()
def max_logit(rows: Rows) -> Tensor:
    r"""Largest logit, :math:`\max_k z_k`.

    Unlike the other scores it changes when a constant is added to a row, and a row may have one class left.

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.

    References:
        Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.

    Example:
        >>> max_logit(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([3.], dtype=torch.float64)
    """
    return rows.top


@of_logits(limits=check_temperature)
def energy(rows: Rows, *, temperature: float = 1.0) -> Tensor:
    r"""Negative free energy, :math:`T \log \sum_k e^{z_k / T}`; the literature's energy is minus this.

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        temperature: T > 0.

    References:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020.

    Example:
        >>> energy(torch.tensor([[0.0, 0.0]]))
        tensor([0.6931], dtype=torch.float64)
    """
    log_odds = rows.log_odds if temperature == 1 else rows.log_odds_at(1 / temperature)
    return rows.top + temperature * softplus(-log_odds)


@of_logits()
def logit_margin(rows: Rows) -> Tensor:
    r"""Gap between the two largest logits, :math:`z_{(1)} - z_{(2)} \ge 0` (RL_conf-M).

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.

    References:
        Liang, Peng & Sun, "Selective Classification Under Distribution Shifts", TMLR 2024.

    Example:
        >>> logit_margin(torch.tensor([[1.0, 3.0, 2.5]]))
        tensor([0.5000], dtype=torch.float64)
    """
    return rows.margin


@of_logits()
def softmax_margin(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Gap between the two largest softmax probabilities.

    .. math:: m = p_{(1)} - p_{(2)}, \qquad \text{log scale: } -\log(1 - m)

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        scale: ``"log"`` for the form that cannot saturate, in [0, inf); ``"natural"`` for m in [0, 1].

    References:
        Scheffer, Decomain & Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001.

    Example:
        >>> softmax_margin(torch.tensor([[0.0, 0.0], [50.0, 0.0], [60.0, 0.0]])).round()
        tensor([ 0., 49., 59.], dtype=torch.float64)
    """
    if scale == "log":
        return -rows.log_uncertainty - torch.log1p(rows.runner_up_share)
    # p1 - p2 = p1 (1 - e^-margin), which keeps the precision of a near tie.
    return rows.probability * -torch.expm1(-rows.margin)


@of_logits()
def negative_entropy(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Minus the entropy of the softmax, in nats.

    .. math:: -H = \sum_k p_k \log p_k, \qquad \text{log scale: } -\log H

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        scale: ``"log"`` for -log H, in [-log log K, inf); ``"natural"`` for -H in [-log K, 0].

    References:
        Shannon, "A Mathematical Theory of Communication", 1948.

    Example:
        >>> negative_entropy(torch.tensor([[0.0, 0.0]]), scale="natural")
        tensor([-0.6931], dtype=torch.float64)
        >>> negative_entropy(torch.tensor([[800.0, 0.0], [900.0, 0.0]])).round()
        tensor([793., 893.], dtype=torch.float64)
    """
    return negated(log_entropy(rows), scale)


@of_logits()
def negative_gini(rows: Rows, *, scale: Scale = "log") -> Tensor:
    r"""Minus the Gini impurity of the softmax, in the order of :func:`doctor` alpha.

    .. math:: -(1 - \textstyle\sum_k p_k^2), \qquad \text{log scale: } -\log(1 - \textstyle\sum_k p_k^2)

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        scale: ``"log"`` for the form that cannot saturate, ``"natural"`` for the value in [-(1 - 1/K), 0].

    References:
        Breiman et al., "Classification and Regression Trees", 1984.

    Example:
        >>> negative_gini(torch.tensor([[0.0, 0.0]]), scale="natural")
        tensor([-0.5000], dtype=torch.float64)
    """
    return negated(rows.log_uncertainty + rows.log_gini_bracket, scale)


@of_logits()
def doctor(rows: Rows, *, variant: Literal["alpha", "beta"] = "alpha", scale: Scale = "log") -> Tensor:
    r"""DOCTOR: minus the estimated odds of an error.

    .. math:: D_\alpha = -\frac{1 - g}{g},\; g = \textstyle\sum_k p_k^2; \qquad D_\beta = -\frac{1 - p_{(1)}}{p_{(1)}}

    The log scale is :math:`-\log(-D)`; for beta that is the log-odds of the prediction, in the order of :func:`msp`.

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        variant: ``"alpha"`` or ``"beta"``.
        scale: ``"log"`` for the form that cannot saturate, ``"natural"`` for D in (-K, 0].

    References:
        Granese et al., "DOCTOR: A Simple Method for Detecting Misclassification Errors", NeurIPS 2021.

    Example:
        >>> doctor(torch.tensor([[0.0, 0.0]]), variant="beta", scale="natural")
        tensor([-1.], dtype=torch.float64)
    """
    if variant not in ("alpha", "beta"):
        raise ValueError(f"variant must be 'alpha' or 'beta', got {variant!r}")
    if variant == "beta":
        return negated(-rows.log_odds, scale)
    collision = rows.probability.square() + rows.uncertainty.square() * rows.others_collision
    return negated(rows.log_uncertainty + rows.log_gini_bracket - torch.log(collision), scale)


doctor_alpha, doctor_beta = partial(doctor, variant="alpha"), partial(doctor, variant="beta")


@of_logits(limits=check_gen)
def gen(rows: Rows, *, gamma: float = 0.1, top: int = 100, scale: Scale = "log") -> Tensor:
    r"""Generalised entropy of the most probable classes, negated.

    .. math:: -G = -\sum_{k \le M} p_{(k)}^\gamma (1 - p_{(k)})^\gamma, \qquad \text{log scale: } -\log G

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        gamma: exponent in (0, 1]; 0.1 in the paper.
        top: M >= 2, number of classes; 100 in the paper. More than K means all.
        scale: ``"log"`` for the form that cannot saturate, ``"natural"`` for -G.

    References:
        Liu, Lochman & Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", CVPR 2023.

    Example:
        >>> gen(torch.tensor([[0.0, 0.0]]), gamma=0.5, scale="natural")
        tensor([-1.], dtype=torch.float64)
    """
    # p = u q for the other classes, so u^gamma factors out of the sum.
    bracket = power(rows.probability, gamma) + rows.others_powers(gamma, top - 1)
    return negated(gamma * rows.log_uncertainty + torch.log(bracket), scale)


@of_logits(limits=check_k)
def softmax_k(rows: Rows, *, k: int, scale: Scale = "log") -> Tensor:
    r"""Maximum softmax probability among the k largest logits alone.

    k = 2 has the order of :func:`logit_margin`; k = K is :func:`msp`.

    Args:
        logits: as in :func:`msp`; so are the result and the errors raised.
        k: number of classes kept, at least 2; more than K means all.
        scale: as in :func:`msp`.

    References:
        Cattelan & Silva, "How to Fix a Broken Confidence Estimator", UAI 2024 (code).

    Example:
        >>> softmax_k(torch.tensor([[0.0, 0.0, 0.0]]), k=2, scale="natural")
        tensor([0.5000], dtype=torch.float64)
    """
    return msp_at(rows.log_odds_among(k), scale)


def msp_at(log_odds: Tensor, scale: Scale = "log") -> Tensor:
    """MSP from the log-odds of the prediction."""
    return softplus(log_odds) if scale == "log" else sigmoid(log_odds)


def log_entropy(rows: Rows) -> Tensor:
    """Logarithm of the entropy of a block, in nats."""
    # H = u (-log u + log(1 + t) / t + H_q) with t = u / p1: positive terms only, and u factored out.
    odds = torch.exp(-rows.log_odds)
    certain_part = torch.where(odds > 0, torch.log1p(odds) / odds, 1.0)
    bracket = -rows.log_uncertainty + certain_part + rows.others_entropy
    return rows.log_uncertainty + torch.log(bracket)


def negated(log_uncertainty: Tensor, scale: Scale) -> Tensor:
    """Minus an uncertainty, given its logarithm; on the log scale, minus the logarithm."""
    return -log_uncertainty if scale == "log" else -torch.exp(log_uncertainty)
