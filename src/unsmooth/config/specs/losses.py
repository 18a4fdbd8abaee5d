"""Losses that an experiment can name; `alpha` is the strength of each, the axis of the grid."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from unsmooth.config.specs.base import Name, NonNegativeFloat, PositiveFloat, PositiveInt, Spec, Strengths, Weights

__all__ = [
    "AdaptiveFocal",
    "Brier",
    "ConfidencePenalty",
    "CrossEntropy",
    "Distillation",
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


class _Loss(Spec):
    """A training loss."""

    mixable: ClassVar[bool] = True  # whether the loss of a mixture of targets means something
    dense: ClassVar[bool] = True  # whether its memory allows a target for each pixel


class CrossEntropy(_Loss):
    """Plain cross-entropy; it has no strength."""

    kind: Literal["ce"] = Field("ce", description="selects this form")


class LabelSmoothing(_Loss):
    """Cross-entropy with smoothed targets; a negative alpha sharpens (negative label smoothing)."""

    kind: Literal["ls"] = Field("ls", description="selects this form")
    alpha: Annotated[list[Annotated[float, Field(ge=-1, lt=1)]], Field(min_length=1)] = Field(
        description="weights of the uniform distribution, the grid axis"
    )


class MarginLabelSmoothing(_Loss):
    """Margin-based label smoothing (MbLS): pulls back only logits further than a margin from the largest."""

    kind: Literal["mbls"] = Field("mbls", description="selects this form")
    alpha: Strengths = Field(description="weights of the penalty (mean over classes), the grid axis")
    margin: NonNegativeFloat = Field(10.0, description="difference of logits that is not penalised")
    schedule: Literal["none", "add", "multiply", "step"] = Field("none", description="how alpha grows by the epoch")
    mu: NonNegativeFloat = Field(0.0, description="what the schedule adds or multiplies by")
    max_alpha: PositiveFloat = Field(100.0, description="where the schedule ends")
    step_size: PositiveInt = Field(100, description="epochs between the steps of schedule step")


class MaxSuppression(_Loss):
    """MaxSup: the penalty of label smoothing on the largest logit instead of the target's."""

    kind: Literal["maxsup"] = Field("maxsup", description="selects this form")
    alpha: Strengths = Field(description="weights of the penalty in the first epoch, the grid axis")
    last_alpha: NonNegativeFloat | None = Field(None, description="weight in the last epoch, reached linearly")


class Focal(_Loss):
    """Focal loss; alpha is its gamma."""

    kind: Literal["focal"] = Field("focal", description="selects this form")
    alpha: Strengths = Field(description="gamma, the grid axis")


class AdaptiveFocal(_Loss):
    """Sample-dependent focal loss (FLSD-53); alpha is its gamma for probabilities of 0.5 and more."""

    kind: Literal["flsd"] = Field("flsd", description="selects this form")
    alpha: Strengths = Field(description="gamma where the target is likely, the grid axis")


class ConfidencePenalty(_Loss):
    """Confidence penalty (ECP): rewards entropy."""

    kind: Literal["ecp"] = Field("ecp", description="selects this form")
    alpha: Strengths = Field(description="weights of the entropy over K, the grid axis")


class L1Penalty(_Loss):
    """L1 distance of the probabilities from the uniform distribution."""

    kind: Literal["l1"] = Field("l1", description="selects this form")
    alpha: Strengths = Field(description="weights of the distance, the grid axis")


class LogitPenalty(_Loss):
    """Squared norm of the logits."""

    kind: Literal["logit_penalty"] = Field("logit_penalty", description="selects this form")
    alpha: Strengths = Field(description="weights of the squared norm, the grid axis")


class Mmce(_Loss):
    """Squared maximum mean calibration error of the batch."""

    mixable: ClassVar[bool] = False  # a prediction for a mixture is neither correct nor wrong
    dense: ClassVar[bool] = False  # it compares all samples in pairs

    kind: Literal["mmce"] = Field("mmce", description="selects this form")
    alpha: Strengths = Field(description="weights of the calibration error, the grid axis")


class WeightedMmce(_Loss):
    """MMCE with correct and wrong samples averaged apart, as MbLS released it."""

    mixable: ClassVar[bool] = False  # as MMCE
    dense: ClassVar[bool] = False  # as MMCE

    kind: Literal["mmce_weighted"] = Field("mmce_weighted", description="selects this form")
    alpha: Strengths = Field(description="weights of the calibration error, the grid axis")


class Brier(_Loss):
    """Brier score; it has no strength."""

    kind: Literal["brier"] = Field("brier", description="selects this form")


class OnlineLabelSmoothing(_Loss):
    """Online label smoothing: soft targets are the last epoch's right predictions."""

    mixable: ClassVar[bool] = False  # a mixture has no class whose predictions to learn from

    kind: Literal["online_ls"] = Field("online_ls", description="selects this form")
    alpha: Weights = Field(description="weights of the soft target, the grid axis")


class Distillation(_Loss):
    """Knowledge distillation: cross-entropy and the divergence from a teacher, another cell with the same seed."""

    kind: Literal["distillation"] = Field("distillation", description="selects this form")
    alpha: Weights = Field(description="weights of the divergence against cross-entropy, the grid axis")
    temperature: PositiveFloat = Field(4.0, description="divides the logits of teacher and student in the divergence")
    teacher: Name = Field(description="key of the teacher's loss")
    teacher_alpha: float | None = Field(None, description="its strength; may be left out where it has one only")
    teacher_architecture: Name | None = Field(None, description="key of its architecture; null is the student's")


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
    | OnlineLabelSmoothing
    | Distillation,
    Field(discriminator="kind"),
]
