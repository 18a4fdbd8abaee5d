"""DenseNet-BC for small images (Huang et al., CVPR 2017, section 4): bottlenecks, and transitions that compress."""

import torch
from torch import Tensor, nn

BOTTLENECK = 4  # channels of a 1x1 convolution over the growth
COMPRESSION = 2  # channels before a transition over channels after it


class DenseNet(nn.Module):
    """DenseNet-BC: 3x3 stem, three dense blocks, transitions at stride 2 between them, mean pool, linear.

    The stem has 2 `growth` channels. Convolutions, without bias, are kaiming_normal by fan-in; the last bias is 0.

    Shape:
        (N, in_channels, H, W) floating point, H and W at least 4, to logits (N, K); 800,032 parameters at depth 100,
        growth 12, RGB, K = 100.
    """

    def __init__(self, *, depth: int, growth: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        layers, remainder = divmod(depth - 4, 6)
        if remainder or layers < 1:
            raise ValueError(f"depth must be 6n + 4 with n >= 1, got {depth}")
        channels = 2 * growth
        features: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)]
        for block in range(3):
            if block > 0:
                features += [*_normalised_conv(channels, channels // COMPRESSION, 1), nn.AvgPool2d(2)]
                channels //= COMPRESSION
            for _ in range(layers):
                features.append(_DenseLayer(channels, growth))
                channels += growth
        self.features = nn.Sequential(*features, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean(dim=(2, 3)))


class _DenseLayer(nn.Module):
    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        width = BOTTLENECK * growth
        self.layers = nn.Sequential(*_normalised_conv(in_channels, width, 1), *_normalised_conv(width, growth, 3))

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.layers(features)], dim=1)


def _normalised_conv(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """Return BN, ReLU and a convolution that keeps height and width."""
    return [
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
    ]
