"""Post-hoc logit normalisation: confidence from p-normalised logits, the repair of label smoothing."""

import torch
from torch import Tensor

from unsmooth.scores.formulas import of_logits
from unsmooth.scores.logit_scores import Scale, check_temperature, msp_at
from unsmooth.scores.rows import Centring, Rows, check_norm, check_ranking


def check_msp_pnorm(p: float, temperature: float, centring: str) -> None:
    check_norm(p, centring)
    check_temperature(temperature)


@of_logits(limits=check_norm, exists=check_ranking)
def max_logit_pnorm(rows: Rows, *, p: float, centring: Centring = "mean") -> Tensor:
    r"""Largest logit after centring and division by the p-norm: the repair of label smoothing.

    .. math:: \frac{\max_k u_k}{\lVert u \rVert_p}, \qquad u = z - c(z)

    Invariant to shifts of a row (unless ``centring="none"``) and to its scale (unless p = 0). With p = 0 the "norm"
    is the number of non-zero entries, so the score is the centred maximum logit; with p = inf it is 1 wherever the
    largest magnitude is the maximum, a large tie. A constant row gets the lowest value: 0, or -1 when not centred.
    Masked classes (``-inf``) are left out of the mean and the norm.

    Without validation data use p = 5: over 84 ImageNet models a fixed p of 5 or 6 gains as much as p tuned on 1,000
    samples (Cattelan & Silva 2024, released ablation: 0.0681 at p = 5 and p = 6, 0.0680 tuned).

    Args:
        logits: (N, K) floating point, K >= 3 (K = 2 with ``centring="none"`` or p = 0).
        p: norm order in [0, inf]; integers to 64 are exact products, others use ``pow``.
        centring: subtract the row's ``"mean"``, its ``"min"``, or nothing.

    Returns:
        (N,) float64, in (0, 1] for p > 0 when centred; larger is more trusted.

    Raises:
        ValueError: NaN, ``+inf``, K = 1, p negative or NaN, p = 0 without centring, or K = 2 centred: a constant score.

    References:
        Xia et al., "Towards Understanding Why Label Smoothing Degrades Selective Classification and How to Fix It",
        ICLR 2025. Cattelan & Silva, "How to Fix a Broken Confidence Estimator", UAI 2024.

    Example:
        >>> max_logit_pnorm(torch.tensor([[4.0, 1.0, 1.0]]), p=1)
        tensor([0.5000], dtype=torch.float64)
    """
    return rows.normalised_maximum([p], centring)[:, 0]


@of_logits(limits=check_msp_pnorm, exists=check_ranking)
def msp_pnorm(
    rows: Rows, *, p: float, temperature: float = 1.0, centring: Centring = "mean", scale: Scale = "log"
) -> Tensor:
    r"""Maximum softmax probability of the p-normalised logits.

    .. math:: \max_k \mathrm{softmax}\!\left(\frac{u}{T \lVert u \rVert_p}\right)_k, \qquad u = z - c(z)

    Args:
        logits, p, centring: as in :func:`max_logit_pnorm`.
        temperature: T > 0, in units of the norm.
        scale: as in :func:`msp`.

    Returns:
        (N,) float64; larger is more trusted. A constant row gets the lowest value, that of MSP = 1/K.

    Raises:
        ValueError: as :func:`max_logit_pnorm`, or ``temperature`` not positive and finite.

    References:
        Cattelan & Silva, "How to Fix a Broken Confidence Estimator", UAI 2024.

    Example:
        >>> msp_pnorm(torch.tensor([[4.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), p=1, scale="natural")
        tensor([0.5142, 0.3333], dtype=torch.float64)
    """
    return msp_at(rows.log_odds_at(1 / (temperature * pnorm_units(rows, p, centring))), scale)


def pnorm_units(rows: Rows, p: float, centring: Centring = "mean") -> Tensor:
    """Norm of each row's centred logits, (n,), by which a temperature is multiplied; 1 for a constant row."""
    norm = rows.norms([p], centring)[1][:, 0]
    return torch.where(norm > 0, norm, 1.0)


@of_logits(limits=check_norm, exists=check_ranking)
def top_pnorm_logits(rows: Rows, *, p: float, k: int = 3, centring: Centring = "mean") -> Tensor:
    r"""The k largest p-normalised logits, in descending order: features for a learned confidence.

    Args:
        logits, p, centring: as in :func:`max_logit_pnorm`.
        k: number of logits, from 1 to K.

    Returns:
        (N, k) float64; the first column is :func:`max_logit_pnorm`, 0 for a constant row.

    Raises:
        ValueError: as :func:`max_logit_pnorm`, or k out of range.

    References:
        "MetaModelSelect", submission to ICLR 2026, OpenReview KN5Q08kfFX.

    Example:
        >>> top_pnorm_logits(torch.tensor([[4.0, 1.0, 1.0]]), p=1)
        tensor([[ 0.5000, -0.2500, -0.2500]], dtype=torch.float64)
    """
    if not 1 <= k <= rows.num_classes:
        raise ValueError(f"k must be in [1, {rows.num_classes}], got {k}")
    top, norm = rows.norms([p], centring)
    below = rows.logits.topk(k, dim=1).values.to(rows.fine) - rows.top[:, None]
    return torch.where(norm > 0, (top[:, None] + below) / norm, 0.0)
