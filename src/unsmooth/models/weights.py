"""Weights from elsewhere: files of several formats into a model, with every name and shape accounted for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unsmooth.atomic_files import atomic_path

SHOWN = 5  # names in a message


class WeightsError(ValueError):
    """A file of weights cannot be read, or its weights are not those of the model."""


def load_pretrained(model: nn.Module, path: Path, *, backbone: str) -> None:
    """Copy pretrained weights into a model or its backbone; the last layer only where it has as many outputs.

    `path` is a file as for `read_weights`, the last layer last; `backbone` the dotted path of the submodule that takes
    the weights, "" for the model. Names and shapes of other layers must agree.
    """
    target, weights = model.get_submodule(backbone), read_weights(path)
    own = target.state_dict()
    last_layer = next(reversed(weights)).rpartition(".")[0]
    last = [name for name in weights if name.rpartition(".")[0] == last_layer]
    if any(name not in own or len(own[name]) != len(weights[name]) for name in last):
        kept = {name: own[name] for name in last if name in own}
        weights = {name: tensor for name, tensor in weights.items() if name not in last} | kept
    load_weights(target, weights, path)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: object) -> None:
    """Copy weights into a model that must have exactly their names and shapes; errors call them `source`.

    Counters of batches, which old files of batch normalisation lack and inference does not read, may be missing.
    """
    own = model.state_dict()
    counters = {name for name in own if name.endswith(".num_batches_tracked")}
    faults = [
        _listed("missing", sorted(own.keys() - weights.keys() - counters)),
        _listed("unexpected", sorted(weights.keys() - own.keys())),
        _listed(
            "of another shape",
            [
                f"{name} {tuple(tensor.shape)} where the model has {tuple(own[name].shape)}"
                for name, tensor in weights.items()
                if name in own and tensor.shape != own[name].shape
            ],
        ),
    ]
    if any(faults):
        raise WeightsError(f"{source}: the weights are not those of this {type(model).__name__}:{''.join(faults)}")
    model.load_state_dict(weights, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or what torch.save wrote, bare or under the key `state_dict`, as Lightning does.

    No code in the file is run: of a pickle only tensors and plain containers are read.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise WeightsError(f"{path}: unknown suffix {path.suffix!r}, expected one of {', '.join(READERS)}")
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        content = reader(path)
    except WeightsError:
        raise
    except Exception as error:  # of pickle, zipfile, torch and safetensors, each with its own for a damaged file
        raise WeightsError(
            f"{path}: damaged, or it holds more than tensors and plain containers, which is not read "
            f"({type(error).__name__})"
        ) from None
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not (isinstance(weights, Mapping) and weights and all(isinstance(each, Tensor) for each in weights.values())):
        raise WeightsError(f"{path}: expected tensors by name, bare or under the key 'state_dict'")
    return dict(weights)


def write_weights(path: Path, model: nn.Module) -> None:
    """Write the state dict of a model as safetensors."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, temporary)


def _read_torch(path: Path) -> object:
    if is_zipfile(path) and (objects := torch.serialization.get_unsafe_globals_in_checkpoint(path)):
        raise WeightsError(
            f"{path} holds objects that could run code when read, {', '.join(sorted(objects))}: it is not read; "
            "where you trust it, save its state_dict alone"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _listed(fault: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"\n  {len(names)} {fault}: {', '.join(names[:SHOWN])}{more}" if names else ""


READERS: dict[str, Callable[[Path], object]] = {
    ".safetensors": load_file,
    ".ckpt": _read_torch,
    ".pt": _read_torch,
    ".pth": _read_torch,
}
