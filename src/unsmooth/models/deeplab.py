"""DeepLabV3+ on ResNet-101, as the released experiments build it, and torchvision's DeepLabV3 on ResNet-50."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet101
from torchvision.models.segmentation import deeplabv3_resnet50

RATES = (6, 12, 18)  # of the dilated convolutions, those of output stride 16
CHANNELS, LOW_CHANNELS = 256, 48
BACKBONE_MOMENTUM = 0.01  # of batch normalisation; elsewhere torch's 0.1


class DeepLabV3Plus(nn.Module):
    """Encoder-decoder: ResNet-101, pyramid of dilated convolutions, and one convolution with features of stride 4.

    Shape:
        (N, 3, H, W) floating point to logits (N, K, H, W); 58,753,459 parameters with K = 19, of which the `backbone`
        has 42,500,160.

    References:
        Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, ECCV 2018.
    """

    def __init__(self, *, output_stride: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if in_channels != 3:
            raise ValueError(f"in_channels must be 3, got {in_channels}")
        self.backbone = resnet101(weights=None, replace_stride_with_dilation=[False, False, output_stride == 16])
        self.backbone.fc = nn.Identity()
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BACKBONE_MOMENTUM
        self.pyramid = _Pyramid(2048)
        self.low = _convolution(256, LOW_CHANNELS, 1)
        self.head = nn.Sequential(
            _convolution(LOW_CHANNELS + CHANNELS, CHANNELS, 3), nn.Conv2d(CHANNELS, num_classes, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W), bilinear between those of stride 4."""
        body = self.backbone
        low = body.layer1(body.maxpool(body.relu(body.bn1(body.conv1(images)))))
        deep = self.pyramid(body.layer4(body.layer3(body.layer2(low))))
        joined = torch.cat([self.low(low), _resized(deep, low.shape[2:])], dim=1)  # in the released order
        return _resized(self.head(joined), images.shape[2:])


class DeepLabV3(nn.Module):
    """ResNet-50 at output stride 8 and a pyramid of dilated convolutions, of torchvision, without auxiliary loss.

    Shape:
        (N, 3, H, W) floating point to logits (N, K, H, W); 39,638,869 parameters with K = 21, of which the `backbone`
        has 23,508,032. Training needs N > 1: the pyramid batch-normalises one mean of each image.

    References:
        Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv:1706.05587, 2017.
    """

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if in_channels != 3:
            raise ValueError(f"in_channels must be 3, got {in_channels}")
        network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=False)
        self.backbone, self.head = network.backbone, network.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W), bilinear between those of stride 8."""
        return _resized(self.head(self.backbone(images)["out"]), images.shape[2:])


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 and three dilated 3x3 convolutions and the mean of the image."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _convolution(in_channels, CHANNELS, 1),
                *(_convolution(in_channels, CHANNELS, 3, dilation=rate) for rate in RATES),
            ]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), _convolution(in_channels, CHANNELS, 1))
        self.projection = nn.Sequential(_convolution((len(RATES) + 2) * CHANNELS, CHANNELS, 1), nn.Dropout(0.1))

    def forward(self, features: Tensor) -> Tensor:
        found = [branch(features) for branch in self.branches]
        found.append(self.pooled(features).expand(-1, -1, *features.shape[2:]))
        return self.projection(torch.cat(found, dim=1))


def _convolution(in_channels: int, out_channels: int, size: int, *, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    return nn.functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
