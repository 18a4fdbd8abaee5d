"""Wide bottleneck networks for small images: torchvision's ResNets without the stem that shrinks large ones."""

from typing import Literal

from torch import nn

from unsmooth.models.libraries import redraw_by_layer


def small_resnet(
    *, depth: int, pool: int, initialisation: Literal["torchvision", "torch"], in_channels: int, num_classes: int
) -> nn.Module:
    """Build a bottleneck ResNet (He et al., CVPR 2016, table 1) with a 3x3 stem at stride 1.

    Stages have 64, 128, 256 and 512 channels, 4 times as many between blocks, at strides 1, 2, 2, 2. The last features
    are pooled to a grid of `pool` x `pool` means, which the last layer reads. "torchvision" draws convolutions by
    kaiming_normal over the fan-out, as that library does; "torch" draws every layer by its own default.

    Shape:
        (N, in_channels, H, W) to logits (N, K); with RGB images, pool 1 and K = 10, 23,520,842 parameters at depth 50
        and 42,512,970 at depth 101.
    """
    from torchvision import models

    model: nn.Module = models.get_model(f"resnet{depth}", weights=None)
    model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    model.avgpool = nn.AdaptiveAvgPool2d(pool)
    model.fc = nn.Linear(2048 * pool**2, num_classes)
    if initialisation == "torch":
        redraw_by_layer(model)
    else:
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model
