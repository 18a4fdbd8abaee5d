"""What an experiment can be made of: datasets, architectures, losses and recipes, with types and ranges.

Each class here is one line of a registry: its `kind`, the options a YAML file may set, and the function that the
kind stands for, written "module:name" and imported only when it is used, so that reading a configuration never
imports torch. To add a dataset, an architecture or a loss, add its class and put it into the union below.
"""

from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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


# Datasets ------------------------------------------------------------------------------------------------------------


class Glyphs(Spec):
    """62 characters in the fonts of matplotlib, small noisy grey images, drawn locally."""

    target: ClassVar[str] = "unsmooth.data.glyphs:build"
    embedded: ClassVar[bool] = True
    inputs: ClassVar[str] = "images"

    kind: Literal["glyphs"] = "glyphs"
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

    kind: Literal["gaussians"] = "gaussians"
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

    kind: Literal["cifar_resnet"] = "cifar_resnet"
    depth: Annotated[int, Field(ge=8)] = Field(20, description="6n + 2 layers")
    width: PositiveInt = Field(16, description="channels of the first stage")


class MlpSpec(Spec):
    """Fully connected ReLU network."""

    target: ClassVar[str] = "unsmooth.models.mlp:Mlp"
    inputs: ClassVar[str] = "vectors"

    kind: Literal["mlp"] = "mlp"
    hidden: list[PositiveInt] = Field([64, 64], description="widths of the hidden layers")


Architecture = Annotated[CifarResNetSpec | MlpSpec, Field(discriminator="kind")]

# Losses --------------------------------------------------------------------------------------------------------------


class CrossEntropy(Spec):
    """Plain cross-entropy; it has no strength."""

    kind: Literal["ce"] = "ce"


class LabelSmoothing(Spec):
    """Cross-entropy with smoothed targets; a negative alpha sharpens (negative label smoothing)."""

    kind: Literal["ls"] = "ls"
    alpha: Annotated[list[Annotated[float, Field(ge=-1, lt=1)]], Field(min_length=1)] = Field(
        description="weights of the uniform distribution, the grid axis"
    )


Loss = Annotated[CrossEntropy | LabelSmoothing, Field(discriminator="kind")]

# Recipes -------------------------------------------------------------------------------------------------------------


class Sgd(Spec):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    lr: PositiveFloat = Field(description="peak learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: NonNegativeFloat = 0.0


class AdamW(Spec):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"] = "adamw"
    lr: PositiveFloat = Field(description="peak learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.01


class Constant(Spec):
    """One learning rate throughout."""

    kind: Literal["constant"] = "constant"


class Cosine(Spec):
    """Half a cosine from the peak to `final` times the peak."""

    kind: Literal["cosine"] = "cosine"
    unit: Literal["step", "epoch"] = Field("step", description="how often the rate changes")
    final: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="last rate over peak rate")


class MultiStep(Spec):
    """Multiply the rate by `factor` at each milestone."""

    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[list[PositiveInt], Field(min_length=1)] = Field(description="epochs, counted from 0")
    factor: Fraction = 0.1


class OneCycle(Spec):
    """Rise to the peak, then anneal to nearly zero (Smith & Topin, 2019); it warms up by itself."""

    kind: Literal["one_cycle"] = "one_cycle"
    rise: Fraction = Field(0.25, description="share of the steps before the peak")
    anneal: Literal["linear", "cosine"] = "cosine"
    initial: Fraction = Field(0.04, description="first rate over peak rate")
    final: Fraction = Field(0.0001, description="last rate over peak rate")


class Warmup(Spec):
    """Linear rise to the peak before the schedule starts, over `epochs` or over `steps`."""

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    initial: Fraction = Field(0.0001, description="first rate over peak rate")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give the length either in epochs or in steps")
        return self


class GradientClip(Spec):
    """Bound the gradient: its global L2 norm, or each element."""

    kind: Literal["norm", "value"] = "norm"
    limit: PositiveFloat


class Augmentation(Spec):
    """Random changes to training images, drawn anew each epoch."""

    crop_padding: Annotated[int, Field(ge=0)] = Field(0, description="pad by this many black pixels, crop at random")
    flip: bool = Field(False, description="mirror left to right with probability 1/2")


class Recipe(Spec):
    """How a cell is trained; the same for every loss of an experiment."""

    epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="kind")]
    schedule: Annotated[Constant | Cosine | MultiStep | OneCycle, Field(discriminator="kind")] = Constant()
    warmup: Warmup | None = None
    gradient_clip: GradientClip | None = None
    augmentation: Augmentation = Augmentation()
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="autocast type of the training forward")
    channels_last: bool = Field(False, description="memory format of images; faster on tensor cores and with bf16")
    compile: bool = Field(False, description="torch.compile the model")

    @model_validator(mode="after")
    def _warmup_fits_schedule(self) -> Self:
        if self.warmup is not None:
            if self.schedule.kind == "one_cycle":
                raise ValueError("schedule one_cycle warms up by itself: remove warmup, or set rise")
            if self.schedule.kind == "cosine" and self.schedule.unit == "epoch" and self.warmup.epochs is None:
                raise ValueError("a schedule that changes by the epoch needs its warmup in epochs")
            if self.warmup.epochs is not None and self.warmup.epochs >= self.epochs:
                raise ValueError(f"warmup must be shorter than the {self.epochs} epochs, got {self.warmup.epochs}")
        return self
