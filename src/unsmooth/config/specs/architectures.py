"""Architectures of experiments."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import AfterValidator, Field, field_validator

from unsmooth.config.specs.base import PositiveInt, Share, Spec, kinds, left_at
from unsmooth.data.sources import SOURCES, WEIGHTS


def _is_source_of_weights(name: str) -> str:
    known = [source.name for source in SOURCES.values() if source.layout == (WEIGHTS,)]
    if name not in known:
        raise ValueError(f"there are no pretrained weights {name!r}, expected one of {', '.join(known)}")
    return name


Pretrained = Annotated[
    Annotated[str, AfterValidator(_is_source_of_weights)] | None, Field(exclude_if=lambda name: name is None)
]


class ArchitectureSpec(Spec):
    """An architecture with its options; each subclass is a kind."""

    kind: str
    target: ClassVar[str]  # its class or function, "module:name"
    inputs: ClassVar[str]  # what it reads: images, scenes, vectors or tokens
    # Dotted path of the submodule that takes the weights of `pretrained`; "" is the model itself
    backbone: ClassVar[str] = ""


class CifarResNetSpec(ArchitectureSpec):
    """Residual network for small images (He et al., CVPR 2016, section 4.2)."""

    target = "unsmooth.models.cifar_resnet:CifarResNet"
    inputs = "images"

    kind: Literal["cifar_resnet"] = Field("cifar_resnet", description="selects this form")
    depth: Annotated[int, Field(ge=8)] = Field(20, description="6n + 2 layers")
    width: PositiveInt = Field(16, description="channels of the first stage")

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth % 6 != 2:
            raise ValueError(f"must be 6n + 2 (8, 14, 20, ...), got {depth}")
        return depth


class DenseNetSpec(ArchitectureSpec):
    """DenseNet-BC for small images (Huang et al., CVPR 2017, section 4)."""

    target = "unsmooth.models.densenet:DenseNet"
    inputs = "images"

    kind: Literal["densenet"] = Field("densenet", description="selects this form")
    depth: Annotated[int, Field(ge=10)] = Field(100, description="6n + 4 layers")
    growth: PositiveInt = Field(12, description="channels that each layer adds")

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth % 6 != 4:
            raise ValueError(f"must be 6n + 4 (10, 16, ..., 100), got {depth}")
        return depth


class SmallResNetSpec(ArchitectureSpec):
    """Bottleneck network for small images: torchvision's ResNet with a 3x3 stem at stride 1."""

    target = "unsmooth.models.small_resnet:small_resnet"
    inputs = "images"

    kind: Literal["small_resnet"] = Field("small_resnet", description="selects this form")
    depth: Literal[50, 101, 152] = Field(50, description="layers")
    pool: PositiveInt = Field(1, description="side of the grid of means that the last features are pooled to")
    initialisation: Literal["torchvision", "torch"] = Field(
        "torch", description="kaiming_normal over the fan-out, or the defaults of torch's layers"
    )


class TorchvisionSpec(ArchitectureSpec):
    """A torchvision classifier by name, randomly initialised or pretrained."""

    target = "unsmooth.models.libraries:torchvision_model"
    inputs = "images"

    kind: Literal["torchvision"] = Field("torchvision", description="selects this form")
    name: str = Field(description="torchvision's name, such as resnet50")
    initialisation: Literal["torchvision", "torch"] = Field(
        "torchvision", description="the library's own, or the defaults of torch's layers"
    )
    pretrained: Pretrained = Field(None, description="source of the weights that training starts from")
    dropout: Share = Field(0.0, description="before the last layer; ResNets and their kin", exclude_if=left_at(0))


class TimmSpec(ArchitectureSpec):
    """A timm classifier by name, randomly initialised.

    The name of published weights, such as resnet50.a1_in1k, decides `preprocessing`.
    """

    target = "unsmooth.models.libraries:timm_model"
    inputs = "images"

    kind: Literal["timm"] = Field("timm", description="selects this form")
    name: str = Field(description="timm's name, such as vit_small_patch16_224")
    drop_rate: Share = Field(0.0, description="dropout before the classifier")
    preprocessing: Literal["dataset", "timm"] = Field(
        "dataset",
        description="size, resizing and normalisation of test images: the dataset's, or what timm evaluates it with",
        exclude_if=lambda kind: kind == "dataset",
    )


