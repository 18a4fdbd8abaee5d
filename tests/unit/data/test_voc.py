import shutil

import numpy as np
import pytest
import torch
from miniatures.voc import ARCHIVE, VOID, write_voc2012
from PIL import Image

from unsmooth.config.specs.recipes import Recipe
from unsmooth.data import voc
from unsmooth.data.arrays import IGNORED, DatasetError, read_manifest
from unsmooth.data.extract import ExtractionError, extract
from unsmooth.data.loading import evaluation_batches, training_loader

OPTIONS = {"num_val": 4, "num_train_logits": 3, "split_seed": 0, "image_size": 48}
RECIPE = {"epochs": 1, "batch_size": 4, "optimizer": {"kind": "sgd", "lr": 0.1}}
FOLDER = "VOCdevkit/VOC2012"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voc")
    [archive] = write_voc2012(folder / "archives").values()
    extract(archive, folder / "root")
    return folder / "root"


@pytest.fixture
def copied(unpacked, tmp_path):
    return shutil.copytree(unpacked, tmp_path / "copy")


@pytest.fixture
def indexed(unpacked, tmp_path):
    return index(unpacked, tmp_path / "data")


def index(root, folder):
    voc.index(folder, dataset="voc2012", sources={"voc2012": root}, **OPTIONS)
    return folder


def epoch(folder, *, flip=False, **crop):
    crop = {"size": 48, "longest": 64, "rescale": (1.0, 1.0)} | crop
    recipe = Recipe.model_validate(RECIPE | {"augmentation": {"scene_crop": crop, "flip": flip}})
    loader = training_loader(folder, recipe, device="cpu")
    batches = list(loader.epoch(torch.Generator().manual_seed(0), start=0, resume=None))
    images, targets = (torch.cat(tensors) for tensors in zip(*(shard for [shard] in batches), strict=True))
    return read_manifest(folder).visible(images), targets


def rows(folder, split):
    lines = (folder / "images.csv").read_text().splitlines()[1:]
    return [line.split(",")[1:] for line in lines if line.startswith(f"{split},")]


def size_of(path):
    with Image.open(path) as image:
        return image.size


def values_of(path):
    with Image.open(path) as labels:
        return set(np.unique(np.asarray(labels)).tolist())


def test_splits_are_the_lists_of_segmentation_and_the_published_validation_is_divided(indexed, unpacked):
    manifest = read_manifest(indexed)
    lists = unpacked / FOLDER / "ImageSets" / "Segmentation"
    listed = {side: (lists / f"{side}.txt").read_text().split() for side in ("train", "val")}
    named = {split: [image[-15:].removesuffix(".jpg") for image, _ in rows(indexed, split)] for split in manifest.sizes}

    assert manifest.sizes == {"train": 8, "val": 4, "test": 6, "train_logits": 3}
    assert named["train"] == listed["train"] and sorted(named["val"] + named["test"]) == listed["val"]
    assert set(named["train_logits"]) < set(named["train"])
    assert manifest.dense and manifest.input_shape == [3, 48, 48]
    assert len(manifest.classes) == 21 and (manifest.classes[0], manifest.classes[15]) == ("background", "person")


def test_labels_are_the_indices_of_the_palette_and_void_is_ignored(indexed, unpacked):
    found = torch.cat([targets for _, targets in evaluation_batches(indexed, "test", device="cpu", batch_size=4)])
    for targets, (_, labels) in zip(found, rows(indexed, "test"), strict=True):
        values = values_of(unpacked / labels)
        assert values == {0, VOID, max(values - {VOID})}
        assert set(targets.unique().tolist()) == values - {VOID} | {IGNORED}


def test_whole_images_fill_a_square_by_their_longer_side_and_the_rest_is_black_and_void(indexed, unpacked):
    images, targets = map(torch.cat, zip(*evaluation_batches(indexed, "test", device="cpu", batch_size=4), strict=True))
    black = read_manifest(indexed).visible(images).amax(dim=1) < 1e-5
    beside = torch.zeros(48, 48, dtype=torch.bool)
    beside[:6] = beside[-6:] = True  # 60 x 45 pixels become 48 x 36
    sizes = [size_of(unpacked / image) for image, _ in rows(indexed, "test")]

    assert set(sizes) == {(60, 45), (45, 60)} and targets.dtype == torch.int64
    assert torch.equal(black, torch.stack([beside if size == (60, 45) else beside.T for size in sizes]))
    assert (targets[black] == IGNORED).all() and (targets[~black] == 0).any()


