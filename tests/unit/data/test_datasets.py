import json

import pytest
import torch

from unsmooth.data import gaussians, glyphs
from unsmooth.data.arrays import ARRAYS, MANIFEST, DatasetError, load_split, read_manifest

GLYPHS = {"num_train": 300, "num_val": 40, "num_test": 50, "image_size": 12, "noise": 0.1, "distortion": 1.0, "seed": 0}
GAUSSIANS = {"num_train": 50, "num_val": 60, "num_test": 20_000, "num_classes": 5, "spread": 0.5, "seed": 0}


@pytest.fixture
def built(tmp_path):
    glyphs.build(tmp_path, dataset="glyphs", **GLYPHS)
    return tmp_path


def test_glyphs_are_images_of_62_classes_with_a_manifest(built):
    manifest, split = read_manifest(built), load_split(built, "train")

    assert split.inputs.shape == (300, 1, 12, 12) and split.inputs.dtype == torch.uint8
    assert split.targets.min() >= 0 and split.targets.max() < 62 and len(split.targets.unique()) > 50
    assert len(manifest.classes) == 62 and manifest.sizes == {"train": 300, "val": 40, "test": 50}
    pixels = split.inputs.double() / 255
    assert manifest.mean == [round(pixels.mean().item(), 4)] and manifest.std == [round(pixels.std().item(), 4)]


def test_glyphs_are_a_function_of_their_options(built, tmp_path):
    again = glyphs.build(tmp_path / "again", dataset="glyphs", **GLYPHS)
    other = glyphs.build(tmp_path / "other", dataset="glyphs", **GLYPHS | {"seed": 1})

    assert again.sha256 == read_manifest(built).sha256 != other.sha256


def test_splits_do_not_share_images(built):
    rows = [{image.numpy().tobytes() for image in load_split(built, name).inputs} for name in ("train", "val", "test")]

    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_clean_undistorted_glyphs_differ_only_by_font_and_contrast(tmp_path):
    options = GLYPHS | {"noise": 0.0, "distortion": 0.0, "num_train": 2000}
    glyphs.build(tmp_path, dataset="glyphs", **options)
    split = load_split(tmp_path, "train")
    shapes = (split.inputs[split.targets == 0].float() > 40).flatten(1).unique(dim=0)

    assert len(shapes) <= 3 * len(glyphs.FONTS)


def test_gaussian_posterior_agrees_with_the_labels_drawn(tmp_path):
    gaussians.build(tmp_path, dataset="gaussians", **GAUSSIANS)
    split = load_split(tmp_path, "test")
    one_hot = torch.nn.functional.one_hot(split.targets, 5).double()
    deviation = (one_hot - split.posterior).mean(dim=0) / (split.posterior * (1 - split.posterior)).mean(dim=0).sqrt()

    torch.testing.assert_close(split.posterior.sum(dim=1), torch.ones(20_000, dtype=torch.float64))
    assert (deviation.abs() * 20_000**0.5 < 4).all()
    confident = split.posterior.max(dim=1).values > 0.9
    right = (split.posterior.argmax(dim=1) == split.targets)[confident].double().mean()
    assert right.item() == pytest.approx(split.posterior.max(dim=1).values[confident].mean().item(), abs=0.02)


def test_neighbouring_gaussian_means_lie_one_apart():
    means = gaussians.class_means(6)

    torch.testing.assert_close((means - means.roll(1, 0)).norm(dim=1), torch.ones(6, dtype=torch.float64))


def test_damaged_arrays_are_refused_with_both_digests(built):
    content = bytearray((built / ARRAYS).read_bytes())
    content[-1] ^= 1
    (built / ARRAYS).write_bytes(content)

    with pytest.raises(DatasetError, match="has SHA-256 .* expected .* delete manifest.json"):
        load_split(built, "train")


def test_missing_files_and_splits_are_named(built, tmp_path):
    with pytest.raises(DatasetError, match="has no split 'dev'; it has train, val, test"):
        load_split(built, "dev")
    with pytest.raises(DatasetError, match="manifest.json does not exist: build the dataset first"):
        read_manifest(tmp_path / "nowhere")
    (built / ARRAYS).unlink()
    with pytest.raises(DatasetError, match="data.safetensors does not exist, but manifest.json does"):
        load_split(built, "train")


@pytest.mark.parametrize("text", ["{", json.dumps({"dataset": "glyphs"})])
def test_malformed_manifest_is_refused(built, text):
    (built / MANIFEST).write_text(text)

    with pytest.raises(DatasetError, match="is not a dataset manifest"):
        read_manifest(built)
