"""Glyph scenes: letters that overlap on a noisy canvas, with a label for each pixel; the miniature of a street scene.

A pixel on the edge of a letter, which the letter covers in part, belongs to no class: such bands are ignored, as the
borders of objects are in hand-drawn labels.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from unsmooth.data.arrays import IGNORED, Manifest, Split
from unsmooth.data.glyphs import FONTS, MASTER_SIZE, draw_masters, write_drawn

LETTERS = "BDEFOPQR8"  # much alike, so that errors are left
CLASSES = ["background", *LETTERS]
EDGE = (0.2, 0.8)  # a letter covers a pixel of its edge by more than the first share and less than the second
LETTER_SIZE = (24, 44)  # px, side of the square that a letter is drawn in; the letter is about half as wide
TILT = math.radians(25)
CONTRAST = (0.35, 1.0)


def build(
    folder: Path,
    *,
    dataset: str,
    num_train: int,
    num_val: int,
    num_test: int,
    image_size: int,
    letters: int,
    noise: float,
    seed: int,
) -> Manifest:
    """Draw and write scenes, a function of the options alone; targets are (N, H, W), `IGNORED` on edges.

    Each scene takes letters one after the other, with a class, a font, a size, a tilt, a place and a contrast drawn
    uniformly; a later letter covers earlier ones. Gaussian pixel noise is added at the end.
    """
    masters = draw_masters(LETTERS)
    sizes = {"train": num_train, "val": num_val, "test": num_test}
    return write_drawn(
        folder,
        sizes,
        lambda count, generator: _sample(masters, count, image_size, letters, noise, generator),
        dataset=dataset,
        classes=CLASSES,
        seed=seed,
    )


def _sample(
    masters: Tensor, count: int, image_size: int, letters: int, noise: float, generator: torch.Generator
) -> Split:
    grey = torch.zeros(count, 1, image_size, image_size, dtype=torch.float64)
    targets = torch.zeros(count, image_size, image_size, dtype=torch.uint8)
    for _ in range(letters):
        covered, classes = _letters(masters, count, image_size, generator)
        contrast = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * _uniform(count, generator)
        grey = grey + covered * (contrast[:, None, None, None] - grey)
        share = covered[:, 0]
        targets = torch.where(share >= EDGE[1], classes[:, None, None] + 1, targets)
        targets = torch.where((share > EDGE[0]) & (share < EDGE[1]), IGNORED, targets).to(torch.uint8)
    grey = grey + noise * torch.randn(grey.shape, generator=generator, dtype=torch.float64)
    return Split((grey.clamp(0, 1) * 255).round().to(torch.uint8), targets)


def _letters(masters: Tensor, count: int, image_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw one letter for each scene: the share of each pixel that it covers, (N, 1, S, S), and its class, (N,)."""
    fonts = torch.randint(len(FONTS), (count,), generator=generator)
    classes = torch.randint(len(LETTERS), (count,), generator=generator)
    side = LETTER_SIZE[0] + (LETTER_SIZE[1] - LETTER_SIZE[0]) * _uniform(count, generator)
    angle = TILT * (2 * _uniform(count, generator) - 1)
    centre = 1.6 * torch.stack([_uniform(count, generator), _uniform(count, generator)], dim=1) - 0.8
    rotation = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1).view(-1, 2, 2)
    linear = rotation * (image_size / side)[:, None, None]
    affine = torch.cat([linear, -linear @ centre[:, :, None]], dim=2)  # (N, 2, 3), scene to letter coordinates
    grid = nn.functional.affine_grid(affine, [count, 1, image_size, image_size], False)
    # The master is larger than the letter: blur by area first, so that resampling does not alias.
    blurred = nn.functional.interpolate(masters[fonts, classes].unsqueeze(1), size=MASTER_SIZE // 2, mode="area")
    return nn.functional.grid_sample(blurred, grid, "bilinear", "zeros", False), classes


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, dtype=torch.float64)
