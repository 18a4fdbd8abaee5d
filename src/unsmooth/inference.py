"""Inference: logits of a trained model."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unsmooth.data.arrays import IGNORED, Manifest, read_manifest
from unsmooth.data.loading import prepared_embedding
from unsmooth.models import trained_model

# Inputs at once and their elements, by device. A GPU is to be filled: 128 MiB, 222 images of 3 x 224 x 224. What a
# processor computes is to stay in its cache: ResNet-50 is 1.7 times faster on 6 of these, ResNet-8 on 100 small ones.
LARGEST_BATCH = {"cuda": (500, 2**25), "cpu": (100, 2**20)}


def inference_batch_size(manifest: Manifest, device: str) -> int:
    """Return the batch size of inference, at least one, smaller for large inputs or logits.

    Args:
        manifest: of the dataset.
        device: "cuda" or "cpu".
    """
    elements = math.prod(manifest.input_shape)
    if manifest.dense:
        elements = len(manifest.classes) * math.prod(manifest.input_shape[1:])
    inputs, together = LARGEST_BATCH[device]
    return max(1, min(inputs, together // elements))


def load_model(architecture: Mapping[str, Any], dataset: Path, weights: Path, *, device: str) -> nn.Module:
    """Build the network of a cell for a prepared dataset, with its trained weights, on the device."""
    manifest, embedding = read_manifest(dataset), prepared_embedding(dataset)
    return trained_model(weights, architecture, manifest.input_shape, len(manifest.classes), embedding).to(device)


@torch.inference_mode()
def scene_logits(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield image (C, H, W), targets (H, W) and float32 logits (K, H, W) of one scene after the other, on the device.

    The model runs in evaluation mode; `batches` are (inputs, targets) pairs in a fixed order.
    """
    model.eval()
    for inputs, targets in batches:
        yield from zip(inputs, targets, model(inputs).float(), strict=True)


def collect_pixel_logits(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, per_scene: int, seed: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Return the logits of the labelled pixels of each scene that `choose_pixels` takes.

    Returns:
        Logits (M, K) float32 and targets (M,) int64, on the CPU, scene by scene; and how many of each scene.
    """
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for _, labels, scene in scene_logits(model, batches):
        chosen = choose_pixels(labels, per_scene=per_scene, seed=seed, scene=len(targets)).to(labels.device)
        logits.append(scene.flatten(1)[:, chosen].T.cpu())
        targets.append(labels.flatten()[chosen].cpu())
    return torch.cat(logits), torch.cat(targets), [len(truth) for truth in targets]


def choose_pixels(targets: Tensor, *, per_scene: int, seed: int, scene: int) -> Tensor:
    """Choose labelled pixels of a scene (H, W) without replacement, all if there are fewer than `per_scene`.

    `seed`, `scene` and the targets decide the choice, the same for every model. Returns (n,) ascending positions in the
    flattened scene, on the CPU.
    """
    labelled = (targets.flatten() != IGNORED).nonzero().squeeze(1).cpu()
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, scene]).generate_state(1)[0]))
    return labelled[torch.randperm(len(labelled), generator=generator)[:per_scene]].sort().values
