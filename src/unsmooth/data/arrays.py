"""The prepared dataset on disk: one safetensors file with all splits, and a manifest that pins its content.

Training depends on the manifest alone, so that touching or copying the arrays retrains nothing; they are checked
against the manifest each time they are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsmooth.atomic_files import atomic_path, sha256_of

ARRAYS = "data.safetensors"
MANIFEST = "manifest.json"
IGNORED = 255  # label of pixels that count nowhere
OPTIONAL = ("posterior", "indices")  # tensors that a split may lack


class DatasetError(ValueError):
    """A prepared dataset is missing, damaged, or not what its manifest says; every reader of one raises it."""


@dataclass(frozen=True)
class Split:
    """One split of a dataset."""

    # (N, ...) what the model takes, before normalisation; images are uint8 (N, C, H, W), token sequences int32 (N, T)
    # rows of the embedding table
    inputs: Tensor
    targets: Tensor  # (N,) int64 class indices; of scenes (N, H, W), `IGNORED` where a pixel has none
    posterior: Tensor | None = None  # (N, K) float64 exact P(class | input) where the dataset knows it, else None
    # (N,) int64 positions in the set that was divided to make this split; None where none was
    indices: Tensor | None = None


@dataclass(frozen=True)
class Manifest:
    """What a prepared dataset holds."""

    dataset: str  # its canonical identifier
    classes: list[str]  # class names in index order
    input_shape: list[int]  # shape of one input
    # `mean` and `std` normalise the inputs, one value a channel, on the [0, 1] scale for images; empty for none
    mean: list[float]
    std: list[float]
    sizes: dict[str, int]  # number of samples by split
    sha256: str  # digest of the arrays file
    # Class index of what has no class; -100, which no sample has, where each input has one target
    ignore_index: int = field(default=-100, kw_only=True)

    @property
    def dense(self) -> bool:
        """Return whether each pixel of an input has a target of its own."""
        return self.ignore_index == IGNORED

    def visible(self, image: Tensor) -> Tensor:
        """Return an image (C, H, W) as it was before normalisation, on the [0, 1] scale."""
        mean, std = (torch.tensor(values, device=image.device)[:, None, None] for values in (self.mean, self.std))
        return image * std + mean if self.mean else image


def write_dataset(
    folder: Path,
    splits: Mapping[str, Split],
    *,
    dataset: str,
    classes: list[str],
    mean: list[float],
    std: list[float],
    embedding: Tensor | None = None,
) -> Manifest:
    """Write the splits, with inputs of one shape, and their manifest to `folder`, each file whole or not at all.

    `embedding` holds the (V, D) float32 vectors of tokens, row 0 padding, row 1 unknown; the rest are of `Manifest`.
    """
    arrays = {} if embedding is None else {"embedding": embedding.contiguous()}
    for name, split in splits.items():
        arrays |= {f"{name}.{key}": tensor.contiguous() for key, tensor in vars(split).items() if tensor is not None}
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
        **({} if next(iter(splits.values())).targets.ndim == 1 else {"ignore_index": IGNORED}),
    )
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(vars(manifest), indent=1) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in `folder`; datasets of image files and scenes have readers of their own."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text())
        return Manifest(**{name: content[name] for name in Manifest.__dataclass_fields__ if name in content})
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist: build the dataset first") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a dataset manifest: {error}") from None


def load_split(folder: Path, split: str) -> Split:
    """Read one split, after checking the arrays against the manifest's SHA-256."""
    manifest = read_manifest(folder)
    if split not in manifest.sizes:
        raise DatasetError(f"{folder} has no split {split!r}; it has {', '.join(manifest.sizes)}")
    tensors = _read_tensors(folder, manifest, [f"{split}.{key}" for key in ("inputs", "targets", *OPTIONAL)])
    return Split(
        inputs=tensors[f"{split}.inputs"],
        targets=tensors[f"{split}.targets"].to(torch.int64),
        **{key: tensors.get(f"{split}.{key}") for key in OPTIONAL},
    )


def load_embedding(folder: Path) -> Tensor | None:
    """Read the embedding table, (V, D) float32, after the same check; None where the inputs are not tokens."""
    return _read_tensors(folder, read_manifest(folder), ["embedding"]).get("embedding")


def _read_tensors(folder: Path, manifest: Manifest, keys: list[str]) -> dict[str, Tensor]:
    """Return those of the tensors that the arrays file has, after checking it against the manifest."""
    path = folder / ARRAYS
    try:
        state = path.stat()
    except FileNotFoundError:
        raise DatasetError(
            f"{path} does not exist, but {MANIFEST} does: delete {MANIFEST} to rebuild the dataset"
        ) from None
    if (digest := _digest(path, state.st_ino, state.st_size, state.st_ctime_ns)) != manifest.sha256:
        raise DatasetError(f"{path} has SHA-256 {digest}, expected {manifest.sha256}: delete {MANIFEST} to rebuild it")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in set(keys) & set(file.keys())}
    except SafetensorError as error:
        raise DatasetError(f"{path} is not a safetensors file: {error}") from None


@lru_cache(maxsize=16)
def _digest(path: Path, inode: int, size: int, changed_ns: int) -> str:
    """Return the SHA-256 of a file; read once while it does not change, since a process reads several splits."""
    return sha256_of(path)
