"""Architectures of experiments."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import AfterValidator, Field

from unsmooth.config.specs.base import Kind, PositiveInt, Share, kinds, left_at
from unsmooth.data.sources import SOURCES, WEIGHTS


def _is_source_of_weights(name: str) -> str:
    known = [source.name for source in SOURCES.values() if source.layout == (WEIGHTS,)]
    if name not in known:
        raise ValueError(f"there are no pretrained weights {name!r}, expected one of {', '.join(known)}")
    return name


def _six_n_plus(rest: int) -> AfterValidator:
    def checked(depth: int) -> int:
        if depth % 6 != rest:
            raise ValueError(f"must be 6n + {rest} ({6 + rest}, {12 + rest}, {18 + rest}, ...), got {depth}")
        return depth

    return AfterValidator(checked)


Pretrained = Annotated[Annotated[str, AfterValidator(_is_source_of_weights)] | None, Field(exclude_if=left_at(None))]


class ArchitectureSpec(Kind):
    """An architecture with its options; each subclass is a kind."""

    package: ClassVar[str] = "unsmooth.models"
    inputs: ClassVar[str]  # what it reads: images, scenes, vectors or tokens
    # Dotted path of the submodule that takes the weights of `pretrained`; "" is the model itself
    backbone: ClassVar[str] = ""


class CifarResNetSpec(ArchitectureSpec, kind="cifar_resnet", target="cifar_resnet:CifarResNet", inputs="images"):
    """Residual network for small images (He et al., CVPR 2016, section 4.2)."""

    depth: Annotated[int, Field(ge=8), _six_n_plus(2)] = Field(20, description="6n + 2 layers")
    width: PositiveInt = Field(16, description="channels of the first stage")


class DenseNetSpec(ArchitectureSpec, kind="densenet", target="densenet:DenseNet", inputs="images"):
    """DenseNet-BC for small images (Huang et al., CVPR 2017, section 4)."""

    depth: Annotated[int, Field(ge=10), _six_n_plus(4)] = Field(100, description="6n + 4 layers")
    growth: PositiveInt = Field(12, description="channels that each layer adds")


class SmallResNetSpec(ArchitectureSpec, kind="small_resnet", target="small_resnet:small_resnet", inputs="images"):
    """Bottleneck network for small images: torchvision's ResNet with a 3x3 stem at stride 1."""

    depth: Literal[50, 101, 152] = Field(50, description="layers")
    pool: PositiveInt = Field(1, description="side of the grid of means that the last features are pooled to")
    initialisation: Literal["torchvision", "torch"] = Field(
        "torch", description="kaiming_normal over the fan-out, or the defaults of torch's layers"
    )


class TorchvisionSpec(ArchitectureSpec, kind="torchvision", target="libraries:torchvision_model", inputs="images"):
    """A torchvision classifier by name, randomly initialised or pretrained."""

    name: str = Field(description="torchvision's name, such as resnet50")
    initialisation: Literal["torchvision", "torch"] = Field(
        "torchvision", description="the library's own, or the defaults of torch's layers"
    )
    pretrained: Pretrained = Field(None, description="source of the weights that training starts from")
    dropout: Share = Field(0.0, description="before the last layer; ResNets and their kin", exclude_if=left_at(0))


class TimmSpec(ArchitectureSpec, kind="timm", target="libraries:timm_model", inputs="images"):
    """A timm classifier by name, randomly initialised.

    The name of published weights, such as resnet50.a1_in1k, decides `preprocessing`.
    """

    name: str = Field(description="timm's name, such as vit_small_patch16_224")
    drop_rate: Share = Field(0.0, description="dropout before the classifier")
    preprocessing: Literal["dataset", "timm"] = Field(
        "dataset", description="of test images: the dataset's, or timm's of this model", exclude_if=left_at("dataset")
    )


class MlpSpec(ArchitectureSpec, kind="mlp", target="mlp:Mlp", inputs="vectors"):
    """Fully connected ReLU network."""

    hidden: list[PositiveInt] = Field([64, 64], description="widths of the hidden layers")


class TabularMlpSpec(ArchitectureSpec, kind="tabular_mlp", target="mlp:TabularMlp", inputs="vectors"):
    """Fully connected ReLU network; widths are multiples of the number of features."""

    multiples: list[PositiveInt] = Field([4, 2], description="widths of the hidden layers over the number of features")
    single_logit: bool = Field(True, description="two classes from one output z, as the logits (-z/2, z/2)")


class LstmSpec(ArchitectureSpec, kind="lstm", target="lstm:Lstm", inputs="tokens"):
    """LSTM over frozen token vectors, then a multi-layer perceptron."""

    hidden_size: PositiveInt = Field(256, description="width of the LSTM")
    head: list[PositiveInt] = Field([256, 128], description="widths of the layers after it")
    dropout: Share = Field(0.2, description="before each of them")
    read: Literal["last_token", "last_step"] = Field(
        "last_token", description="output handed on: of the last word, or of the last position, padding included"
    )
    single_logit: bool = Field(False, description="two classes from one output z, as the logits (-z/2, z/2)")


class GlobalPoolingCnnSpec(ArchitectureSpec, kind="gpool_cnn", target="gpool_cnn:GlobalPoolingCnn", inputs="tokens"):
    """Convolutions over frozen token vectors, pooled over the whole sequence."""

    channels: PositiveInt = Field(128, description="of the convolutions and of the hidden layer")


class UNetSpec(ArchitectureSpec, kind="unet", target="unet:UNet", inputs="scenes"):
    """Small encoder-decoder with skip connections for segmentation (Ronneberger et al., MICCAI 2015)."""

    width: PositiveInt = Field(16, description="channels at full resolution")
    depth: Annotated[int, Field(ge=2, le=6)] = Field(3, description="levels of resolution")


class DeepLabV3PlusSpec(
    ArchitectureSpec, kind="deeplabv3plus", target="deeplab:DeepLabV3Plus", inputs="scenes", backbone="backbone"
):
    """DeepLabV3+ on ResNet-101 for segmentation (Chen et al., ECCV 2018)."""

    output_stride: Literal[16, 32] = Field(16, description="of the deepest features; 16 dilates the last stage")
    pretrained: Pretrained = Field(None, description="source of the weights that the backbone starts from")


class DeepLabV3Spec(
    ArchitectureSpec, kind="deeplabv3", target="deeplab:DeepLabV3", inputs="scenes", backbone="backbone"
):
    """DeepLabV3 on ResNet-50 for segmentation (Chen et al., 2017)."""

    pretrained: Pretrained = Field(None, description="source of the weights that the backbone starts from")


ARCHITECTURES = kinds(ArchitectureSpec)
if TYPE_CHECKING:
    Architecture = ArchitectureSpec
else:
    Architecture = Annotated[Union[tuple(ARCHITECTURES.values())], Field(discriminator="kind")]  # noqa: UP007
