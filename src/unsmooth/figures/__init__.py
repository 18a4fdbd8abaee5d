"""Figures: each function turns tables or logits into a figure and its data.

Sizes are in inches; `losses` are those of the experiment. Missing columns or rows raise ValueError, and so do several
experiments or architectures in one figure.
"""

from unsmooth.figures.calibration import logit_distances, reliability
from unsmooth.figures.curves import risk_coverage
from unsmooth.figures.mechanism import extra_gradient, max_logit_given_probability
from unsmooth.figures.scorecard import scorecard_figure
from unsmooth.figures.style import save_figure
from unsmooth.figures.sweeps import degradation, pnorm_sweep
from unsmooth.figures.zoo import zoo

__all__ = [
    "degradation",
    "extra_gradient",
    "logit_distances",
    "max_logit_given_probability",
    "pnorm_sweep",
    "reliability",
    "risk_coverage",
    "save_figure",
    "scorecard_figure",
    "zoo",
]
