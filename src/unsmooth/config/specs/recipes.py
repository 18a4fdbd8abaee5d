"""Training recipes: optimizer, schedule, augmentation and precision."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from unsmooth.config.specs.base import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Share, Spec, left_at

Precision = Literal["fp32", "bf16", "fp16"]
FOR_IMAGE_FILES = ("resized_crop", "random_crop")  # augmentations for image files only


class Sgd(Spec):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = Field("sgd", description="selects this form")
    lr: PositiveFloat = Field(description="peak learning rate")
    momentum: Share = Field(0.9, description="share of the last step kept")
    nesterov: bool = Field(False, description="look-ahead momentum")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty on every weight")

    def _faults(self) -> Iterator[str]:
        if self.nesterov and not self.momentum:
            yield "nesterov needs a momentum above 0, got 0"


class AdamW(Spec):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"] = Field("adamw", description="selects this form")
    lr: PositiveFloat = Field(description="peak learning rate")
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="decay of the first and second moments")
    weight_decay: NonNegativeFloat = Field(0.01, description="decoupled decay of every weight")


class Adam(Spec):
    """Adam (Kingma & Ba, ICLR 2015)."""

    kind: Literal["adam"] = Field("adam", description="selects this form")
    lr: PositiveFloat = Field(description="peak learning rate")
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="decay of the first and second moments")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty on every weight")


class Sam(Spec):
    """Sharpness-aware minimisation around the optimizer (Foret et al., ICLR 2021)."""

    rho: PositiveFloat = Field(description="radius of the perturbation, L2 norm over all weights")


class Constant(Spec):
    """Constant learning rate."""

    kind: Literal["constant"] = Field("constant", description="selects this form")


class Cosine(Spec):
    """Half a cosine from the peak rate to `final` times the peak."""

    kind: Literal["cosine"] = Field("cosine", description="selects this form")
    unit: Literal["step", "epoch"] = Field("step", description="how often the rate changes")
    final: Share = Field(0.0, description="last rate over peak rate")


class MultiStep(Spec):
    """Multiply the rate by `factor` at each milestone."""

    kind: Literal["multistep"] = Field("multistep", description="selects this form")
    milestones: Annotated[list[PositiveInt], Field(min_length=1)] = Field(description="epochs, counted from 0")
    factor: Fraction = Field(0.1, description="rate after a milestone over rate before it")


class OneCycle(Spec):
    """Rise to the peak, then anneal to nearly zero (Smith & Topin, 2019); includes its own warmup."""

    kind: Literal["one_cycle"] = Field("one_cycle", description="selects this form")
    rise: Fraction = Field(0.25, description="share of the steps before the peak")
    anneal: Literal["linear", "cosine"] = Field("cosine", description="shape of rise and fall")
    initial: Fraction = Field(0.04, description="first rate over peak rate")
    final: Fraction = Field(0.0001, description="last rate over peak rate")


class Polynomial(Spec):
    """Fall from the peak to 0 as (1 - t / T) ** power; the rate stays 0 from T on."""

    kind: Literal["polynomial"] = Field("polynomial", description="selects this form")
    unit: Literal["step", "epoch"] = Field("step", description="how often the rate changes")
    power: PositiveFloat = Field(1.0, description="exponent; 1 is a straight line")
    epochs: PositiveInt | None = Field(None, description="T in epochs; null is the whole of training")


class Warmup(Spec):
    """Linear rise to the peak before the schedule starts, over `epochs` or over `steps`."""

    epochs: PositiveInt | None = Field(None, description="length in epochs; this or steps")
    steps: PositiveInt | None = Field(None, description="length in steps; this or epochs")
    initial: Fraction = Field(0.0001, description="first rate over peak rate")

    def _faults(self) -> Iterator[str]:
        if (self.epochs is None) == (self.steps is None):
            yield "give the length either in epochs or in steps"


class GradientClip(Spec):
    """Clip the gradient by global L2 norm or by element; under SAM before the perturbation and before the step."""

    kind: Literal["norm", "value"] = Field("norm", description="bound the global L2 norm, or each element")
    limit: PositiveFloat = Field(description="largest norm, or largest absolute value")


class ColourShift(Spec):
    """Random contrast and brightness, and hue, saturation and value, each with probability 1/2."""

    contrast: Share = Field(0.0, description="largest relative change of contrast")
    brightness: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="largest change; 1 is black to white")
    hue: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="largest turn, degrees")
    saturation: Annotated[float, Field(ge=0, le=255)] = Field(0.0, description="largest change, levels of 0 to 255")
    value: Annotated[float, Field(ge=0, le=255)] = Field(0.0, description="largest change, levels of 0 to 255")


class SceneCrop(Spec):
    """Square crop of a scene at a random scale with colour jitter; black and unlabelled beyond the borders."""

    size: PositiveInt = Field(description="side of the square, pixels")
    longest: PositiveInt | None = Field(
        None, description="longer side of a scene at scale 1, pixels; null is its own", exclude_if=left_at(None)
    )
    rescale: tuple[PositiveFloat, PositiveFloat] = Field((0.5, 2.0), description="smallest and largest scale")
    jitter: Share = Field(0.0, description="largest relative change of brightness, contrast and saturation")
    shift: ColourShift | None = Field(None, description="changes by addition", exclude_if=left_at(None))


class Augmentation(Spec):
    """Random augmentation of training images, redrawn each epoch."""

    crop_padding: Annotated[int, Field(ge=0)] = Field(0, description="pad by this many black pixels, crop at random")
    flip: bool = Field(False, description="mirror left to right with probability 1/2")
    resized_crop: bool = Field(False, description="crop 8 to 100 % of the area at random and resize; image files only")
    random_crop: bool = Field(False, description="crop a resized image file at random", exclude_if=left_at(False))
    scene_crop: SceneCrop | None = Field(None, description="crop scenes at a random scale", exclude_if=left_at(None))

    def _faults(self) -> Iterator[str]:
        if self.resized_crop and self.random_crop:
            yield "an image is cropped once: set either resized_crop or random_crop"


BetaParameter = Annotated[float, Field(ge=0.01, allow_inf_nan=False)]  # below, sampling underflows


class MixUp(Spec):
    """Blend the samples of a batch and their targets in pairs (Zhang et al., ICLR 2018)."""

    alpha: BetaParameter = Field(description="both parameters of the Beta distribution of the shares")


class CutMix(Spec):
    """Paste a rectangle of each image and its share of the target into another image (Yun et al., ICCV 2019)."""

    alpha: BetaParameter = Field(1.0, description="both parameters of the Beta distribution of the shares")
    probability: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="of doing so to a batch")


class Recipe(Spec):
    """Training settings shared by all losses of an experiment."""

    epochs: PositiveInt = Field(description="passes over the training split")
    batch_size: PositiveInt = Field(description="samples a step; the last, partial batch is kept")
    shards: PositiveInt = Field(1, description="parts of a batch with their own batch statistics and perturbation")
    optimizer: Annotated[Sgd | Adam | AdamW, Field(discriminator="kind", description="how weights move")]
    sam: Sam | None = Field(None, description="sharpness-aware minimisation around the optimizer")
    schedule: Annotated[Constant | Cosine | MultiStep | OneCycle | Polynomial, Field(discriminator="kind")] = Field(
        Constant(), description="learning rate over training"
    )
    warmup: Warmup | None = Field(None, description="linear rise before the schedule")
    gradient_clip: GradientClip | None = Field(None, description="bound on the gradient of a step")
    augmentation: Augmentation = Field(Augmentation(), description="random changes to training images")
    mixup: MixUp | None = Field(
        None, description="blend samples in pairs; with cutmix, one of the two is drawn", exclude_if=left_at(None)
    )
    cutmix: CutMix | None = Field(None, description="paste rectangles between images", exclude_if=left_at(None))
    precision: Precision = Field(
        "fp32", description="type of the forward pass; on a CPU fp16 becomes bf16, or fp32 without bf16 instructions"
    )
    matmul_precision: Literal["highest", "high", "medium"] = Field(
        "highest", description="of fp32 matrix products: exact, TF32 or bf16 inside"
    )
    channels_last: bool = Field(False, description="memory format of images; faster on tensor cores and with bf16")
    compile: bool = Field(False, description="torch.compile the model")

    def _faults(self) -> Iterator[str]:
        if self.shards > self.batch_size:
            yield f"a batch of {self.batch_size} cannot be split into {self.shards} shards"
        if self.mixing and self.batch_size < 2 * self.shards:
            batch = f"a batch of {self.batch_size} in {self.shards} shards"
            yield f"mixup and cutmix pair the samples of a shard: {batch} leaves none to pair"
        if self.sam is not None and self.precision == "fp16":
            yield "sam needs precision fp32 or bf16: it steps twice where fp16 scaling allows one step"
        if self.warmup is not None:
            if self.schedule.kind == "one_cycle":
                yield "schedule one_cycle warms up by itself: remove warmup, or set rise"
            if getattr(self.schedule, "unit", "step") == "epoch" and self.warmup.epochs is None:
                yield "a schedule that changes by the epoch needs its warmup in epochs"
            length = getattr(self.schedule, "epochs", None) or self.epochs
            if self.warmup.epochs is not None and self.warmup.epochs >= length:
                yield f"warmup must be shorter than the {length} epochs, got {self.warmup.epochs}"
        if self.schedule.kind == "multistep" and max(self.schedule.milestones) >= self.epochs:
            yield f"milestones must lie before the {self.epochs} epochs' end, got {self.schedule.milestones}"

    @property
    def mixing(self) -> list[MixUp | CutMix]:
        """Return the mixing methods; every step draws one of them."""
        return [method for method in (self.mixup, self.cutmix) if method is not None]