def test_longer_side_decides_the_scale_of_training_images(indexed):
    images, targets = epoch(indexed, size=64)
    seen = (images.amax(dim=1) > 1e-5).sum(dim=(1, 2))

    assert images.shape == (8, 3, 64, 64)
    assert (seen == 64 * 48).all()
    assert (targets[images.amax(dim=1) < 1e-5] == IGNORED).all()


def test_labels_follow_their_pixels_through_crops_and_mirrors(indexed):
    images, targets = epoch(indexed, flip=True)
    background = images.permute(0, 2, 3, 1)[targets == 0]

    assert background.std(dim=0).max() < 0.05


def test_colours_are_shifted_in_about_three_images_of_four(indexed):
    shift = {"contrast": 0.3, "brightness": 0.3, "hue": 40, "saturation": 30, "value": 20}
    plain, targets = epoch(indexed)
    shifted, same = epoch(indexed, shift=shift)
    changed = (plain - shifted).abs().amax(dim=(1, 2, 3)) > 0.01

    assert torch.equal(targets, same) and 3 <= changed.sum() < 8
    assert shifted.min() > -1e-5 and shifted.max() < 1 + 1e-5
    assert torch.equal(epoch(indexed, shift=shift)[0], shifted)


@pytest.mark.parametrize(
    ("shift", "kept"),
    [
        ({"hue": 180}, lambda image: image.amax(dim=1)),
        ({"saturation": 200}, lambda image: image.amax(dim=1)),
        ({"value": 100}, lambda image: image.amin(dim=1) / image.amax(dim=1).clamp_min(1e-3)),
    ],
)
def test_a_shift_keeps_the_rest_of_the_colour(indexed, shift, kept):
    plain, _ = epoch(indexed)
    shifted, _ = epoch(indexed, shift=shift)
    bright = torch.minimum(plain, shifted).amax(dim=1) > 0.2

    assert (plain - shifted).abs().max() > 0.05
    assert (kept(plain) - kept(shifted))[bright].abs().max() < 0.04


@pytest.mark.parametrize("file", ["JPEGImages/2007_000001.jpg", "SegmentationClass/2007_000001.png"])
def test_a_missing_file_is_named(copied, tmp_path, file):
    (copied / FOLDER / file).unlink()

    with pytest.raises(DatasetError, match=f"{file}, of a name in val.txt, does not exist"):
        index(copied, tmp_path / "data")


def test_a_missing_empty_or_overlapping_list_is_named(copied, tmp_path):
    lists = copied / FOLDER / "ImageSets" / "Segmentation"
    names = (lists / "val.txt").read_text()

    (lists / "val.txt").write_text(names + "2007_000000\n")
    with pytest.raises(DatasetError, match=r"1 of the images are on both lists, .*2007_000000.jpg"):
        index(copied, tmp_path / "data")
    (lists / "val.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"val.txt names no images"):
        index(copied, tmp_path / "data")
    (lists / "val.txt").unlink()
    with pytest.raises(DatasetError, match=r"val.txt cannot be read"):
        index(copied, tmp_path / "data")


def test_a_damaged_image_and_labels_of_another_size_are_named(copied, tmp_path):
    index(copied, tmp_path / "data")
    image, labels = rows(tmp_path / "data", "train")[0]
    Image.new("P", (10, 10)).save(copied / labels)

    with pytest.raises(DatasetError, match=r"the image has \(45, 60\) pixels, its labels have \(10, 10\)"):
        epoch(tmp_path / "data")
    (copied / image).write_bytes(b"no photograph")
    with pytest.raises(DatasetError, match=r"2007_000000.jpg .* cannot be decoded"):
        epoch(tmp_path / "data")


def test_a_cut_archive_is_refused(tmp_path):
    [archive] = write_voc2012(tmp_path).values()
    archive.write_bytes(archive.read_bytes()[:5000])

    with pytest.raises(ExtractionError, match=f"{ARCHIVE} is damaged"):
        extract(archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()
