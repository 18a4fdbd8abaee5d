"""Classifiers of torchvision and timm by name, with fresh weights; nothing is downloaded."""

import sys
from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

from torch import Tensor, nn

from unsmooth.config.errors import suggestion

INTERPOLATIONS = ("bicubic", "bilinear")
# By default these return auxiliary outputs in training.
AUXILIARY = {"googlenet", "inception_v3"}
# What timm calls a function that converts weights of the original repository, in the module of a model.
CONVERTERS = ("checkpoint_filter_fn", "_filter_fn")


class UnknownModelError(ValueError):
    """The library has no classifier of that name, or it does not take such images."""


def torchvision_model(
    *,
    name: str,
    initialisation: Literal["torchvision", "torch"],
    dropout: float = 0.0,
    in_channels: int,
    num_classes: int,
) -> nn.Module:
    """Build a torchvision classifier from images (N, 3, H, W) to logits (N, K), with fresh weights.

    Args:
        name: as in `torchvision.models.list_models`; resnet50 has 25,557,032 parameters with K = 1000.
        initialisation: "torchvision" draws weights as the library does; "torch" by `redraw_by_layer`.
        dropout: probability of dropping an input of the last layer; only for networks that end in `fc`, as ResNets do.
        in_channels, num_classes: 3, as in all of torchvision's classifiers, and K.
    """
    from torchvision import models

    _check_name(name, "torchvision", models.list_models(module=models))
    if in_channels != 3:
        raise UnknownModelError(f"torchvision's {name} takes images of 3 channels, got {in_channels}")
    options = {"aux_logits": False, "init_weights": True} if name in AUXILIARY else {}
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if initialisation == "torch":
        redraw_by_layer(model)
    if dropout:
        last = getattr(model, "fc", None)
        if not isinstance(last, nn.Linear):
            raise UnknownModelError(f"dropout is for classifiers of torchvision that end in fc, {name} does not")
        # In place, so that weights keep their names and a checkpoint of the library its fit.
        last.register_forward_pre_hook(_Dropout(dropout))
    return model


def redraw_by_layer(model: nn.Module) -> None:
    """Redraw the weights of every layer by the layer's own default; parameters outside layers stay."""
    for module in model.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()


class _Dropout:
    """A hook that drops inputs of a layer while it trains."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (nn.functional.dropout(inputs[0], self.probability, layer.training),)


def timm_model(*, name: str, drop_rate: float, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Build a timm classifier from images (N, in_channels, image_size, image_size) to logits (N, K).

    Args:
        name: as in `timm.list_models` or `timm.list_pretrained`; vit_small_patch16_224 has 22,050,664 parameters with K
            = 1000.
        drop_rate: timm's option of that name; of a vision transformer, dropout before the classifier only.
        in_channels, image_size, num_classes: the size, pixels, decides weights of some models.
    """
    import timm

    _check_name(name, "timm", [*timm.list_models(), *timm.list_pretrained()])
    description = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": image_size} if description and description.fixed_input_size else {}
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=in_channels, drop_rate=drop_rate, **size
    )
    return model


def timm_converted(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return published weights by timm's names: files may have those of the repository where they first appeared.

    They are converted as timm does when it loads them, which also resizes tables of positions where images have another
    size. Weights that have the names of `model`, or that timm cannot convert, stay as they are.
    """
    module = vars(sys.modules[type(model).__module__])
    converter = next((module[name] for name in CONVERTERS if name in module), None)
    if converter is None or weights.keys() <= model.state_dict().keys():
        return dict(weights)
    arguments = (dict(weights), model)[: len(signature(converter).parameters)]  # some take no model
    try:
        return dict(converter(*arguments))
    except Exception:  # each converter has its own for names that it does not know
        return dict(weights)


def timm_preprocessing(name: str) -> dict[str, Any]:
    """Return timm's preprocessing of published weights, such as resnet50.a1_in1k, by the fields of `ImageManifest`."""
    import timm
    from timm.data.config import resolve_data_config

    _check_name(name, "timm", timm.list_pretrained())
    described = timm.get_pretrained_cfg(name)
    assert described is not None  # the name is known
    found = resolve_data_config(pretrained_cfg=described.to_dict(), use_test_size=True)
    channels, height, width = found["input_size"]
    if (channels, height, found["crop_mode"]) != (3, width, "center") or found["interpolation"] not in INTERPOLATIONS:
        raise UnknownModelError(
            f"timm's {name} takes images of {channels} x {height} x {width}, cropped by {found['crop_mode']!r} and "
            f"resized by {found['interpolation']!r}; expected squares in colour, 'center' and {INTERPOLATIONS}"
        )
    return {
        "image_size": height,
        "resize": int(height / found["crop_pct"]),
        "mean": list(found["mean"]),
        "std": list(found["std"]),
        "interpolation": found["interpolation"],
    }


def _check_name(name: str, library: str, known: list[str]) -> None:
    if name not in known:
        raise UnknownModelError(f"{library} has no classifier {name!r}{suggestion(name, known)}")
