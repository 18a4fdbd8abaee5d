"""Networks with the names of the released checkpoints, and such checkpoints."""

import re

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.models import resnet101


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


class ReleasedDenseNet(nn.Module):
    """DenseNet-BC for small images: `features` with three blocks of `layers`, and `classifier`."""

    def __init__(self, *, layers, growth, in_channels, num_classes):
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
        for block in (1, 2, 3):
            dense = nn.Sequential()
            for layer in range(layers):
                dense.add_module(f"denselayer{layer + 1}", _DenseLayer(channels + layer * growth, growth))
            self.features.add_module(f"denseblock{block}", dense)
            channels += layers * growth
            if block < 3:
                self.features.add_module(f"transition{block}", _Transition(channels))
                channels //= 2
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images):
        return self.classifier(torch.relu(self.features(images)).mean(dim=(2, 3)))


class _DenseLayer(nn.Module):
    def __init__(self, channels, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features):
        new = self.conv1(torch.relu(self.norm1(features)))
        new = self.conv2(torch.relu(self.norm2(new)))
        return torch.cat([features, new], dim=1)


class _Transition(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, features):
        return avg_pool2d(self.conv(torch.relu(self.norm(features))), 2)


class ReleasedLstm(nn.Module):
    """An LSTM read at its last position, and three layers `fc1` to `fc3`, of which the last has one output."""

    def __init__(self, *, embedding, hidden_size, head):
        super().__init__()
        self.vectors = embedding
        self.lstm = nn.LSTM(embedding.shape[1], hidden_size, batch_first=True)
        self.fc1 = nn.Linear(hidden_size, head[0])
        self.fc2 = nn.Linear(head[0], head[1])
        self.fc3 = nn.Linear(head[1], 1)

    def forward(self, tokens):
        outputs, _ = self.lstm(self.vectors[tokens])
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(outputs[:, -1])))))


class ReleasedDeepLab(nn.Module):
    """DeepLabV3+ on an undilated ResNet-101, `backbone.model`, and the `decoder`."""

    def __init__(self, *, num_classes):
        super().__init__()
        body = resnet101(weights=None)
        body.avgpool, body.fc = nn.Identity(), nn.Identity()
        self.backbone = nn.ModuleDict({"model": body})
        self.decoder = _Decoder(num_classes)

    def forward(self, images):
        features, found = images, {}
        for name, layer in self.backbone["model"].named_children():
            features = layer(features) if name not in ("avgpool", "fc") else features
            found[name] = features
        return interpolate(self.decoder(found["layer1"], found["layer4"]), images.shape[2:], mode="bilinear")


class _Decoder(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(256, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU())
        self.atrous_spatial_pyramid_pool = _Pyramid()
        self.conv = nn.Conv2d(304, 256, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(256)
        self.classifier = nn.Conv2d(256, num_classes, 1)

    def forward(self, low, deep):
        deep = interpolate(self.atrous_spatial_pyramid_pool(deep), low.shape[2:], mode="bilinear")
        return self.classifier(torch.relu(self.bn(self.conv(torch.cat([self.project(low), deep], dim=1)))))


class _Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        first = nn.Sequential(nn.Conv2d(2048, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU())
        dilated = [_NamedConvolution(3, padding=rate, dilation=rate) for rate in (6, 12, 18)]
        self.convs = nn.ModuleList([first, *dilated, _NamedConvolution(1)])
        self.projection = nn.Sequential(nn.Conv2d(5 * 256, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU())

    def forward(self, features):
        *branches, pooled = self.convs
        found = [branch(features) for branch in branches]
        mean = pooled(features.mean(dim=(2, 3), keepdim=True)).expand_as(found[0])
        return self.projection(torch.cat([*found, mean], dim=1))


class _NamedConvolution(nn.Module):
    def __init__(self, size, **options):
        super().__init__()
        self.conv = nn.Conv2d(2048, 256, size, bias=False, **options)
        self.bn = nn.BatchNorm2d(256)

    def forward(self, features):
        return torch.relu(self.bn(self.conv(features)))


def randomised(model):
    """Let no two normalisations be alike, in statistics or in what they learn."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias)
    return model.eval()


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
