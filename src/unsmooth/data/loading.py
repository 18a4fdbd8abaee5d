"""Batches of a prepared dataset, for training and for inference.

A batch is split into shards, parts that batch-normalise, and are perturbed under sharpness-aware minimisation, by
themselves. They are dealt to the processes in turn, so that a recipe means the same on any number of devices.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unsmooth.config.specs.recipes import FOR_IMAGE_FILES, Recipe
from unsmooth.data.arrays import DatasetError, load_embedding, load_split, read_manifest

Shard = tuple[Tensor, Tensor]  # inputs (B, *), targets (B,) or (B, H, W)


class Loader(Protocol):
    """Batches of training data, in an order drawn from the generator."""

    def __len__(self) -> int: ...  # batches in an epoch

    def epoch(self, generator: torch.Generator, *, start: int, resume: Tensor | None) -> Iterator[list[Shard]]:
        """Yield this process's shards of every batch from batch `start` on, on the device.

        `generator`, equal on all processes, decides order and augmentation; `resume` is its state after those left out.
        """
        ...


class TensorLoader:
    """Small images, vectors or tokens that live on the device as one tensor, augmented by the batch.

    Args:
        inputs: (N, C, H, W) uint8 images, (N, D) floating-point vectors, or (N, T) integer tokens, left as they are.
        targets: (N,) int64, or (N, H, W) of scenes, which are not augmented.
        batch_size: samples a batch; the last, partial batch is kept.
        mean, std: normalisation by channel on the [0, 1] scale; empty for none.
        crop_padding, flip: of images; black pixels on each side before a random crop, and mirroring half of the time.
        shards: parts of a batch; their sizes differ by at most one sample.
        rank, world_size: this process and the number of processes; it gets shards rank, rank + world_size, ...
        device: where the data lives.

    Raises:
        ValueError: images that are not uint8, or augmentation of anything else or of scenes.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        batch_size: int,
        mean: list[float],
        std: list[float],
        crop_padding: int = 0,
        flip: bool = False,
        shards: int = 1,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.batch_size, self.crop_padding, self.flip = batch_size, crop_padding, flip
        self.shards, self.own = shards, slice(rank, None, world_size)
        self.targets = targets.to(device)
        self.is_image = inputs.ndim == 4
        if targets.ndim > 1 and (crop_padding or flip):
            raise ValueError(f"augmentation needs one target an image, got targets {tuple(targets.shape)}")
        if self.is_image:
            if inputs.dtype != torch.uint8:
                raise ValueError(f"images must be uint8, got {inputs.dtype}")
            self.height, self.width = inputs.shape[2:]
            inputs = nn.functional.pad(inputs, [crop_padding] * 4).permute(0, 2, 3, 1)  # (N, H + 2p, W + 2p, C)
        elif crop_padding or flip:
            raise ValueError(f"augmentation needs images (N, C, H, W), got inputs {tuple(inputs.shape)}")
        self.inputs = inputs.contiguous().to(device)
        scale = 255 if self.is_image else 1
        self.mean = torch.tensor(mean, device=device) * scale
        self.std = torch.tensor(std, device=device) * scale

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def epoch(self, generator: torch.Generator, *, start: int, resume: Tensor | None) -> Iterator[list[Shard]]:
        """Yield this process's shards of shuffled, augmented batches; images are (B, C, H, W), channels last."""
        order = torch.randperm(len(self.targets), generator=generator)
        if resume is not None:
            generator.set_state(resume)
        for indices in order.split(self.batch_size)[start:]:
            # A row a sample: its index and what is drawn for it; of the whole batch, so that all processes draw alike.
            rows = torch.stack([indices, *self._draws(len(indices), generator)], dim=1)
            rows = rows.to(self.inputs.device, non_blocking=True)
            yield [self._shard(part) for part in rows.tensor_split(self.shards)[self.own]]

    def in_order(self) -> Iterator[Shard]:
        """Yield all batches once, in order and without augmentation."""
        p = self.crop_padding
        inputs = self.inputs[:, p : p + self.height, p : p + self.width] if self.is_image else self.inputs
        for batch, targets in zip(inputs.split(self.batch_size), self.targets.split(self.batch_size), strict=True):
            yield self._normalised(batch), targets

    def _draws(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """Draw for each image the rows cut above, whether it is mirrored, and the columns cut before; (B,) each."""
        if not (self.crop_padding or self.flip):
            return []
        offsets = 2 * self.crop_padding + 1
        highs = (offsets, 2, offsets) if self.flip else (offsets, offsets)
        return [torch.randint(high, (count,), generator=generator) for high in highs]

    def _shard(self, rows: Tensor) -> Shard:
        indices, *draws = rows.unbind(dim=1)
        targets, device = self.targets[indices], indices.device
        if not draws:
            return self._normalised(self.inputs[indices]), targets
        top, *mirrored, left = (drawn[:, None] for drawn in draws)  # (B, 1) each
        rows = top + torch.arange(self.height, device=device)  # (B, H)
        columns = torch.arange(self.width, device=device).expand(len(indices), -1)
        if mirrored:
            columns = torch.where(mirrored[0].bool(), columns.flip(1), columns)
        columns = columns + left  # (B, W)
        return self._normalised(self.inputs[indices[:, None, None], rows[:, :, None], columns[:, None, :]]), targets

    def _normalised(self, inputs: Tensor) -> Tensor:
        if not (self.is_image or inputs.is_floating_point()):
            return inputs
        inputs = inputs.float()
        if self.mean.numel():
            inputs = (inputs - self.mean).div_(self.std)
        return inputs.permute(0, 3, 1, 2) if self.is_image else inputs


def training_loader(
    folder: Path, recipe: Recipe, *, device: torch.device | str, rank: int = 0, world_size: int = 1, workers: int = 0
) -> Loader:
    """Return the shuffled, augmented batches of the training split of a prepared dataset on the device.

    `workers` processes decode image files; `rank` is this of `world_size` processes. `DatasetError` also if the last
    batch has fewer samples than shards, or the augmentation does not fit.
    """
    if world_size > recipe.shards:
        raise ValueError(f"world_size must be at most the {recipe.shards} shards of a batch, got {world_size}")
    manifest = read_manifest(folder)
    samples = manifest.sizes["train"]
    if 0 < (last := samples % recipe.batch_size) < recipe.shards:
        raise DatasetError(
            f"{folder}: of {samples} training samples in batches of {recipe.batch_size}, {last} remain for the last "
            f"batch, too few for {recipe.shards} shards: choose another batch_size"
        )
    settings: dict[str, Any] = {
        "batch_size": recipe.batch_size,
        "shards": recipe.shards,
        "rank": rank,
        "world_size": world_size,
        "device": device,
    }
    augmentation = recipe.augmentation.model_dump(exclude={"scene_crop"})
    if _has_image_files(folder):
        from unsmooth.data.image_files import image_files_loader
        from unsmooth.data.scene_files import holds_scenes, scene_files_loader

        if holds_scenes(folder):
            crop, flip = recipe.augmentation.scene_crop, recipe.augmentation.flip
            return scene_files_loader(folder, "train", crop=crop, flip=flip, workers=workers, **settings)
        return image_files_loader(folder, "train", workers=workers, **settings, **augmentation)
    for name in FOR_IMAGE_FILES:
        if augmentation.pop(name, False):
            raise DatasetError(f"{folder}: {name} needs a dataset of image files, this one is a single tensor")
    data = load_split(folder, "train")
    return TensorLoader(data.inputs, data.targets, mean=manifest.mean, std=manifest.std, **settings, **augmentation)


def evaluation_batches(
    folder: Path,
    split: str,
    *,
    device: torch.device | str,
    batch_size: int,
    workers: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
) -> Iterable[Shard]:
    """Return the batches of one split of a prepared dataset in order, without augmentation, on the device.

    `preprocessing`, of image files only, replaces the preprocessing of the dataset, see `image_files_loader`.
    """
    if _has_image_files(folder):
        from unsmooth.data.image_files import image_files_loader
        from unsmooth.data.scene_files import holds_scenes, scene_files_loader

        if holds_scenes(folder):
            return scene_files_loader(folder, split, workers=workers, batch_size=batch_size, device=device).in_order()
        return image_files_loader(
            folder, split, workers=workers, batch_size=batch_size, device=device, preprocessing=preprocessing
        ).in_order()
    if preprocessing:
        raise DatasetError(
            f"{folder}: only image files are resized and cropped for a model, this one is a single tensor"
        )
    manifest, data = read_manifest(folder), load_split(folder, split)
    return TensorLoader(
        data.inputs, data.targets, batch_size=batch_size, mean=manifest.mean, std=manifest.std, device=device
    ).in_order()


def prepared_embedding(folder: Path) -> Tensor | None:
    """Return the token vectors (V, D) float32 of a prepared dataset; None where its inputs are not tokens."""
    return None if _has_image_files(folder) else load_embedding(folder)


def _has_image_files(folder: Path) -> bool:
    return (folder / "images.csv").exists()
