import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniatures.imagenet import image
from miniatures.tiny_imagenet import WNIDS, write_tiny_imagenet
from PIL import Image

from unsmooth.data.arrays import DatasetError, load_split
from unsmooth.data.splits import legacy_permutations
from unsmooth.data.tiny_imagenet import build, hold_out_by_class


@pytest.fixture
def source(tmp_path):
    archive = write_tiny_imagenet(tmp_path / "archives", train_images=12)["tiny-imagenet-200.zip"]
    zipfile.ZipFile(archive).extractall(tmp_path / "source")
    return tmp_path / "source"


def build_tiny(folder, source, **options):
    settings = {"val_per_class": 3, "split_seed": 1} | options
    return build(folder, dataset="tiny_imagenet", sources={"tiny_imagenet": source}, **settings)


def test_held_out_images_are_those_of_mbls():
    held_out, rest = hold_out_by_class([500] * 200, 50, seed=1)

    assert len(held_out) == 10_000 and len(rest) == 90_000
    assert torch.equal(torch.cat([held_out, rest]).sort().values, torch.arange(100_000))
    last_of_first_class = legacy_permutations([500], seed=1)[0][-50:]
    assert last_of_first_class[:10].tolist() == [431, 115, 465, 216, 264, 209, 316, 384, 1, 313]
    assert torch.equal(held_out[:50], last_of_first_class.sort().values)
    assert torch.equal(held_out // 500, torch.arange(200).repeat_interleave(50))


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), st.integers(0, 2**31 - 1))
def test_every_image_is_on_one_side_and_every_class_on_both(counts, seed):
    held_out, rest = hold_out_by_class(counts, 1, seed)
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))

    assert torch.equal(torch.cat([held_out, rest]).sort().values, torch.arange(sum(counts)))
    assert targets[held_out].tolist() == list(range(len(counts)))


def test_images_are_those_of_the_files_in_the_order_of_class_and_name(source, tmp_path):
    manifest = build_tiny(tmp_path / "built", source)
    train, val, test = (load_split(tmp_path / "built", split) for split in ("train", "val", "test"))
    root = source / "tiny-imagenet-200"
    paths = [path for wnid in sorted(WNIDS) for path in sorted((root / "train" / wnid / "images").iterdir())]

    assert manifest.classes == sorted(WNIDS) != WNIDS and manifest.input_shape == [3, 64, 64]
    assert manifest.sizes == {"train": 36, "val": 12, "test": 12}
    assert torch.equal(torch.cat([train.indices, val.indices]).sort().values, torch.arange(48))
    for split in (train, val):
        assert torch.equal(split.targets, split.indices // 12)
        for pixels, index in zip(split.inputs, split.indices.tolist(), strict=True):
            with Image.open(paths[index]) as picture:
                assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.array(picture.convert("RGB")))
    assert [manifest.classes[target] for target in test.targets.tolist()] == WNIDS * 3 and test.indices is None
    with Image.open(root / "val" / "images" / "val_10.JPEG") as picture:
        assert np.array_equal(test.inputs[10].permute(1, 2, 0).numpy(), np.array(picture))


def test_grey_images_have_three_equal_channels(source, tmp_path):
    build_tiny(tmp_path / "built", source)
    images = load_split(tmp_path / "built", "train").inputs

    assert 0 < sum(bool((image[0] == image[1]).all() and (image[1] == image[2]).all()) for image in images) <= 4


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("wnids.txt", b"", "wnids.txt must not be empty"),
        ("wnids.txt", b"n01443537\n" + WNIDS[0].encode(), "has no images of n01443537, a class of wnids.txt"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn01443537\t0\n", "'val_0.JPEG.*' must name an image and a class"),
        ("val/val_annotations.txt", b"val_0.JPEG\n", "'val_0.JPEG' must name an image and a class"),
        ("val/images/val_3.JPEG", b"no picture", "val_3.JPEG cannot be decoded"),
        ("val/images/val_3.JPEG", image(0, 4, np.random.default_rng(0), size=(64, 32)), "64 x 64 pixels, got 64 x 32"),
    ],
)
def test_wrong_content_is_refused_by_file(source, tmp_path, file, content, message):
    (source / "tiny-imagenet-200" / file).write_bytes(content)

    with pytest.raises(DatasetError, match=message):
        build_tiny(tmp_path / "built", source)
    assert not (tmp_path / "built").exists()


def test_missing_files_are_named(source, tmp_path):
    (source / "tiny-imagenet-200" / "val" / "images" / "val_5.JPEG").unlink()
    with pytest.raises(DatasetError, match="val_5.JPEG cannot be decoded: .*No such file"):
        build_tiny(tmp_path / "built", source)
    (source / "tiny-imagenet-200" / "wnids.txt").unlink()
    with pytest.raises(DatasetError, match="wnids.txt cannot be read: No such file"):
        build_tiny(tmp_path / "built", source)


def test_more_validation_images_than_a_class_has_are_refused(source, tmp_path):
    with pytest.raises(DatasetError, match="cannot hold out 12 images of every class: one of them has only 12"):
        build_tiny(tmp_path / "built", source, val_per_class=12)
