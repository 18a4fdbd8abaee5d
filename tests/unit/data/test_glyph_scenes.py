import torch

from unsmooth.data import glyph_scenes
from unsmooth.data.arrays import IGNORED, load_split, read_manifest

OPTIONS = {"num_train": 20, "num_val": 6, "num_test": 7, "image_size": 48, "letters": 4, "noise": 0.1, "seed": 0}


def build(folder, **changes):
    return glyph_scenes.build(folder, dataset="glyph_scenes", **OPTIONS | changes)


def test_scenes_have_a_label_for_each_pixel(tmp_path):
    manifest = build(tmp_path)
    split = load_split(tmp_path, "train")
    labels = split.targets[split.targets != IGNORED]

    assert manifest.ignore_index == IGNORED == read_manifest(tmp_path).ignore_index
    assert split.inputs.shape == (20, 1, 48, 48) and split.inputs.dtype == torch.uint8
    assert split.targets.shape == (20, 48, 48) and split.targets.dtype == torch.int64
    assert labels.min() == 0 and labels.max() == len(manifest.classes) - 1
    assert manifest.sizes == {"train": 20, "val": 6, "test": 7}


def test_scenes_are_a_function_of_their_options(tmp_path):
    first = build(tmp_path / "first")

    assert build(tmp_path / "again").sha256 == first.sha256
    assert build(tmp_path / "other", seed=1).sha256 != first.sha256


def test_ignored_pixels_lie_between_a_letter_and_what_is_beside_it(tmp_path):
    build(tmp_path, letters=1)
    targets = load_split(tmp_path, "train").targets
    background, letter = (targets == 0).float(), ((targets > 0) & (targets != IGNORED)).float()
    near = [
        torch.nn.functional.max_pool2d(mask[:, None], 5, stride=1, padding=2)[:, 0] > 0 for mask in (background, letter)
    ]
    band = targets == IGNORED

    assert 0 < band.double().mean() < 0.2
    assert (near[0] & near[1])[band].double().mean() > 0.95


def test_a_clean_letter_is_brighter_than_its_background(tmp_path):
    build(tmp_path, noise=0.0, letters=1)
    split = load_split(tmp_path, "test")
    grey = split.inputs[:, 0].double()

    assert grey[split.targets == 0].max() <= 0.2 * 255 + 1
    assert grey[(split.targets > 0) & (split.targets != IGNORED)].min() > 0.25 * 255
