"""Theory of the damage to confidence: the extra gradient of label smoothing on the largest logit.

With `v` the logits, `pi = softmax(v)`, `y` the class, `K` classes and smoothing `alpha`,

    dL_CE/dv_k = pi_k - [k = y]
    dL_LS/dv_k = pi_k - (1 - alpha) [k = y] - alpha / K
    d(L_LS - L_CE)/dv_k = alpha ([k = y] - 1 / K).

Given the input, y follows the true posterior, so the extra gradient on the predicted class (the largest logit) has mean

    E[d(L_LS - L_CE)/dv_max] = alpha (P(y = argmax | x) - 1 / K) = alpha (1 - P_error - 1 / K).

Gradient descent moves against it: smoothing pushes the largest logit down, and hardest where the prediction is most
likely right, which erases the difference between sure and unsure predictions. Negative alpha changes every sign.

Everything is float64 NumPy; bad logits or targets, alpha out of range and shapes that differ raise ValueError.

References: Xia et al., "Towards Understanding Why Label Smoothing Degrades Selective Classification and How to Fix It",
ICLR 2025, section 4.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from unsmooth.metrics.inputs import as_finite, as_real, as_targets, refuse_rows
from unsmooth.metrics.sums import Floats

Integers = NDArray[np.int64]


class Peak(NamedTuple):
    """Predicted class of each input and its margin; every field has shape (N,)."""

    prediction: Integers  # argmax, the first one of equals
    max_logit: Floats
    probability: Floats  # largest softmax probability, pi_max = 1 / (1 + odds)
    odds: Floats  # (1 - pi_max) / pi_max, exact where pi_max rounds to 1; smaller is more confident


class WindowStatistics(NamedTuple):
    """Mean and spread of a value in sliding windows of a position; every field has shape (W,)."""

    centre: Floats
    mean: Floats  # nan in an empty window
    std: Floats  # unbiased; nan with fewer than two samples
    samples: Integers


class BinnedGradient(NamedTuple):
    """Mean extra gradient on the largest logit by error probability; every field has shape (B,)."""

    error: Floats  # mean error probability of the bin, in [0, 1]
    error_se: Floats  # its standard error; 0 where the probability is exact
    gradient: Floats  # mean of alpha ([y = argmax] - 1 / K); positive pushes the largest logit down
    gradient_se: Floats
    samples: Integers  # behind the mean gradient


def peak(logits: ArrayLike) -> Peak:
    """Predicted class, largest logit, largest probability and odds against it, without saturation.

    odds = sum_{k != argmax} exp(v_k - v_max)

    Args:
        logits: (N, K) real, K at least 2.

    Returns:
        `Peak` of (N,) arrays; probability in [1/K, 1], higher is more confident, odds in [0, K - 1], lower is.
    """
    values = as_finite(logits, "logits", ndim=2).astype(np.float64)
    if values.shape[1] < 2:
        raise ValueError(f"logits must have shape (N, K) with K at least 2, got {values.shape}")
    rows = np.arange(len(values))
    prediction = values.argmax(axis=1)
    max_logit = values[rows, prediction]
    others = np.exp(values - max_logit[:, None])  # (N, K)
    others[rows, prediction] = 0.0
    odds = others.sum(axis=1)
    return Peak(prediction, max_logit, 1.0 / (1.0 + odds), odds)


def loss_gradient(logits: ArrayLike, targets: ArrayLike, *, alpha: float = 0.0) -> Floats:
    """Gradient of the label-smoothed cross-entropy with respect to the logits.

    dL/dv_k = pi_k - (1 - alpha) [k = y] - alpha / K

    Args:
        logits: (N, K) real.
        targets: (N,) integer class indices in [0, K).
        alpha: smoothing, below 1; 0 is cross-entropy, negative is negative label smoothing.

    Returns:
        (N, K) gradient of each sample's own loss; every row sums to 0.
    """
    values = as_finite(logits, "logits", ndim=2).astype(np.float64)
    classes = as_targets(targets, values.shape)
    _check_alpha(alpha)
    gradient: Floats = softmax(values, axis=1) - alpha / values.shape[1]
    gradient[np.arange(len(values)), classes] -= 1.0 - alpha
    return gradient


def extra_gradient(correct: ArrayLike, *, alpha: float, num_classes: int) -> Floats:
    """Extra gradient of smoothing on the largest logit, d(L_LS - L_CE)/dv_max = alpha ([y = argmax] - 1/K).

    Args:
        correct: (N,) bool, the prediction equals the target.
        alpha: smoothing, below 1.
        num_classes: K, at least 2.

    Returns:
        (N,) extra gradient; positive pushes the largest logit down in training.
    """
    return _extra_gradient(_shares(correct, "correct"), alpha, num_classes)


def expected_extra_gradient(error_probability: ArrayLike, *, alpha: float, num_classes: int) -> Floats:
    """Mean extra gradient on the largest logit, alpha (1 - P_error - 1/K).

    Args:
        error_probability: any shape, in [0, 1]: probability that the prediction is wrong.
        alpha: smoothing, below 1.
        num_classes: K, at least 2.

    Returns:
        Same shape; for alpha > 0 positive (pushed down) where P_error < 1 - 1/K and falling with P_error.
    """
    return _extra_gradient(1.0 - _shares(error_probability, "error_probability"), alpha, num_classes)


def window_statistics(
    position: ArrayLike, value: ArrayLike, *, width: float = 0.05, step: float = 0.005
) -> WindowStatistics:
    """Mean and unbiased standard deviation of `value` in sliding open windows of `position` over [0, 1].

    Window j holds the samples with j * step < position < j * step + width; the last one ends at 1.

    Args:
        position: (N,) in [0, 1], for example the largest probability.
        value: (N,) real, for example the largest logit.
        width: window width, in (0, 1].
        step: distance between windows, positive.

    Returns:
        `WindowStatistics` of (W,) arrays, W = 1 + round((1 - width) / step), in the unit of `value`.

    References:
        Xia et al., ICLR 2025, the plots of v_max given pi_max (width 0.05, step 0.005).
    """
    where, values = _shares(position, "position"), as_real(value, "value").astype(np.float64)
    if where.ndim != 1 or where.shape != values.shape:
        raise ValueError(f"position and value must both have shape (N,), got {where.shape} and {values.shape}")
    if not (0.0 < width <= 1.0 and step > 0.0):
        raise ValueError(f"width must be in (0, 1] and step positive, got {width} and {step}")
    order = np.argsort(where, kind="stable")
    where, values = where[order], values[order]
    lower = np.linspace(0.0, 1.0 - width, 1 + round((1.0 - width) / step))
    first = np.searchsorted(where, lower, side="right")
    last = np.maximum(np.searchsorted(where, lower + width, side="left"), first)
    mean, std = np.full(lower.shape, np.nan), np.full(lower.shape, np.nan)
    for window, (start, stop) in enumerate(zip(first, last, strict=True)):
        if stop > start:
            mean[window] = values[start:stop].mean()
        if stop > start + 1:
            std[window] = values[start:stop].std(ddof=1)
    return WindowStatistics(lower + width / 2.0, mean, std, last - first)


def gradient_by_exact_error(
    logits: ArrayLike, targets: ArrayLike, posterior: ArrayLike, *, alpha: float, bins: int = 10
) -> BinnedGradient:
    """Mean extra gradient on the largest logit in equal-width bins of the exact P_error = 1 - P(y = argmax | x).

    The standard error is the exact one given the posterior, alpha sqrt(sum P_error (1 - P_error)) / count.

    Args:
        logits: (N, K) real.
        targets: (N,) integer classes sampled from the posterior.
        posterior: (N, K) true P(y | x), rows sum to 1.
        alpha: smoothing, below 1.
        bins: number of bins over [0, 1].

    Returns:
        `BinnedGradient` of (bins,) arrays; nan with 0 samples in an empty bin.
    """
    top, correct, num_classes = _scored(logits, targets)
    _check_bins(bins)
    truth = as_real(posterior, "posterior").astype(np.float64)
    if truth.shape != (len(correct), num_classes):
        raise ValueError(
            f"posterior must have the shape of the logits, {(len(correct), num_classes)}, got {truth.shape}"
        )
    improper = (truth < 0).any(axis=1) | ~(np.abs(truth.sum(axis=1) - 1.0) < 0.01)
    refuse_rows(improper, "posterior", "be probabilities, with rows that sum to 1", truth)
    error = np.clip(1.0 - truth[np.arange(len(truth)), top.prediction], 0.0, 1.0)
    index = np.minimum((error * bins).astype(np.int64), bins - 1)
    gradient = _extra_gradient(correct, alpha, num_classes)
    count = np.bincount(index, minlength=bins)
    errors, variance, gradients = (np.bincount(index, each, bins) for each in (error, error * (1 - error), gradient))
    return BinnedGradient(
        error=_ratio(errors, count),
        error_se=np.zeros(bins),
        gradient=_ratio(gradients, count),
        gradient_se=_ratio(abs(alpha) * np.sqrt(variance), count),
        samples=count,
    )


def gradient_by_estimated_error(
    val_logits: ArrayLike,
    val_targets: ArrayLike,
    test_logits: ArrayLike,
    test_targets: ArrayLike,
    *,
    alpha: float,
    bins: int = 10,
) -> BinnedGradient:
    """Mean extra gradient on the largest logit against an error estimated from independent samples.

    The validation split gives the bins (quantiles of its largest probability) and the error of each; the test split
    gives the gradient. Estimating both from one split would make the relation true by construction.

    Args:
        val_logits, val_targets: (M, K) real and (M,) integer classes.
        test_logits, test_targets: (N, K) and (N,), likewise.
        alpha: smoothing, below 1.
        bins: number of bins, each with M / bins validation samples.

    Returns:
        `BinnedGradient` of (bins,) arrays, most confident first; standard errors are binomial, from rates with one
        success and one failure added so that a bin without errors does not claim certainty. nan in an empty bin.
    """
    val_top, val_correct, num_classes = _scored(val_logits, val_targets)
    test_top, test_correct, test_classes = _scored(test_logits, test_targets)
    if test_classes != num_classes:
        raise ValueError(f"test_logits must have the {num_classes} classes of val_logits, got {test_classes}")
    _check_bins(bins)
    if len(val_correct) < bins:
        raise ValueError(f"bins must be at most the number of validation samples, {len(val_correct)}, got {bins}")
    edges = np.quantile(val_top.odds, np.arange(1, bins) / bins)
    (val_hits, val_count), (hits, count) = (
        (np.bincount(index, correct, bins), np.bincount(index, minlength=bins))
        for top, correct in ((val_top, val_correct), (test_top, test_correct))
        for index in [np.searchsorted(edges, top.odds, side="right")]
    )
    return BinnedGradient(
        error=1.0 - _ratio(val_hits, val_count),
        error_se=_binomial_error(val_hits, val_count),
        gradient=_extra_gradient(_ratio(hits, count), alpha, num_classes),
        gradient_se=abs(alpha) * _binomial_error(hits, count),
        samples=count,
    )


def _scored(logits: ArrayLike, targets: ArrayLike) -> tuple[Peak, NDArray[np.bool_], int]:
    """Peaks, whether each prediction is right, and the number of classes."""
    top, shape = peak(logits), np.shape(logits)
    return top, top.prediction == as_targets(targets, shape), shape[1]


def _shares(values: ArrayLike, name: str) -> Floats:
    """Return `values` of any shape as float64; ValueError outside [0, 1]. nan is the share of an empty bin."""
    shares = as_real(values, name).astype(np.float64)
    refuse_rows(np.atleast_1d((shares < 0) | (shares > 1)), name, "be in [0, 1]", np.atleast_1d(shares))
    return shares


def _extra_gradient(correct: NDArray[Any], alpha: float, num_classes: int) -> Floats:
    """alpha (P(y = argmax) - 1/K), nan where the probability is."""
    _check_alpha(alpha)
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    return alpha * (correct - 1.0 / num_classes)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")


def _check_alpha(alpha: float) -> None:
    if not alpha < 1.0:
        raise ValueError(f"alpha must be below 1, got {alpha}")


def _ratio(total: NDArray[Any], count: NDArray[Any]) -> Floats:
    ratio: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return ratio


def _binomial_error(hits: NDArray[Any], count: NDArray[Any]) -> Floats:
    rate = (hits + 1.0) / (count + 2.0)
    error: Floats = np.sqrt(_ratio(rate * (1.0 - rate), count))
    return error
