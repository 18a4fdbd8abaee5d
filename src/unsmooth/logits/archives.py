"""Files of named arrays: npz, npy, pt and safetensors, listed first and loaded only as far as chosen."""

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from safetensors import safe_open

from unsmooth.logits.checks import LogitsFileError
from unsmooth.logits.names import Part

BARE = ""  # the name of an array without one


def safetensors_parts(path: Path) -> dict[str, Part]:
    """The tensors of a safetensors file."""

    def load(name: str, dtype: str) -> Any:  # noqa: ANN401 - array or tensor
        # numpy has neither bfloat16 nor float8.
        with safe_open(path, framework="pt" if dtype.startswith(("BF", "F8")) else "np") as file:
            return file.get_tensor(name)

    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        headers = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    return {name: Part(shape, dtype, partial(load, name, dtype)) for name, (shape, dtype) in headers.items()}


def npz_parts(path: Path) -> dict[str, Part]:
    """The arrays of an npz file."""
    parts = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    name = member.removesuffix(".npy")
                    parts[name] = _numpy_part(path, name, file)
    return parts


def npy_parts(path: Path) -> dict[str, Part]:
    """The array of an npy file."""
    with path.open("rb") as file:
        return {BARE: _numpy_part(path, BARE, file)}


def pt_parts(path: Path) -> dict[str, Part]:
    """The tensors of what torch.save wrote: a tensor, a pair, a dictionary, or a list of batches of these."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise LogitsFileError(
            f"{path}: cannot be read as {path.suffix}: it holds numpy arrays or other Python objects, which are not "
            "loaded because pickles can run code; save tensors with torch.save, or arrays with numpy.savez"
        ) from None
    tensors = dict(_tensors(content))
    if not tensors:
        raise LogitsFileError(
            f"{path}: expected a tensor, a pair or a dict of tensors, got {type(content).__name__} without tensors"
        )
    return {name: Part(tuple(each.shape), str(each.dtype), each.detach) for name, each in tensors.items()}


def _numpy_part(path: Path, name: str, header: Any) -> Part:  # noqa: ANN401 - a binary stream
    """An array whose header is read; `name` is that in an npz file, or `BARE`."""
    version = npy_format.read_magic(header)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(header)

    def load() -> NDArray[Any]:
        if dtype.hasobject:
            what = f"array {name!r}" if name else "the array"
            raise LogitsFileError(
                f"{path}: {what} holds Python objects, which are not loaded because pickles can run code; "
                "save it as numbers, for which all rows must be equally long"
            )
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            return np.asarray(content[name] if name else content)

    return Part(shape, str(dtype), load)


def _joined(content: Any) -> Any:  # noqa: ANN401 - whatever torch.load returns
    """Samples or batches put together: a list of tensors, of pairs or of dictionaries as one; lists of numbers."""
    import torch

    if not isinstance(content, list | tuple) or not content:
        return content
    if all(isinstance(item, torch.Tensor) for item in content):
        first, *others = content
        alike = all(item.ndim == first.ndim and item.shape[1:] == first.shape[1:] for item in others)
        if alike and (first.ndim == 2 or (first.ndim == 1 and not first.is_floating_point())):
            return torch.cat(tuple(content))
        if alike and len(content) > 2 and all(item.shape == first.shape for item in others) and first.ndim < 2:
            return torch.stack(tuple(content))
        return {"logits": first, "targets": others[0]} if len(content) == 2 else dict(enumerate(content))
    if all(isinstance(item, list | tuple) and len(item) == 2 for item in content):
        content = [dict(zip(("logits", "targets"), item, strict=True)) for item in content]
    if all(isinstance(item, dict) for item in content):
        common = [key for key in content[0] if all(_are_numbers(item.get(key)) for item in content)]
        columns = {key: [torch.as_tensor(item[key]) for item in content] for key in common}
        axes = {column[0].ndim for column in columns.values()}
        samples = 0 in axes and max(axes) < 2
        return {
            key: torch.stack(column) if samples else torch.cat([torch.atleast_1d(value) for value in column])
            for key, column in columns.items()
        }
    with suppress(TypeError, ValueError):  # lists of anything but numbers
        return torch.tensor(content)
    return dict(enumerate(content))


def _are_numbers(value: Any) -> bool:  # noqa: ANN401 - whatever a dictionary holds
    """Whether a value is a tensor, a number or a list of numbers."""
    import torch

    if isinstance(value, list):
        return bool(value) and all(isinstance(item, int | float) for item in value)
    return isinstance(value, torch.Tensor | int | float)


def _tensors(content: Any, name: str = BARE) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The tensors in nested dictionaries, by dotted name."""
    import torch

    content = _joined(content)
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
