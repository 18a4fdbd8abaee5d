"""Names of weights in released and published files, and what they are called here.

The released models were trained with TorchUncertainty 0.4 under Lightning: every name begins with ``model.``. Each kind
of architecture has a function that yields the released names of its layers in the order of ours.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from torch import Tensor, nn

from unsmooth.models.libraries import timm_converted

WRAPPERS = re.compile(r"^((model|module|_orig_mod)\.)+")  # Lightning, data parallel training, torch.compile
STAGES = (1, 2, 3)  # of residual and dense networks for small images
PYRAMID = "decoder.atrous_spatial_pyramid_pool"


def renamed(weights: Mapping[str, Tensor], kind: str, model: nn.Module) -> dict[str, Tensor]:
    """Return weights by the names of our model; those that have them already, and unknown ones, keep theirs.

    `weights` have the names of a released checkpoint, or of any file of a model of timm, also behind the prefix of what
    wrapped the model in training; `model` is of the kind `kind`.

    Example:
        >>> from unsmooth.models import make_model
        >>> model = make_model({"kind": "densenet", "depth": 10}, [3, 8, 8], 10)
        >>> [*renamed({"model.features.transition1.conv.weight": 1, "model.classifier.bias": 2}, "densenet", model)]
        ['features.4.weight', 'head.bias']
    """
    bare = {WRAPPERS.sub("", name): tensor for name, tensor in weights.items()}
    if kind == "timm":
        return timm_converted(bare, model)
    layers = [*dict.fromkeys(name.rpartition(".")[0] for name in model.state_dict())]
    ours = dict(zip(RELEASED[kind](layers), layers, strict=True)) if kind in RELEASED else {}

    def our_name(name: str) -> str:
        layer, dot, tensor = name.rpartition(".")
        return ours.get(layer, layer) + dot + tensor

    return {our_name(name): tensor for name, tensor in bare.items()}


def _torchvision(layers: Sequence[str]) -> Iterator[str]:
    for layer in layers:
        yield "linear" if layer == "fc" else layer.replace(".downsample.", ".shortcut.")


def _cifar_resnet(layers: Sequence[str]) -> Iterator[str]:
    blocks = sum(layer.endswith(".residual.0") for layer in layers) // len(STAGES)
    yield from ("conv1", "bn1")
    for stage, block in product(STAGES, range(blocks)):
        yield from _within(f"layer{stage}.{block}", ("conv1", "bn1", "conv2", "bn2"))
        if stage > 1 and block == 0:
            yield from _within(f"layer{stage}.{block}", ("shortcut.0", "shortcut.1"))
    yield "linear"


def _densenet(layers: Sequence[str]) -> Iterator[str]:
    depth = sum(layer.endswith(".layers.0") for layer in layers) // len(STAGES)
    yield "features.conv0"
    for stage in STAGES:
        if stage > 1:
            yield from _within(f"features.transition{stage - 1}", ("norm", "conv"))
        for number in range(1, depth + 1):
            yield from _within(f"features.denseblock{stage}.denselayer{number}", ("norm1", "conv1", "norm2", "conv2"))
    yield from ("features.norm_final", "classifier")


def _lstm(layers: Sequence[str]) -> Iterator[str]:
    yield "lstm"
    yield from (f"fc{number}" for number in range(1, len(layers)))


def _deeplabv3plus(layers: Sequence[str]) -> Iterator[str]:
    yield from (layer.replace("backbone.", "backbone.model.") for layer in layers if layer.startswith("backbone."))
    yield from _within(f"{PYRAMID}.convs.0", ("0", "1"))
    for branch in (1, 2, 3, 4):  # three dilated convolutions and the mean of the image
        yield from _within(f"{PYRAMID}.convs.{branch}", ("conv", "bn"))
    yield from _within(f"{PYRAMID}.projection", ("0", "1"))
    yield from _within("decoder", ("project.0", "project.1", "conv", "bn", "classifier"))


def _within(module: str, layers: Iterable[str]) -> Iterator[str]:
    return (f"{module}.{layer}" for layer in layers)


RELEASED: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {
    "torchvision": _torchvision,
    "cifar_resnet": _cifar_resnet,
    "densenet": _densenet,
    "lstm": _lstm,
    "deeplabv3plus": _deeplabv3plus,
}