class MlpSpec(ArchitectureSpec):
    """Fully connected ReLU network."""

    target = "unsmooth.models.mlp:Mlp"
    inputs = "vectors"

    kind: Literal["mlp"] = Field("mlp", description="selects this form")
    hidden: list[PositiveInt] = Field([64, 64], description="widths of the hidden layers")


class TabularMlpSpec(ArchitectureSpec):
    """Fully connected ReLU network; widths are multiples of the number of features."""

    target = "unsmooth.models.mlp:TabularMlp"
    inputs = "vectors"

    kind: Literal["tabular_mlp"] = Field("tabular_mlp", description="selects this form")
    multiples: list[PositiveInt] = Field([4, 2], description="widths of the hidden layers over the number of features")
    single_logit: bool = Field(True, description="two classes from one output z, as the logits (-z/2, z/2)")


class LstmSpec(ArchitectureSpec):
    """LSTM over frozen token vectors, then a multi-layer perceptron."""

    target = "unsmooth.models.lstm:Lstm"
    inputs = "tokens"

    kind: Literal["lstm"] = Field("lstm", description="selects this form")
    hidden_size: PositiveInt = Field(256, description="width of the LSTM")
    head: list[PositiveInt] = Field([256, 128], description="widths of the layers after it")
    dropout: Share = Field(0.2, description="before each of them")
    read: Literal["last_token", "last_step"] = Field(
        "last_token", description="output handed on: of the last word, or of the last position, padding included"
    )
    single_logit: bool = Field(False, description="two classes from one output z, as the logits (-z/2, z/2)")


class GlobalPoolingCnnSpec(ArchitectureSpec):
    """Convolutions over frozen token vectors, pooled over the whole sequence."""

    target = "unsmooth.models.gpool_cnn:GlobalPoolingCnn"
    inputs = "tokens"

    kind: Literal["gpool_cnn"] = Field("gpool_cnn", description="selects this form")
    channels: PositiveInt = Field(128, description="of the convolutions and of the hidden layer")


class UNetSpec(ArchitectureSpec):
    """Small encoder-decoder with skip connections for segmentation (Ronneberger et al., MICCAI 2015)."""

    target = "unsmooth.models.unet:UNet"
    inputs = "scenes"

    kind: Literal["unet"] = Field("unet", description="selects this form")
    width: PositiveInt = Field(16, description="channels at full resolution")
    depth: Annotated[int, Field(ge=2, le=6)] = Field(3, description="levels of resolution")


class DeepLabV3PlusSpec(ArchitectureSpec):
    """DeepLabV3+ on ResNet-101 for segmentation (Chen et al., ECCV 2018)."""

    target = "unsmooth.models.deeplab:DeepLabV3Plus"
    inputs = "scenes"
    backbone = "backbone"

    kind: Literal["deeplabv3plus"] = Field("deeplabv3plus", description="selects this form")
    output_stride: Literal[16, 32] = Field(16, description="of the deepest features; 16 dilates the last stage")
    pretrained: Pretrained = Field(None, description="source of the weights that the backbone starts from")


class DeepLabV3Spec(ArchitectureSpec):
    """DeepLabV3 on ResNet-50 for segmentation (Chen et al., 2017)."""

    target = "unsmooth.models.deeplab:DeepLabV3"
    inputs = "scenes"
    backbone = "backbone"

    kind: Literal["deeplabv3"] = Field("deeplabv3", description="selects this form")
    pretrained: Pretrained = Field(None, description="source of the weights that the backbone starts from")


ARCHITECTURES = kinds(ArchitectureSpec)
if TYPE_CHECKING:
    Architecture = ArchitectureSpec
else:
    Architecture = Annotated[Union[tuple(ARCHITECTURES.values())], Field(discriminator="kind")]  # noqa: UP007
