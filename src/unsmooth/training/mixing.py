r"""Mixing of samples and targets in pairs: MixUp and CutMix.

A mixed target is a distribution, :math:`\lambda\,y_i + (1-\lambda)\,y_j`. The loss smooths it afterwards, so that both
components are smoothed. Under CutMix pixel labels move with the pixels and stay class indices. A position that is
ignored in either component is ignored: as a distribution it has no mass.
"""

import math

import torch
from torch import Tensor

from unsmooth.config.specs.recipes import CutMix, Recipe

Box = tuple[slice, slice]  # rows, columns


def mixed(
    inputs: Tensor, targets: Tensor, recipe: Recipe, *, num_classes: int | None, ignore_index: int = -100
) -> tuple[Tensor, Tensor]:
    """Mix a batch by the `mixup` or `cutmix` of `recipe`, or one of both, each with probability 1/2.

    One share and one pairing, drawn from torch's global CPU generator, hold for all samples; without mixing nothing is
    drawn. Arguments and errors are those of `mixup` and `cutmix`.
    """
    if not recipe.mixing:
        return inputs, targets
    if num_classes is None:
        raise ValueError("num_classes must be given where samples are mixed, got None")
    method = recipe.mixing[int(torch.randint(len(recipe.mixing), ()))]
    if isinstance(method, CutMix) and torch.rand(()) >= method.probability:
        return inputs, targets
    share = torch.distributions.Beta(*torch.tensor([method.alpha] * 2, dtype=torch.float64)).sample().item()
    partners = torch.randperm(len(inputs)).to(inputs.device)
    if isinstance(method, CutMix):
        box = random_box(*inputs.shape[-2:], share=1 - share)
        return cutmix(inputs, targets, box=box, partners=partners, num_classes=num_classes, ignore_index=ignore_index)
    return mixup(inputs, targets, share=share, partners=partners, num_classes=num_classes, ignore_index=ignore_index)


def mixup(
    inputs: Tensor, targets: Tensor, *, share: float, partners: Tensor, num_classes: int, ignore_index: int = -100
) -> tuple[Tensor, Tensor]:
    r"""Blend every sample with its partner, :math:`\lambda x_i + (1-\lambda) x_j`, and the targets alike.

    Args:
        inputs: (B, \*) floating point.
        targets: (B, \*) class indices, or (B, K, \*) distributions, ignored without mass.
        share: lambda, the weight of the sample itself, in [0, 1].
        partners: (B,) int64, index of each sample's partner.
        num_classes, ignore_index: K, and the class index of ignored positions.

    Returns:
        Inputs (B, \*) and targets (B, K, \*), distributions.

    Raises:
        ValueError: inputs that cannot be blended, such as tokens.

    References:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 1.

    Example:
        >>> inputs, targets = torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1])
        >>> mixup(inputs, targets, share=0.75, partners=torch.tensor([1, 0]), num_classes=2)
        (tensor([[1.],
                [3.]]), tensor([[0.7500, 0.2500],
                [0.2500, 0.7500]]))
    """
    if not inputs.is_floating_point():
        raise ValueError(f"mixup blends floating-point inputs, got {inputs.dtype}")
    blended = inputs.lerp(inputs[partners], 1 - share)
    return blended, _blended_targets(targets, share, partners, num_classes, ignore_index)


def cutmix(
    inputs: Tensor, targets: Tensor, *, box: Box, partners: Tensor, num_classes: int, ignore_index: int = -100
) -> tuple[Tensor, Tensor]:
    """Replace a box of every image by that of its partner; targets are mixed by area, pixel labels are replaced too.

    Args:
        inputs: (B, C, H, W).
        targets: of images, (B,) class indices or (B, K) distributions; of pixels, (B, H, W) or (B, K, H, W).
        box: replaced rows and columns.
        partners, num_classes, ignore_index: as for `mixup`.

    Returns:
        Images (B, C, H, W), and targets: (B, K) of images, of pixels in the shape and type of the argument.

    Raises:
        ValueError: inputs that are not images, or pixel labels of another height and width.

    References:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
        equation 1.
    """
    if inputs.ndim != 4:
        raise ValueError(f"cutmix needs images (B, C, H, W), got inputs {tuple(inputs.shape)}")
    pasted = _pasted(inputs, box, partners)
    height, width = inputs.shape[2:]
    if targets.ndim > 2:
        if targets.shape[-2:] != (height, width):
            raise ValueError(f"pixel labels must be as large as images, {height} x {width}, got {tuple(targets.shape)}")
        return pasted, _pasted(targets, box, partners)
    rows, columns = (len(range(*part.indices(size))) for part, size in zip(box, (height, width), strict=True))
    share = 1 - rows * columns / (height * width)
    return pasted, _blended_targets(targets, share, partners, num_classes, ignore_index)


def random_box(height: int, width: int, *, share: float) -> Box:
    """Return a box of `share` of the area and the image's ratio, centred at random, clipped (Yun et al., eq. 2)."""
    box = []
    for size in (height, width):
        length = int(size * math.sqrt(share))
        first = int(torch.randint(size, ())) - length // 2
        box.append(slice(max(first, 0), min(first + length, size)))
    return box[0], box[1]


def _pasted(values: Tensor, box: Box, partners: Tensor) -> Tensor:
    pasted = values.clone()
    pasted[..., *box] = values[..., *box][partners]
    return pasted


def _blended_targets(targets: Tensor, share: float, partners: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Return the mixed distributions; no mass where either component has none."""
    if not targets.is_floating_point():
        kept = targets != ignore_index
        indices = targets.long().where(kept, 0).unsqueeze(1)
        empty = torch.zeros(len(targets), num_classes, *targets.shape[1:], device=targets.device)
        targets = empty.scatter(1, indices, kept.unsqueeze(1).float())
    others = targets[partners]
    both = (targets.sum(dim=1, keepdim=True) != 0) & (others.sum(dim=1, keepdim=True) != 0)
    return targets.lerp(others, 1 - share) * both
