"""A researcher's own arrays in one npz or safetensors file: names, shapes and types, read without the data.

Either each split has its arrays, `train_inputs` and `train_targets` and the same of `val` and `test`, or `inputs` and
`targets` of all samples are divided by a seed.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = ("train", "val", "test")
SUFFIXES = (".npz", ".safetensors")
BY_SPLIT = frozenset(f"{split}_{part}" for split in SPLITS for part in ("inputs", "targets"))
WHOLE = frozenset({"inputs", "targets"})
CALLED = {
    "b": "booleans",
    "i": "integers",
    "u": "unsigned integers",
    "f": "floating point",
    "O": "objects",
    "U": "texts",
}


class ArrayFileError(ValueError):
    """A file of arrays is missing, damaged, or holds other arrays than a dataset needs; the message names it."""


class Header(NamedTuple):
    """Shape of an array, and the kind of its numbers as in numpy: "f" floating point, "i" and "u" integers."""

    shape: tuple[int, ...]
    kind: str


def read_headers(path: Path) -> dict[str, Header]:
    """Read what arrays an npz or safetensors file has; `ArrayFileError` if it cannot be read, or is none."""
    if path.suffix not in SUFFIXES:
        raise ArrayFileError(f"{path} must end in {' or '.join(SUFFIXES)}")
    try:
        return _npz_headers(path) if path.suffix == ".npz" else _safetensors_headers(path)
    except FileNotFoundError:
        raise ArrayFileError(f"{path} does not exist") from None
    except (OSError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        raise ArrayFileError(f"{path} cannot be read: {error}") from None


def read_arrays(path: Path) -> dict[str, "Tensor"]:
    """Read the arrays that make a dataset; those of `check_arrays`."""
    import torch

    names = BY_SPLIT & read_headers(path).keys() or WHOLE
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
        native = {name: array.astype(array.dtype.newbyteorder("="), "C", copy=False) for name, array in arrays.items()}
        return {name: torch.from_numpy(array) for name, array in native.items()}
    with safe_open(path, framework="pt") as file:  # numpy has no bfloat16
        return {name: file.get_tensor(name) for name in names}


def check_arrays(path: Path, headers: Mapping[str, Header]) -> None:
    """Check that a file has the arrays of a dataset; else `ArrayFileError` names the array and what was expected."""
    names = BY_SPLIT if BY_SPLIT & headers.keys() else WHOLE
    if missing := sorted(names - headers.keys()):
        raise ArrayFileError(
            f"{path} lacks {', '.join(missing)}; it must have inputs and targets, or {', '.join(sorted(BY_SPLIT))}; "
            f"it has {', '.join(sorted(headers)) or 'nothing'}"
        )
    shapes = {headers[name].shape[1:] for name in names if name.endswith("inputs")}
    if len(shapes) > 1:
        raise ArrayFileError(f"{path}: inputs of all splits must have one shape, got {sorted(shapes)}")
    for name in sorted(names):
        shape, kind = headers[name]
        if name.endswith("targets"):
            samples = headers[name.replace("targets", "inputs")].shape[:1]
            if shape != samples or kind not in "iu":
                came = f"{CALLED.get(kind, kind)} {shape}"
                raise ArrayFileError(f"{path}: {name} must be integers {samples}, one an input, got {came}")
        elif len(shape) == 4 and shape[3] in (1, 3, 4) and min(shape[1:3]) > 4:
            raise ArrayFileError(f"{path}: {name} must be images (N, C, H, W), got {shape}, as with channels last")
        elif not ((len(shape) == 2 and kind == "f") or (len(shape) == 4 and kind in "uf")) or 0 in shape:
            raise ArrayFileError(
                f"{path}: {name} must be vectors, floating point (N, F), or images, uint8 or floating point "
                f"(N, C, H, W), got {CALLED.get(kind, kind)} {shape}"
            )


def kind_of_inputs(headers: Mapping[str, Header]) -> Literal["images", "vectors"]:
    """Return what the inputs are, of arrays that were checked."""
    inputs = next(header for name, header in headers.items() if name in BY_SPLIT | WHOLE and name.endswith("inputs"))
    return "images" if len(inputs.shape) == 4 else "vectors"


def _npz_headers(path: Path) -> dict[str, Header]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version not in readers:
                    raise ValueError(f"{member} has the format {version}, expected one of {list(readers)}")
                shape, _, dtype = readers[version](file)
            headers[member.removesuffix(".npy")] = Header(shape, dtype.kind)
    return headers


def _safetensors_headers(path: Path) -> dict[str, Header]:
    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return {name: Header(tuple(part.get_shape()), _kind(part.get_dtype())) for name, part in slices.items()}


def _kind(dtype: str) -> str:
    """Return numpy's letter for a type of safetensors, such as "F32", "BF16", "U8" and "BOOL"."""
    return "b" if dtype == "BOOL" else dtype.lstrip("B")[0].lower()
