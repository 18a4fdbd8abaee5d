"""Batches of data that fits on the device as one tensor."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["TensorLoader"]


class TensorLoader:
    """Small images or vectors that live on the device as one tensor, augmented by the batch.

    Args:
        inputs: (N, C, H, W) uint8 images, or (N, D) floating-point vectors.
        targets: (N,) int64.
        batch_size: samples a batch; the last, partial batch is kept.
        mean, std: normalisation by channel on the [0, 1] scale; empty for none.
        crop_padding: black pixels added on each side before a random crop; images only.
        flip: mirror each image with probability 1/2; images only.
        device: where the data lives.

    Raises:
        ValueError: images that are not uint8, or augmentation of vectors.
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
        device: torch.device | str = "cpu",
    ) -> None:
        self.batch_size, self.crop_padding, self.flip = batch_size, crop_padding, flip
        self.targets = targets.to(device)
        self.is_image = inputs.ndim == 4
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
        """Return the number of batches in an epoch."""
        return -(-len(self.targets) // self.batch_size)

    def epoch(
        self, generator: torch.Generator, *, start: int, resume: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield shuffled, augmented batches; images are (B, C, H, W) in channels-last memory order."""
        order = torch.randperm(len(self.targets), generator=generator)
        if resume is not None:
            generator.set_state(resume)
        for indices in order.split(self.batch_size)[start:]:
            device_indices = indices.to(self.inputs.device)
            yield self._augmented(device_indices, generator), self.targets[device_indices]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all batches once, in order and without augmentation."""
        p = self.crop_padding
        inputs = self.inputs[:, p : p + self.height, p : p + self.width] if self.is_image else self.inputs
        for batch, targets in zip(inputs.split(self.batch_size), self.targets.split(self.batch_size), strict=True):
            yield self._normalised(batch), targets

    def _augmented(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        if not (self.is_image and (self.crop_padding or self.flip)):
            return self._normalised(self.inputs[indices])
        count, device = len(indices), indices.device

        def draw(high: int) -> Tensor:
            return torch.randint(high, (count, 1), generator=generator).to(device, non_blocking=True)

        rows = draw(2 * self.crop_padding + 1) + torch.arange(self.height, device=device)  # (B, H)
        columns = torch.arange(self.width, device=device).expand(count, -1)
        if self.flip:
            columns = torch.where(draw(2).bool(), columns.flip(1), columns)
        columns = columns + draw(2 * self.crop_padding + 1)  # (B, W)
        return self._normalised(self.inputs[indices[:, None, None], rows[:, :, None], columns[:, None, :]])

    def _normalised(self, inputs: Tensor) -> Tensor:
        inputs = inputs.float()
        if self.mean.numel():
            inputs = (inputs - self.mean).div_(self.std)
        return inputs.permute(0, 3, 1, 2) if self.is_image else inputs
