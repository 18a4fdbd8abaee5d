"""The prepared dataset on disk: one safetensors file with all splits, and a manifest that pins its content.

Training depends on the manifest (a few hundred bytes), never on the archive or the arrays, so that touching or
copying a large file retrains nothing; the arrays are checked against the manifest each time they are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsmooth.files import atomic_path, sha256_of

__all__ = ["ARRAYS", "MANIFEST", "DatasetError", "Manifest", "Split", "load_split", "read_manifest", "write_dataset"]

ARRAYS = "data.safetensors"
MANIFEST = "manifest.json"


class DatasetError(ValueError):
    """A prepared dataset is missing, damaged, or not what its manifest says."""


@dataclass(frozen=True)
class Split:
    """One split of a dataset.

    Attributes:
        inputs: (N, \\*) what the model takes, before normalisation; images are uint8 (N, C, H, W).
        targets: (N,) int64 class indices.
        posterior: (N, K) float64 exact P(class | input) where the dataset knows it, else None.
    """

    inputs: Tensor
    targets: Tensor
    posterior: Tensor | None = None


@dataclass(frozen=True)
class Manifest:
    """What a prepared dataset holds.

    Attributes:
        dataset: its canonical identifier.
        classes: class names in index order.
        input_shape: shape of one input.
        mean, std: normalisation of the inputs, one value a channel, on the [0, 1] scale for images; empty for none.
        sizes: number of samples by split.
        sha256: digest of the arrays file.
    """

    dataset: str
    classes: list[str]
    input_shape: list[int]
    mean: list[float]
    std: list[float]
    sizes: dict[str, int]
    sha256: str


def write_dataset(
    folder: Path,
    splits: Mapping[str, Split],
    *,
    dataset: str,
    classes: list[str],
    mean: list[float],
    std: list[float],
) -> Manifest:
    """Write the splits and their manifest to `folder`, each file whole or not at all."""
    arrays = {}
    for name, split in splits.items():
        arrays[f"{name}.inputs"] = split.inputs.contiguous()
        arrays[f"{name}.targets"] = split.targets.contiguous()
        if split.posterior is not None:
            arrays[f"{name}.posterior"] = split.posterior.contiguous()
    with atomic_path(folder / ARRAYS) as temporary:
        save_file(arrays, temporary)
        digest = sha256_of(temporary)
    manifest = Manifest(
        dataset=dataset,
        classes=classes,
        input_shape=list(next(iter(splits.values())).inputs.shape[1:]),
        mean=mean,
        std=std,
        sizes={name: len(split.targets) for name, split in splits.items()},
        sha256=digest,
    )
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(vars(manifest), indent=1) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in `folder`.

    Raises:
        DatasetError: there is none, or it is not a manifest.
    """
    path = folder / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist: build the dataset first") from None
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a dataset manifest: {error}") from None


def load_split(folder: Path, split: str) -> Split:
    """Read one split, after checking the arrays against the manifest's SHA-256.

    Raises:
        DatasetError: the arrays are missing or differ from the manifest, or there is no such split.
    """
    manifest = read_manifest(folder)
    path = folder / ARRAYS
    if split not in manifest.sizes:
        raise DatasetError(f"{folder} has no split {split!r}; it has {', '.join(manifest.sizes)}")
    if not path.exists():
        raise DatasetError(f"{path} does not exist, but {MANIFEST} does: delete {MANIFEST} to rebuild the dataset")
    if (digest := sha256_of(path)) != manifest.sha256:
        raise DatasetError(f"{path} has SHA-256 {digest}, expected {manifest.sha256}: delete {MANIFEST} to rebuild it")
    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            posterior = f"{split}.posterior"
            return Split(
                inputs=file.get_tensor(f"{split}.inputs"),
                targets=file.get_tensor(f"{split}.targets").to(torch.int64),
                posterior=file.get_tensor(posterior) if posterior in keys else None,
            )
    except SafetensorError as error:
        raise DatasetError(f"{path} is not a safetensors file: {error}") from None
