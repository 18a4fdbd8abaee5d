"""Metrics of selective classification and calibration; tensors, arrays or lists in, Python floats out.

`confidence` is any score, larger = more trusted; `errors` is 1 where the prediction is wrong. Conventions shared by all
(ties, weights, undefined values) are stated at the top of `unsmooth.metrics.selective`. Nothing here imports torch.

Metrics take sample weights, except `certified_threshold` and `selective_gap_terms`, whose guarantees count independent
samples, `StreamingMetrics`, which counts whole samples, and the MbLS variants, which reproduce published code.
"""

from unsmooth.metrics.calibration import (
    ReliabilityCurve,
    adaptive_ece,
    brier,
    classwise_ece,
    ece,
    nll,
    reliability_curve,
)
from unsmooth.metrics.calibration_mbls import adaptive_ece_mbls, classwise_ece_mbls, ece_mbls
from unsmooth.metrics.certificates import CertifiedThreshold, certified_threshold
from unsmooth.metrics.detection import failure_auroc, failure_fpr95
from unsmooth.metrics.inputs import UndefinedMetricWarning
from unsmooth.metrics.intervals import (
    Interval,
    bootstrap,
    bootstrap_means,
    bootstrap_replicates,
    holm,
    paired_bootstrap,
)
from unsmooth.metrics.logit_distances import LogitDistances, logit_distances
from unsmooth.metrics.operating import coverage_at_risk, risk_at_coverage, selective_gap
from unsmooth.metrics.segmentation import mean_iou, pixel_accuracy
from unsmooth.metrics.selective import (
    CONVENTIONS,
    Convention,
    RiskCoverageCurve,
    achievable_aurc,
    augrc,
    aurc,
    aurc_conventions,
    eaurc,
    naurc,
    optimal_aurc,
    risk_coverage_curve,
)
from unsmooth.metrics.streaming import StreamingMetrics
from unsmooth.metrics.summary import SelectiveSummary, selective_metrics, selective_summary

__all__ = [
    "CONVENTIONS",
    "CertifiedThreshold",
    "Convention",
    "Interval",
    "LogitDistances",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "SelectiveSummary",
    "StreamingMetrics",
    "UndefinedMetricWarning",
    "achievable_aurc",
    "adaptive_ece",
    "adaptive_ece_mbls",
    "augrc",
    "aurc",
    "aurc_conventions",
    "bootstrap",
    "bootstrap_means",
    "bootstrap_replicates",
    "brier",
    "certified_threshold",
    "classwise_ece",
    "classwise_ece_mbls",
    "coverage_at_risk",
    "eaurc",
    "ece",
    "ece_mbls",
    "failure_auroc",
    "failure_fpr95",
    "holm",
    "logit_distances",
    "mean_iou",
    "naurc",
    "nll",
    "optimal_aurc",
    "paired_bootstrap",
    "pixel_accuracy",
    "reliability_curve",
    "risk_at_coverage",
    "risk_coverage_curve",
    "selective_gap",
    "selective_metrics",
    "selective_summary",
]
