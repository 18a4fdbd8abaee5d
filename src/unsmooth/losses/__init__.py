"""Training losses: logits and targets in, one number out.

A loss takes `(logits, targets)` with the class axis at 1 and any trailing dimensions; targets are class indices or
distributions. The keywords are `ignore_index` and `reduction`; `alpha` is the strength, the grid axis of an experiment.
"""

from unsmooth.losses.base import ClassificationLoss, Reduction
from unsmooth.losses.calibration import MMCE, BrierLoss, WeightedMMCE
from unsmooth.losses.distillation import Distillation
from unsmooth.losses.factory import make_loss
from unsmooth.losses.focal import AdaptiveFocalLoss, FocalLoss
from unsmooth.losses.penalties import ConfidencePenalty, L1Penalty, LogitPenalty
from unsmooth.losses.smoothing import (
    CrossEntropy,
    LabelSmoothing,
    MarginLabelSmoothing,
    MaxSuppression,
    OnlineLabelSmoothing,
    effective_smoothing,
    smooth_targets,
)

__all__ = [
    "MMCE",
    "AdaptiveFocalLoss",
    "BrierLoss",
    "ClassificationLoss",
    "ConfidencePenalty",
    "CrossEntropy",
    "Distillation",
    "FocalLoss",
    "L1Penalty",
    "LabelSmoothing",
    "LogitPenalty",
    "MarginLabelSmoothing",
    "MaxSuppression",
    "OnlineLabelSmoothing",
    "Reduction",
    "WeightedMMCE",
    "effective_smoothing",
    "make_loss",
    "smooth_targets",
]
