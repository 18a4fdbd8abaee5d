"""Confidence as a detector of errors: ROC and precision-recall metrics.

Tied confidences enter the ROC area as half a win each, the expectation over random tie-breaks. FPR and average
precision follow thresholds, which cannot split a tie.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_binary_errors, as_fraction
from unsmooth.metrics.ranking import finish, rank_errors, rank_levels


def failure_auroc(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Probability that a correct sample is more confident than a wrong one, ties counting one half.

    AUROC = (1 / (C E)) sum_(i correct, j wrong) ([s_i > s_j] + [s_i = s_j] / 2), C correct and E wrong samples.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1.
        sample_weight: (N,) non-negative.

    Returns:
        Area in [0, 1], higher is better, 0.5 is random; nan with a warning when all are correct or all are wrong.

    Raises:
        ValueError: errors that are not 0/1, or bad data.

    References:
        Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017.

    Example:
        >>> failure_auroc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        0.75
    """
    ranks = rank_errors(confidence, as_binary_errors(errors), sample_weight)
    return finish(ranks.auroc(), "failure_auroc", ranks)


def failure_fpr95(
    confidence: ArrayLike, errors: ArrayLike, *, tpr: float = 0.95, sample_weight: ArrayLike | None = None
) -> float:
    """Share of errors accepted by the strictest threshold that accepts at least 95 % of the correct samples.

    FPR = min over thresholds t of errors(t) / E with correct(t) / C >= 0.95, C correct and E wrong samples.
    Other arguments and errors raised as `failure_auroc`.

    Args:
        tpr: share of correct samples to accept, in (0, 1]; fd-shifts rounds and uses 0.9495.

    Returns:
        Rate in [0, 1], lower is better; nan with a warning when all are correct or all are wrong.

    References:
        Corbière et al., Addressing Failure Prediction by Learning Model Confidence, NeurIPS 2019, section 4.

    Example:
        >>> failure_fpr95([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        0.5
    """
    share = as_fraction(tpr, "tpr", open_low=True)
    ranks = rank_errors(confidence, as_binary_errors(errors), sample_weight)
    return finish(ranks.fpr_at_tpr(share), "failure_fpr95", ranks)


def ap_errors(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Average precision of detecting errors by low confidence.

    AP = sum_t precision(t) (recall(t) - recall(t')), t' the threshold before, rejecting confidence <= t to find errors.
    Arguments and errors raised as `failure_auroc`.

    Returns:
        Area in [0, 1], higher is better, the error rate is random; nan with a warning when there are no errors.

    References:
        Hendrycks and Gimpel, ICLR 2017, section 2; Corbière et al., NeurIPS 2019, section 4.

    Example:
        >>> round(ap_errors([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.8333
    """
    ranks = rank_errors(confidence, as_binary_errors(errors), sample_weight)
    if not ranks.error_count:
        return finish(math.nan, "ap_errors", ranks)
    precision = (ranks.error_count - ranks.before) / (ranks.total - ranks.above)
    return float((precision * ranks.errors).sum() / ranks.error_count)


def ap_successes(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Average precision of detecting correct predictions by high confidence.

    AP = sum_t precision(t) (recall(t) - recall(t')), t' the threshold before, accepting confidence >= t.
    Arguments and errors raised as `failure_auroc`.

    Returns:
        Area in [0, 1], higher is better, the accuracy is random; nan with a warning when nothing is correct.

    References:
        Hendrycks and Gimpel, ICLR 2017, section 2; Corbière et al., NeurIPS 2019, section 4.

    Example:
        >>> round(ap_successes([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.8333
    """
    levels = rank_levels(confidence, as_binary_errors(errors), sample_weight)
    correct = levels.size - levels.errors
    total = correct.sum()
    if not total:
        return finish(math.nan, "ap_successes", levels.error_ranks())
    return float((np.cumsum(correct) / levels.accepted * correct).sum() / total)
