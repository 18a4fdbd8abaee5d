"""Gaussians: overlapping classes in a plane, the one dataset whose P(class | input) is known exactly."""

import math
from pathlib import Path

import torch
from torch import Tensor

from unsmooth.data.arrays import Manifest, Split, write_dataset


def build(
    folder: Path,
    *,
    dataset: str,
    num_train: int,
    num_val: int,
    num_test: int,
    num_classes: int,
    spread: float,
    seed: int,
) -> Manifest:
    """Draw and write the points, a function of the options alone.

    Classes are equally likely and isotropic; the means form a circle with neighbours at distance 1.
    """
    means = class_means(num_classes)
    splits = {}
    for index, (name, count) in enumerate({"train": num_train, "val": num_val, "test": num_test}.items()):
        generator = torch.Generator().manual_seed(seed * 1000 + index)
        targets = torch.randint(num_classes, (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        # Rounded first: the posterior belongs to the float32 inputs that the model sees.
        inputs = (means[targets] + spread * noise).float()
        splits[name] = Split(inputs, targets, posterior(inputs, means, spread))
    return write_dataset(
        folder, splits, dataset=dataset, classes=[str(index) for index in range(num_classes)], mean=[], std=[]
    )


def class_means(num_classes: int) -> Tensor:
    """Return the class means, (K, 2) float64: a circle with neighbours at distance 1."""
    angles = 2 * math.pi * torch.arange(num_classes, dtype=torch.float64) / num_classes
    return torch.stack([angles.cos(), angles.sin()], dim=1) / (2 * math.sin(math.pi / num_classes))


def posterior(inputs: Tensor, means: Tensor, spread: float) -> Tensor:
    r"""Return :math:`P(k \mid x) \propto \exp(-\lVert x - m_k\rVert^2 / 2\sigma^2)`, (N, K) float64.

    `inputs` are (N, D) points, `means` (K, D), and `spread` is the standard deviation of every class.

    Example:
        >>> posterior(torch.tensor([[0.0]]), torch.tensor([[-1.0], [1.0]]), 1.0)
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    differences = inputs.double()[:, None] - means.double()
    return torch.softmax(-differences.square().sum(dim=2) / (2 * spread**2), dim=1)
