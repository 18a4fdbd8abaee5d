"""Registry of losses, the source of experiment settings, labels, documentation and tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unsmooth.registry import Parameter, by_name


@dataclass(frozen=True)
class Loss:
    """Registry entry of a loss."""

    name: str  # the `kind` in experiment files and of `make_loss`
    label: str  # name in tables and figures
    summary: str  # one sentence
    target: str  # its class, "module:name"
    source: str  # publication
    # Its strength, the axis of the grid; None if it has none
    alpha: Parameter | None = Parameter("weight of what is added to cross-entropy")
    params: Mapping[str, Parameter] = field(default_factory=dict)  # its other settings
    mixable: bool = True  # whether the loss is defined for mixed targets
    dense: bool = True  # whether its memory allows per-pixel targets


_ENTRIES = (
    Loss(
        "ce",
        "CE",
        "Cross-entropy; it has no strength.",
        "unsmooth.losses.smoothing:CrossEntropy",
        "Good, Journal of the Royal Statistical Society B, 1952",
        alpha=None,
    ),
    Loss(
        "ls",
        "LS",
        "Cross-entropy with smoothed targets; a negative alpha sharpens (negative label smoothing).",
        "unsmooth.losses.smoothing:LabelSmoothing",
        "Szegedy et al., CVPR 2016",
        Parameter("weight of the uniform distribution", low=-1, high=1, open_high=True),
    ),
    Loss(
        "mbls",
        "MbLS",
        "Margin-based label smoothing (MbLS): pulls back only logits further than a margin from the largest.",
        "unsmooth.losses.smoothing:MarginLabelSmoothing",
        "Liu et al., CVPR 2022",
        Parameter("weight of the penalty, the mean over classes"),
        {
            "margin": Parameter("difference of logits that is not penalised", 10.0),
            "schedule": Parameter("how alpha grows by the epoch", "none", ("none", "add", "multiply", "step")),
            "mu": Parameter("what the schedule adds or multiplies by", 0.0),
            "max_alpha": Parameter("alpha at which the schedule ends", 100.0, open_low=True),
            "step_size": Parameter("epochs between the steps of schedule step", 100, int, low=1),
        },
    ),
    Loss(
        "maxsup",
        "MaxSup",
        "MaxSup: the penalty of label smoothing on the largest logit instead of the target's.",
        "unsmooth.losses.smoothing:MaxSuppression",
        "Zhou et al., NeurIPS 2025",
        Parameter("weight of the penalty in the first epoch"),
        {"last_alpha": Parameter("weight in the last epoch, reached linearly", None, optional=True)},
    ),
    Loss(
        "focal",
        "Focal",
        "Focal loss; alpha is its gamma.",
        "unsmooth.losses.focal:FocalLoss",
        "Lin et al., ICCV 2017",
        Parameter("gamma"),
    ),
    Loss(
        "flsd",
        "FLSD",
        "Sample-dependent focal loss (FLSD-53); alpha is its gamma for probabilities of 0.5 and more.",
        "unsmooth.losses.focal:AdaptiveFocalLoss",
        "Mukhoti et al., NeurIPS 2020",
        Parameter("gamma where the target is likely"),
    ),
    Loss(
        "ecp",
        "ECP",
        "Confidence penalty (ECP): rewards entropy.",
        "unsmooth.losses.penalties:ConfidencePenalty",
        "Pereyra et al., ICLR 2017 workshop",
        Parameter("weight of the entropy over K"),
    ),
    Loss(
        "l1",
        "L1",
        "L1 distance of the probabilities from the uniform distribution.",
        "unsmooth.losses.penalties:L1Penalty",
        "Liu et al., CVPR 2022, released code",
        Parameter("weight of the distance"),
    ),
    Loss(
        "logit_penalty",
        "Logit penalty",
        "Squared norm of the logits.",
        "unsmooth.losses.penalties:LogitPenalty",
        "Kornblith et al., NeurIPS 2021",
        Parameter("weight of the squared norm"),
    ),
    Loss(
        "mmce",
        "MMCE",
        "Squared maximum mean calibration error of the batch.",
        "unsmooth.losses.calibration:MMCE",
        "Kumar et al., ICML 2018",
        Parameter("weight of the calibration error"),
        mixable=False,  # a prediction for a mixture is neither correct nor wrong
        dense=False,  # it compares all samples in pairs
    ),
    Loss(
        "mmce_weighted",
        "Weighted MMCE",
        "MMCE with correct and wrong samples averaged apart, as MbLS released it.",
        "unsmooth.losses.calibration:WeightedMMCE",
        "Liu et al., CVPR 2022, released code",
        Parameter("weight of the calibration error"),
        mixable=False,  # as MMCE
        dense=False,  # as MMCE
    ),
    Loss(
        "brier",
        "Brier",
        "Brier score; it has no strength.",
        "unsmooth.losses.calibration:BrierLoss",
        "Brier, Monthly Weather Review, 1950",
        alpha=None,
    ),
    Loss(
        "online_ls",
        "Online LS",
        "Online label smoothing: soft targets are the last epoch's right predictions.",
        "unsmooth.losses.smoothing:OnlineLabelSmoothing",
        "Zhang et al., IEEE Transactions on Image Processing, 2021",
        Parameter("weight of the soft target", high=1),
        mixable=False,  # a mixture has no class with running predictions
    ),
    Loss(
        "distillation",
        "KD",
        "Knowledge distillation: cross-entropy and the divergence from a teacher, another cell with the same seed.",
        "unsmooth.losses.distillation:Distillation",
        "Hinton, Vinyals & Dean, 2015",
        Parameter("weight of the divergence against cross-entropy", high=1),
        {"temperature": Parameter("divides the logits of teacher and student in the divergence", 4.0, open_low=True)},
    ),
)

LOSSES: Mapping[str, Loss] = by_name(_ENTRIES)
BASELINE, SMOOTHING = "ce", "ls"  # default labels: each key is its kind
