import shutil

import numpy as np
import pytest
import torch
from miniatures.cityscapes import write_cityscapes
from PIL import Image

from unsmooth.config.specs.recipes import Recipe
from unsmooth.data import cityscapes
from unsmooth.data.arrays import IGNORED, DatasetError, read_manifest
from unsmooth.data.loading import evaluation_batches, training_loader

OPTIONS = {"num_val": 4, "num_train_logits": 3, "split_seed": 0}
RECIPE = {"epochs": 1, "batch_size": 4, "optimizer": {"kind": "sgd", "lr": 0.1}}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cityscapes")
    cityscapes.unpack(write_cityscapes(folder / "archives"), folder / "root")
    return folder / "root"


@pytest.fixture
def indexed(unpacked, tmp_path):
    cityscapes.index(tmp_path, dataset="cityscapes", sources={"cityscapes": unpacked}, **OPTIONS)
    return tmp_path


def recipe(size=48, jitter=0.0, flip=False, rescale=(0.5, 2.0)):
    crop = {"size": size, "jitter": jitter, "rescale": rescale}
    return Recipe.model_validate(RECIPE | {"augmentation": {"scene_crop": crop, "flip": flip}})


def epoch(folder, recipe, seed=0, **settings):
    loader = training_loader(folder, recipe, device="cpu", **settings)
    return list(loader.epoch(torch.Generator().manual_seed(seed), start=0, resume=None))


def test_only_images_and_label_ids_of_train_and_val_are_unpacked(unpacked):
    files = sorted(path.relative_to(unpacked) for path in unpacked.rglob("*.*"))

    assert len(files) == 2 * (8 + 10)
    assert {path.parts[:2] for path in files} == {
        (top, split) for top in ("leftImg8bit", "gtFine") for split in ("train", "val")
    }
    assert all(path.name.endswith(("_leftImg8bit.png", "_gtFine_labelIds.png")) for path in files)


def test_label_ids_become_the_nineteen_classes_of_the_published_table():
    assert [cityscapes.LABELS[label] for label in (7, 8, 11, 23, 26, 33)] == [0, 1, 2, 10, 13, 18]
    assert sorted(set(cityscapes.LABELS) - {IGNORED}) == list(range(19))
    assert [cityscapes.LABELS[label] for label in (0, 1, 6, 9, 10, 14, 18, 29, 30)] == [IGNORED] * 9


def test_splits_are_seeded_disjoint_and_sorted(indexed):
    manifest = read_manifest(indexed)
    rows = (indexed / "images.csv").read_text().splitlines()[1:]
    named = {split: [row for row in rows if row.startswith(f"{split},")] for split in manifest.sizes}

    assert manifest.sizes == {"train": 8, "val": 4, "test": 6, "train_logits": 3}
    assert manifest.dense and manifest.input_shape == [3, 64, 128] and len(manifest.classes) == 19
    assert all(found == sorted(found) for found in named.values())
    assert not {row.split(",", 1)[1] for row in named["val"]} & {row.split(",", 1)[1] for row in named["test"]}


def test_whole_scenes_are_read_as_they_are(indexed, unpacked):
    batches = list(evaluation_batches(indexed, "test", device="cpu", batch_size=4))
    path, labels = (indexed / "images.csv").read_text().split("\ntest,")[1].splitlines()[0].split(",")
    ids = np.asarray(Image.open(unpacked / labels))
    pixels = torch.from_numpy(np.asarray(Image.open(unpacked / path)).copy()).permute(2, 0, 1) / 255

    assert [len(targets) for _, targets in batches] == [4, 2]
    images, targets = batches[0]
    assert images.shape == (4, 3, 64, 128) and targets.shape == (4, 64, 128) and targets.dtype == torch.int64
    assert (targets[0].numpy() == np.array(cityscapes.LABELS)[ids]).all()
    torch.testing.assert_close(read_manifest(indexed).visible(images[0]), pixels, rtol=0, atol=1e-5)


def test_labels_follow_their_pixels_through_every_change(indexed):
    batches = epoch(indexed, recipe(flip=True))
    seen = {}
    for [(images, targets)] in batches:
        pixels = read_manifest(indexed).visible(images).permute(0, 2, 3, 1)
        for label in set(targets.unique().tolist()) - {IGNORED}:
            seen.setdefault(label, []).append(pixels[targets == label])
    spread = [torch.cat(found).std(dim=0).mean() for found in seen.values()]

    # Each class has one colour: its noise and blurred borders are all that varies.
    assert len(spread) == 6 and max(spread) < 0.16 and sum(spread) / 6 < 0.12


@pytest.mark.parametrize("settings", [{"workers": 0}, {"workers": 2}])
def test_augmentation_is_a_function_of_epoch_and_index(indexed, settings):
    expected = epoch(indexed, recipe(jitter=0.5, flip=True))
    again = epoch(indexed, recipe(jitter=0.5, flip=True), **settings)
    other = epoch(indexed, recipe(jitter=0.5, flip=True), seed=1)

    for [(images, targets)], [(same, labels)] in zip(expected, again, strict=True):
        assert torch.equal(images, same) and torch.equal(targets, labels)
    assert not torch.equal(expected[0][0][0], other[0][0][0])


def test_small_scenes_lie_in_black_without_labels(indexed):
    [(images, targets)] = epoch(indexed, recipe(size=160, rescale=(0.5, 0.500001)))[0]
    black = read_manifest(indexed).visible(images).abs().amax(dim=1) < 1e-5

    assert targets.shape == (4, 160, 160)
    assert (black.sum(dim=(1, 2)) >= 160 * 160 - 32 * 64).all()
    assert (targets[black] == IGNORED).double().mean() > 0.999


def test_a_scene_without_labels_and_a_damaged_one_are_named(unpacked, tmp_path):
    root = shutil.copytree(unpacked, tmp_path / "copy")
    cityscapes.index(tmp_path / "data", dataset="cityscapes", sources={"cityscapes": root}, **OPTIONS)
    labels = sorted((root / "gtFine" / "train").rglob("*.png"))[0]
    labels.write_bytes(labels.read_bytes()[:60])

    with pytest.raises(DatasetError, match=f"{labels.name} cannot be decoded"):
        list(epoch(tmp_path / "data", recipe()))
    labels.unlink()
    with pytest.raises(DatasetError, match=f"{labels.name}, the labels of .* does not exist"):
        cityscapes.index(tmp_path / "again", dataset="cityscapes", sources={"cityscapes": root}, **OPTIONS)
