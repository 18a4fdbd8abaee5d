"""Residual networks with the names of the released checkpoints, and such checkpoints."""

import re

import torch
from torch import nn


class ReleasedResNet(nn.Module):
    """A residual network for small images: three stages `layer1` to `layer3`, `shortcut`, `linear`."""

    def __init__(self, *, blocks, width, in_channels, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        widths = [width, width, 2 * width, 4 * width]
        for stage in (1, 2, 3):
            layers = [_Block(widths[stage - 1], widths[stage], stride=1 if stage == 1 else 2)]
            layers += [_Block(widths[stage], widths[stage], stride=1) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.linear = nn.Linear(widths[3], num_classes)

    def forward(self, images):
        features = torch.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        return self.linear(features.mean(dim=(2, 3)))


class _Block(nn.Module):
    def __init__(self, channels, width, *, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, features):
        residual = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features)))))
        return torch.relu(residual + self.shortcut(features))


def released_names(weights):
    """Rename the weights of our residual network for small images, one block a stage."""
    names = {"stem.0": "conv1", "stem.1": "bn1", "head": "linear"}
    names |= {f"residual.{number}": name for number, name in ((0, "conv1"), (1, "bn1"), (3, "conv2"), (4, "bn2"))}
    found = {}
    for name, tensor in weights.items():
        name = re.sub(r"stages\.(\d)", lambda stage: f"layer{int(stage[1]) + 1}.0", name)
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        found[name] = tensor
    return found


def write_lightning(path, weights):
    """Write a checkpoint as Lightning does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    callbacks = {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9), "last_model_path": "last.ckpt"}}
    torch.save({"epoch": 74, "pytorch-lightning_version": "2.4.0", "state_dict": state, "callbacks": callbacks}, path)
    return path
