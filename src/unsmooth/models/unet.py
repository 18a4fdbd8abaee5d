"""A small U-Net for dense prediction (Ronneberger, Fischer & Brox, MICCAI 2015), with batch normalisation."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """Encoder-decoder with skip connections: two 3x3 convolutions a level, halving resolution, doubling channels.

    Shape:
        (N, in_channels, H, W) floating point, any H and W, to logits (N, K, H, W); the coarsest of `depth` levels has
        1 / 2^(depth - 1) of the resolution.
    """

    def __init__(self, *, width: int, depth: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth)]
        self.encoder = nn.ModuleList(map(_block, [in_channels, *channels], channels))
        self.decoder = nn.ModuleList(_block(fine + coarse, fine) for fine, coarse in pairwise(channels))
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        levels: list[Tensor] = []
        for block in self.encoder:
            if levels:
                features = nn.functional.max_pool2d(features, 2, ceil_mode=True)
            features = block(features)
            levels.append(features)
        for block, finer in zip(reversed(self.decoder), reversed(levels[:-1]), strict=True):
            features = nn.functional.interpolate(features, size=finer.shape[2:], mode="nearest")
            features = block(torch.cat([finer, features], dim=1))
        return self.head(features)


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
