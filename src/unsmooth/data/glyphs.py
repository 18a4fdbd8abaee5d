"""Glyphs: the 62 letters and digits in the fonts that matplotlib ships, as small noisy grey images.

Case pairs (c/C, s/S), look-alikes (O/0, I/l/1) and noise leave a Bayes error well above zero, and a few thousand
training images leave room to overfit: the regime of the paper's image tasks, in minutes on a CPU.
"""

import math
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unsmooth.data.arrays import Manifest, Split, write_dataset

CLASSES = list(string.ascii_uppercase + string.ascii_lowercase + string.digits)
# Every text font of matplotlib's font folder; the rest are symbol fonts without these characters.
FONTS = [
    *[f"DejaVuSans{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")],
    *[f"DejaVuSansMono{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")],
    *[f"DejaVuSerif{style}" for style in ("", "-Bold", "-BoldItalic", "-Italic")],
    *[f"STIXGeneral{style}" for style in ("", "Bol", "BolIta", "Italic")],
    *["cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"],
]
MASTER_SIZE = 64  # px; glyphs are drawn once at this size and resampled, so thin strokes stay smooth
FONT_SIZE = 46  # px; the widest characters (W, m) still fit the master image


def build(
    folder: Path,
    *,
    dataset: str,
    num_train: int,
    num_val: int,
    num_test: int,
    image_size: int,
    noise: float,
    distortion: float,
    seed: int,
) -> Manifest:
    """Draw and write glyphs, a function of the options alone.

    Each image picks a class and a font uniformly, then an affine map (with `distortion` 1 up to 20 degrees of rotation,
    20 % of scale and shear and 10 % of shift), a stroke contrast and Gaussian pixel noise.
    """
    masters = draw_masters(CLASSES)
    sizes = {"train": num_train, "val": num_val, "test": num_test}
    return write_drawn(
        folder,
        sizes,
        lambda count, generator: _sample(masters, count, image_size, noise, distortion, generator),
        dataset=dataset,
        classes=CLASSES,
        seed=seed,
    )


def write_drawn(
    folder: Path,
    sizes: Mapping[str, int],
    draw: Callable[[int, torch.Generator], Split],
    *,
    dataset: str,
    classes: list[str],
    seed: int,
) -> Manifest:
    """Draw each split by its own generator and write grey images, normalised by mean and deviation of the first split.

    `draw` returns so many samples, uint8 images (N, 1, H, W), from the generator alone, which `seed` and the index of
    the split seed. `sizes` are samples by split; the other arguments are those of `write_dataset`.
    """
    splits = {
        name: draw(count, torch.Generator().manual_seed(seed * 1000 + place))
        for place, (name, count) in enumerate(sizes.items())
    }
    pixels = next(iter(splits.values())).inputs.double() / 255
    mean, std = [round(float(pixels.mean()), 4)], [round(float(pixels.std()), 4)]
    return write_dataset(folder, splits, dataset=dataset, classes=classes, mean=mean, std=std)


def draw_masters(characters: Sequence[str]) -> Tensor:
    """Return white-on-black characters, (fonts, characters, MASTER_SIZE, MASTER_SIZE) float64 in [0, 1]."""
    font_folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    masters = np.zeros((len(FONTS), len(characters), MASTER_SIZE, MASTER_SIZE), dtype=np.uint8)
    for row, font_name in enumerate(FONTS):
        font = ImageFont.truetype(str(font_folder / f"{font_name}.ttf"), FONT_SIZE)
        for column, character in enumerate(characters):
            image = Image.new("L", (MASTER_SIZE, MASTER_SIZE))
            # Anchored at the baseline, so that size and height still tell c from C.
            ImageDraw.Draw(image).text((MASTER_SIZE / 2, 0.75 * MASTER_SIZE), character, 255, font, anchor="ms")
            masters[row, column] = np.asarray(image)
    return torch.from_numpy(masters).double() / 255


def _sample(
    masters: Tensor, count: int, image_size: int, noise: float, distortion: float, generator: torch.Generator
) -> Split:
    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    fonts = torch.randint(len(FONTS), (count,), generator=generator)
    targets = torch.randint(len(CLASSES), (count,), generator=generator)
    angle = math.radians(20) * distortion * uniform(-1, 1)
    shear = 0.2 * distortion * uniform(-1, 1)
    scale = 1 + 0.2 * distortion * uniform(-1, 1)
    shift = 0.2 * distortion * torch.stack([uniform(-1, 1), uniform(-1, 1)], dim=1)  # in half image widths
    contrast = uniform(0.5, 1)
    rotation = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1).view(-1, 2, 2)
    shearing = torch.eye(2, dtype=torch.float64).repeat(count, 1, 1)
    shearing[:, 0, 1] = shear
    linear = rotation @ shearing / scale[:, None, None]
    affine = torch.cat([linear, shift[:, :, None]], dim=2)  # (N, 2, 3), output to input coordinates

    images = torch.empty(count, 1, image_size, image_size, dtype=torch.uint8)
    for chunk in torch.arange(count).split(1024):  # bounds memory; each image depends on its own draws only
        grid = torch.nn.functional.affine_grid(affine[chunk], [len(chunk), 1, image_size, image_size], False)
        master = masters[fonts[chunk], targets[chunk]].unsqueeze(1)
        # The master is larger than the image: blur by area first, so that resampling does not alias.
        blurred = torch.nn.functional.interpolate(master, scale_factor=0.5, mode="area")
        clean = torch.nn.functional.grid_sample(blurred, grid, "bilinear", "zeros", False)
        grain = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        grey = clean * contrast[chunk, None, None, None] + noise * grain
        images[chunk] = (grey.clamp(0, 1) * 255).round().to(torch.uint8)
    return Split(images, targets)
