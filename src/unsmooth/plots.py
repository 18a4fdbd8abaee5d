"""Plots of one classifier's confidence on axes of the caller's: risk-coverage, reliability, maximum logit."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.extras import named_extras
from unsmooth.metrics import reliability_curve, risk_coverage_curve
from unsmooth.metrics.inputs import as_real, as_targets
from unsmooth.theory import window_statistics

with named_extras():
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 10  # samples of a window of the maximum logit


def plot_risk_coverage(confidence: ArrayLike, errors: ArrayLike, *, ax: "Axes | None" = None, **line: Any) -> "Axes":
    """Plot the selective risk against the coverage; lower is better.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool, whether the prediction is wrong.
        ax: axes to draw on; None takes the current ones.
        line: options of `Axes.plot`, such as `label`.

    Returns:
        The axes; call it again with the same axes to compare scores.
    """
    ax = _axes(ax, "Coverage", "Selective risk")
    curve = risk_coverage_curve(confidence, errors)
    ax.plot(curve.coverage, curve.selective_risk, drawstyle="steps-post", **line)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    return ax


def plot_reliability(
    probability: ArrayLike, errors: ArrayLike, *, bins: int = 15, ax: "Axes | None" = None, **line: Any
) -> "Axes":
    """Plot the accuracy against the mean predicted probability in bins of equal width; the diagonal is calibrated.

    Args:
        probability: (N,) largest softmax probability, in [0, 1].
        errors: (N,) bool, whether the prediction is wrong.
        bins: number of bins.
        ax: axes to draw on; None takes the current ones.
        line: options of `Axes.plot`, such as `label`.

    Returns:
        The axes. Points above the diagonal are less confident than they are accurate.
    """
    ax = _axes(ax, "Largest probability", "Accuracy")
    curve = reliability_curve(probability, errors, bins=bins)
    filled = np.asarray(curve.weight) > 0
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    ax.plot(np.asarray(curve.confidence)[filled], np.asarray(curve.accuracy)[filled], **{"marker": "o", **line})
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax


def plot_max_logit(logits: ArrayLike, targets: ArrayLike, *, ax: "Axes | None" = None) -> "Axes":
    """Plot the mean centred maximum logit given the largest probability, for correct and for wrong predictions.

    Under label smoothing wrong predictions have the larger maximum logit at equal probability; under cross-entropy the
    two curves agree (Xia et al., ICLR 2025, section 4).

    Args:
        logits: (N, K).
        targets: (N,) class indices.
        ax: axes to draw on; None takes the current ones.

    Returns:
        The axes, with a band of one standard error around each mean.

    Raises:
        ValueError: softmax outputs, NaN, or targets that are no class of the logits.
    """
    from unsmooth.diagnosis.signature import centred_maximum  # torch takes a second to start
    from unsmooth.scores import msp

    ax = _axes(ax, "Largest probability", "Centred maximum logit")
    values = as_real(logits, "logits")
    probability, largest = msp(values, scale="natural"), centred_maximum(values)
    correct = values.argmax(axis=1) == as_targets(targets, values.shape)
    for name, rows in (("correct", correct), ("wrong", ~correct)):
        found = window_statistics(probability[rows], largest[rows], step=0.01)
        kept = found.samples >= FEWEST
        centre, mean = found.centre[kept], found.mean[kept]
        error = found.std[kept] / np.sqrt(found.samples[kept])
        (line,) = ax.plot(centre, mean, label=name)
        ax.fill_between(centre, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
    ax.legend()
    return ax


def _axes(ax: "Axes | None", x: str, y: str) -> "Axes":
    ax = plt.gca() if ax is None else ax
    ax.set(xlabel=x, ylabel=y)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    return ax
