"""What an experiment can be made of: datasets, architectures, losses and recipes, with types and ranges.

Each class here is one line of a registry: its `kind`, the options a YAML file may set, and the function that the
kind stands for, written "module:name" and imported only when it is used, so that reading a configuration never
imports torch. To add a dataset, an architecture or a loss, add its class and put it into the union below.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "AdamW",
    "Architecture",
    "Augmentation",
    "Constant",
    "Cosine",
    "Dataset",
    "GradientClip",
    "Loss",
    "MultiStep",
    "OneCycle",
    "Recipe",
    "Sgd",
    "Spec",
    "Warmup",
    "module_file",
    "resolve",
]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Spec(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def resolve(target: str) -> Any:
    """Import what "module:name" names."""
    module, name = target.split(":")
    return getattr(import_module(module), name)


def module_file(target: str) -> Path:
    """Return the file of the module that "module:name" names, without importing it."""
    return Path(__file__).parents[1].joinpath(*target.split(":")[0].split(".")).with_suffix(".py")


# Datasets ------------------------------------------------------------------------------------------------------------


class Glyphs(Spec):
    """62 characters in the fonts of matplotlib, small noisy grey images, drawn locally."""

    target: ClassVar[str] = "unsmooth.data.glyphs:build"
    embedded: ClassVar[bool] = True
    inputs: ClassVar[str] = "images"

    kind: Literal["glyphs"] = Field("glyphs", description="selects this form")
    num_train: PositiveInt = Field(5000, description="training images")
    num_val: PositiveInt = Field(5000, description="images on which p, temperature and other scores are fitted")
    num_test: PositiveInt = Field(15000, description="images that only measure")
    image_size: Annotated[int, Field(ge=8, le=64)] = Field(16, description="height and width, pixels")
    noise: NonNegativeFloat = Field(0.09, description="standard deviation of the pixel noise, grey scale 0 to 1")
    distortion: NonNegativeFloat = Field(0.85, description="size of the random affine map; 1 is up to 20 degrees")
    seed: Seed = Field(0, description="seed of the images")


class Gaussians(Spec):
    """Overlapping Gaussian classes in a plane, whose posterior P(class | input) is known exactly."""

    target: ClassVar[str] = "unsmooth.data.gaussians:build"
    embedded: ClassVar[bool] = True
    inputs: ClassVar[str] = "vectors"

    kind: Literal["gaussians"] = Field("gaussians", description="selects this form")
    num_train: PositiveInt = Field(4000, description="training points")
    num_val: PositiveInt = Field(4000, description="points on which scores are fitted")
    num_test: PositiveInt = Field(40000, description="points that only measure")
    num_classes: Annotated[int, Field(ge=2)] = Field(8, description="classes, means on a circle")
    spread: PositiveFloat = Field(0.45, description="standard deviation of a class; neighbouring means lie 1 apart")
    seed: Seed = Field(0, description="seed of the points")


Dataset = Annotated[Glyphs | Gaussians, Field(discriminator="kind")]

# Architectures -------------------------------------------------------------------------------------------------------


class CifarResNetSpec(Spec):
    """Residual network for small images (He et al., CVPR 2016, section 4.2)."""

    target: ClassVar[str] = "unsmooth.models.cifar_resnet:CifarResNet"
    inputs: ClassVar[str] = "images"

    kind: Literal["cifar_resnet"] = Field("cifar_resnet", description="selects this form")
    depth: Annotated[int, Field(ge=8)] = Field(20, description="6n + 2 layers")
    width: PositiveInt = Field(16, description="channels of the first stage")

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth % 6 != 2:
            raise ValueError(f"must be 6n + 2 (8, 14, 20, ...), got {depth}")
        return depth


class MlpSpec(Spec):
    """Fully connected ReLU network."""

    target: ClassVar[str] = "unsmooth.models.mlp:Mlp"
    inputs: ClassVar[str] = "vectors"

    kind: Literal["mlp"] = Field("mlp", description="selects this form")
    hidden: list[PositiveInt] = Field([64, 64], description="widths of the hidden layers")


Architecture = Annotated[CifarResNetSpec | MlpSpec, Field(discriminator="kind")]

# Losses --------------------------------------------------------------------------------------------------------------


class CrossEntropy(Spec):
    """Plain cross-entropy; it has no strength."""

    kind: Literal["ce"] = Field("ce", description="selects this form")


class LabelSmoothing(Spec):
    """Cross-entropy with smoothed targets; a negative alpha sharpens (negative label smoothing)."""

    kind: Literal["ls"] = Field("ls", description="selects this form")
    alpha: Annotated[list[Annotated[float, Field(ge=-1, lt=1)]], Field(min_length=1)] = Field(
        description="weights of the uniform distribution, the grid axis"
    )


Loss = Annotated[CrossEntropy | LabelSmoothing, Field(discriminator="kind")]

# Recipes -------------------------------------------------------------------------------------------------------------


class Sgd(Spec):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = Field("sgd", description="selects this form")
    lr: PositiveFloat = Field(description="peak learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="share of the last step kept")
    nesterov: bool = Field(False, description="look-ahead momentum")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty on every weight")


class AdamW(Spec):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"] = Field("adamw", description="selects this form")
    lr: PositiveFloat = Field(description="peak learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="decay of the first and second moments"
    )
    weight_decay: NonNegativeFloat = Field(0.01, description="decoupled decay of every weight")


class Constant(Spec):
    """One learning rate throughout."""

    kind: Literal["constant"] = Field("constant", description="selects this form")


class Cosine(Spec):
    """Half a cosine from the peak to `final` times the peak."""

    kind: Literal["cosine"] = Field("cosine", description="selects this form")
    unit: Literal["step", "epoch"] = Field("step", description="how often the rate changes")
    final: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="last rate over peak rate")


class MultiStep(Spec):
    """Multiply the rate by `factor` at each milestone."""

    kind: Literal["multistep"] = Field("multistep", description="selects this form")
    milestones: Annotated[list[PositiveInt], Field(min_length=1)] = Field(description="epochs, counted from 0")
    factor: Fraction = Field(0.1, description="rate after a milestone over rate before it")


class OneCycle(Spec):
    """Rise to the peak, then anneal to nearly zero (Smith & Topin, 2019); it warms up by itself."""

    kind: Literal["one_cycle"] = Field("one_cycle", description="selects this form")
    rise: Fraction = Field(0.25, description="share of the steps before the peak")
    anneal: Literal["linear", "cosine"] = Field("cosine", description="shape of rise and fall")
    initial: Fraction = Field(0.04, description="first rate over peak rate")
    final: Fraction = Field(0.0001, description="last rate over peak rate")


class Warmup(Spec):
    """Linear rise to the peak before the schedule starts, over `epochs` or over `steps`."""

    epochs: PositiveInt | None = Field(None, description="length in epochs; this or steps")
    steps: PositiveInt | None = Field(None, description="length in steps; this or epochs")
    initial: Fraction = Field(0.0001, description="first rate over peak rate")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give the length either in epochs or in steps")
        return self


class GradientClip(Spec):
    """Bound the gradient: its global L2 norm, or each element."""

    kind: Literal["norm", "value"] = Field("norm", description="bound the global L2 norm, or each element")
    limit: PositiveFloat = Field(description="largest norm, or largest absolute value")


class Augmentation(Spec):
    """Random changes to training images, drawn anew each epoch."""

    crop_padding: Annotated[int, Field(ge=0)] = Field(0, description="pad by this many black pixels, crop at random")
    flip: bool = Field(False, description="mirror left to right with probability 1/2")


class Recipe(Spec):
    """How a cell is trained; the same for every loss of an experiment."""

    epochs: PositiveInt = Field(description="passes over the training split")
    batch_size: PositiveInt = Field(description="samples a step; the last, partial batch is kept")
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="kind", description="how weights move")]
    schedule: Annotated[Constant | Cosine | MultiStep | OneCycle, Field(discriminator="kind")] = Field(
        Constant(), description="learning rate over training"
    )
    warmup: Warmup | None = Field(None, description="linear rise before the schedule")
    gradient_clip: GradientClip | None = Field(None, description="bound on the gradient of a step")
    augmentation: Augmentation = Field(Augmentation(), description="random changes to training images")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="autocast type of the training forward")
    channels_last: bool = Field(False, description="memory format of images; faster on tensor cores and with bf16")
    compile: bool = Field(False, description="torch.compile the model")

    @model_validator(mode="after")
    def _schedule_fits_training(self) -> Self:
        if self.warmup is not None:
            if self.schedule.kind == "one_cycle":
                raise ValueError("schedule one_cycle warms up by itself: remove warmup, or set rise")
            if self.schedule.kind == "cosine" and self.schedule.unit == "epoch" and self.warmup.epochs is None:
                raise ValueError("a schedule that changes by the epoch needs its warmup in epochs")
            if self.warmup.epochs is not None and self.warmup.epochs >= self.epochs:
                raise ValueError(f"warmup must be shorter than the {self.epochs} epochs, got {self.warmup.epochs}")
        if self.schedule.kind == "multistep" and max(self.schedule.milestones) >= self.epochs:
            raise ValueError(
                f"milestones must lie before the {self.epochs} epochs' end, got {self.schedule.milestones}"
            )
        return self
