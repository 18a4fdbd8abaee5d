"""Confidence scores: one number per prediction from the logits of a classifier, larger = more trusted.

Every score takes (N, K) logits and returns (N,) float64 confidences of the same kind, larger = more trusted: a tensor
on the same device for a tensor, an array for an array. The input is never changed. A logit of ``-inf`` is a masked
class, of probability zero. NaN, ``+inf``, a single class or a row with a single class left raise ``ValueError``.

- One score: :func:`msp`, :func:`max_logit_pnorm` and the other functions.
- All at once, in one pass: :func:`score_all`.
- Parameters from validation data: :func:`fit_score`.
- From penultimate features: classes such as :class:`Mahalanobis`, fitted, then called; or :func:`score_by_features`.
- Registry: :data:`SCORES` with the inputs of each score, :func:`available_scores`; ``SCORES[name].usage`` is the call.
"""

from unsmooth.registry.scores import NLL_TEMPERATURE, SCORES, Score, available_scores, find_score
from unsmooth.scores.feature_scores import (
    SIRC,
    DeltaMahalanobis,
    DeltaNearestNeighbours,
    Mahalanobis,
    NearestNeighbours,
    ViM,
    rl_geo_m,
    score_by_features,
)
from unsmooth.scores.fitting import DEFAULT_PS, FittedScore, fit_score, usable_scores
from unsmooth.scores.logit_scores import (
    doctor,
    energy,
    gen,
    logit_margin,
    max_logit,
    msp,
    msp_temperature,
    negative_entropy,
    negative_gini,
    softmax_k,
    softmax_margin,
)
from unsmooth.scores.one_pass import ScoredLogits, pnorm_name, score_all
from unsmooth.scores.peers import bk, ets, hts, j_score, lda
from unsmooth.scores.pnorm import max_logit_pnorm, msp_pnorm, top_pnorm_logits

__all__ = [
    "DEFAULT_PS",
    "NLL_TEMPERATURE",
    "SCORES",
    "SIRC",
    "DeltaMahalanobis",
    "DeltaNearestNeighbours",
    "FittedScore",
    "Mahalanobis",
    "NearestNeighbours",
    "Score",
    "ScoredLogits",
    "ViM",
    "available_scores",
    "bk",
    "doctor",
    "energy",
    "ets",
    "find_score",
    "fit_score",
    "gen",
    "hts",
    "j_score",
    "lda",
    "logit_margin",
    "max_logit",
    "max_logit_pnorm",
    "msp",
    "msp_pnorm",
    "msp_temperature",
    "negative_entropy",
    "negative_gini",
    "pnorm_name",
    "rl_geo_m",
    "score_all",
    "score_by_features",
    "softmax_k",
    "softmax_margin",
    "top_pnorm_logits",
    "usable_scores",
]
