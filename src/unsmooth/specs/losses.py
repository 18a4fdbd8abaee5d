"""Losses that an experiment can name; `alpha` is the strength of each, the axis of the grid."""

from typing import Annotated, Literal

from pydantic import Field

from unsmooth.specs.base import NonNegativeFloat, PositiveFloat, PositiveInt, Spec, Strengths

__all__ = [
    "AdaptiveFocal",
    "Brier",
    "ConfidencePenalty",
    "CrossEntropy",
    "Focal",
    "L1Penalty",
    "LabelSmoothing",
    "LogitPenalty",
    "Loss",
    "MarginLabelSmoothing",
    "MaxSuppression",
    "Mmce",
    "OnlineLabelSmoothing",
    "WeightedMmce",
]


class CrossEntropy(Spec):
    """Plain cross-entropy; it has no strength."""

    kind: Literal["ce"] = Field("ce", description="selects this form")


class LabelSmoothing(Spec):
    """Cross-entropy with smoothed targets; a negative alpha sharpens (negative label smoothing)."""

    kind: Literal["ls"] = Field("ls", description="selects this form")
    alpha: Annotated[list[Annotated[float, Field(ge=-1, lt=1)]], Field(min_length=1)] = Field(
        description="weights of the uniform distribution, the grid axis"
    )


class MarginLabelSmoothing(Spec):
    """Margin-based label smoothing (MbLS): pulls back only logits further than a margin from the largest."""

    kind: Literal["mbls"] = Field("mbls", description="selects this form")
    alpha: Strengths = Field(description="weights of the penalty (mean over classes), the grid axis")
    margin: NonNegativeFloat = Field(10.0, description="difference of logits that is not penalised")
    schedule: Literal["none", "add", "multiply", "step"] = Field("none", description="how alpha grows by the epoch")
    mu: NonNegativeFloat = Field(0.0, description="what the schedule adds or multiplies by")
    max_alpha: PositiveFloat = Field(100.0, description="where the schedule ends")
    step_size: PositiveInt = Field(100, description="epochs between the steps of schedule step")


class MaxSuppression(Spec):
    """MaxSup: the penalty of label smoothing on the largest logit instead of the target's."""

    kind: Literal["maxsup"] = Field("maxsup", description="selects this form")
    alpha: Strengths = Field(description="weights of the penalty in the first epoch, the grid axis")
    last_alpha: NonNegativeFloat | None = Field(None, description="weight in the last epoch, reached linearly")


class Focal(Spec):
    """Focal loss; alpha is its gamma."""

    kind: Literal["focal"] = Field("focal", description="selects this form")
    alpha: Strengths = Field(description="gamma, the grid axis")


class AdaptiveFocal(Spec):
    """Sample-dependent focal loss (FLSD-53); alpha is its gamma for probabilities of 0.5 and more."""

    kind: Literal["flsd"] = Field("flsd", description="selects this form")
    alpha: Strengths = Field(description="gamma where the target is likely, the grid axis")


class ConfidencePenalty(Spec):
    """Confidence penalty (ECP): rewards entropy."""

    kind: Literal["ecp"] = Field("ecp", description="selects this form")
    alpha: Strengths = Field(description="weights of the entropy over K, the grid axis")


class L1Penalty(Spec):
    """L1 distance of the probabilities from the uniform distribution."""

    kind: Literal["l1"] = Field("l1", description="selects this form")
    alpha: Strengths = Field(description="weights of the distance, the grid axis")


class LogitPenalty(Spec):
    """Squared norm of the logits."""

    kind: Literal["logit_penalty"] = Field("logit_penalty", description="selects this form")
    alpha: Strengths = Field(description="weights of the squared norm, the grid axis")


class Mmce(Spec):
    """Squared maximum mean calibration error of the batch."""

    kind: Literal["mmce"] = Field("mmce", description="selects this form")
    alpha: Strengths = Field(description="weights of the calibration error, the grid axis")


class WeightedMmce(Spec):
    """MMCE with correct and wrong samples averaged apart, as MbLS released it."""

    kind: Literal["mmce_weighted"] = Field("mmce_weighted", description="selects this form")
    alpha: Strengths = Field(description="weights of the calibration error, the grid axis")


class Brier(Spec):
    """Brier score; it has no strength."""

    kind: Literal["brier"] = Field("brier", description="selects this form")


class OnlineLabelSmoothing(Spec):
    """Online label smoothing: soft targets are the last epoch's right predictions."""

    kind: Literal["online_ls"] = Field("online_ls", description="selects this form")
    alpha: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)] = Field(
        description="weights of the soft target, the grid axis"
    )


Loss = Annotated[
    CrossEntropy
    | LabelSmoothing
    | MarginLabelSmoothing
    | MaxSuppression
    | Focal
    | AdaptiveFocal
    | ConfidencePenalty
    | L1Penalty
    | LogitPenalty
    | Mmce
    | WeightedMmce
    | Brier
    | OnlineLabelSmoothing,
    Field(discriminator="kind"),
]
