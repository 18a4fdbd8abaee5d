import json
import multiprocessing
import random
import re
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniatures.cub import write_cub
from miniatures.imagenet import write_imagenet
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from unsmooth.data import cub
from unsmooth.data.arrays import DatasetError
from unsmooth.data.extract import extract
from unsmooth.data.image_files import _random_box, image_files_loader, read_image_files, write_image_files
from unsmooth.data.imagenet import index, unpack

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
AUGMENTATION = {"resized_crop": True, "flip": True}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A function that indexes a miniature ImageNet of 5 x 9 training images for pixels of one type."""
    archives = write_imagenet(tmp_path_factory.mktemp("archives"), num_classes=5, train_images=9, val_images=20, seed=1)
    root = tmp_path_factory.mktemp("unpacked") / "imagenet"
    unpack(archives, root)

    def run(resize_dtype):
        folder = tmp_path_factory.mktemp("index")
        settings = {"num_val": 8, "num_train_logits": 6, "split_seed": 0, "image_size": 16, "resize": 20}
        index(folder, dataset="imagenet", sources={"imagenet": root}, resize_dtype=resize_dtype, **settings)
        return folder

    return run


@pytest.fixture(scope="module")
def folder(build):
    return build("uint8")


def epoch(loader, *, seed=0, start=0, resume=None):
    return list(loader.epoch(torch.Generator().manual_seed(seed), start=start, resume=resume))


def assert_same(actual, expected):
    """Steps, or batches, of equal shards to the last bit."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_an_epoch_has_every_image_once_with_its_target(folder):
    images = read_image_files(folder)
    loader = image_files_loader(folder, "train", batch_size=8, **AUGMENTATION)
    steps = epoch(loader)
    targets = torch.cat([targets for [(_, targets)] in steps])
    order = torch.randperm(45, generator=torch.Generator().manual_seed(0))

    assert len(steps) == len(loader) == 6 and [len(targets) for [(_, targets)] in steps] == [8] * 5 + [5]
    assert torch.equal(targets, images.targets["train"][order])
    [(inputs, _)] = steps[0]
    assert inputs.shape == (8, 3, 16, 16) and inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_batches_do_not_depend_on_the_number_of_workers(folder):
    alone = image_files_loader(folder, "train", batch_size=8, shards=2, **AUGMENTATION)
    helped = image_files_loader(folder, "train", batch_size=8, shards=2, workers=2, **AUGMENTATION)

    for seed in range(3):  # the workers stay from epoch to epoch
        assert_same(epoch(helped, seed=seed), epoch(alone, seed=seed))
    assert_same(list(helped.in_order()), list(alone.in_order()))


def test_epoch_that_was_broken_off_leaves_nothing_in_the_workers(folder):
    loader = image_files_loader(folder, "train", batch_size=4, workers=2, **AUGMENTATION)
    expected = epoch(loader)
    steps = loader.epoch(torch.Generator().manual_seed(5), start=0, resume=None)
    next(steps)
    steps.close()

    assert_same(epoch(loader), expected)


@pytest.mark.parametrize("shards, world_size", [(1, 1), (2, 2), (4, 2), (5, 3)])
def test_shards_of_all_ranks_together_are_the_batch(folder, shards, world_size):
    def open_rank(rank, world_size):
        return epoch(
            image_files_loader(
                folder, "train", batch_size=10, shards=shards, rank=rank, world_size=world_size, **AUGMENTATION
            )
        )

    whole = epoch(image_files_loader(folder, "train", batch_size=10, **AUGMENTATION))
    ranks = [open_rank(rank, world_size) for rank in range(world_size)]
    for step, [(inputs, targets)] in enumerate(whole):
        by_shard = [ranks[shard % world_size][step][shard // world_size] for shard in range(shards)]

        assert_same([inputs for inputs, _ in by_shard], list(inputs.tensor_split(shards)))
        assert_same([targets for _, targets in by_shard], list(targets.tensor_split(shards)))


def test_epoch_resumed_in_the_middle_is_the_rest_of_the_whole_one(folder):
    loader = image_files_loader(folder, "train", batch_size=8, **AUGMENTATION)
    generator = torch.Generator().manual_seed(0)
    steps = loader.epoch(generator, start=0, resume=None)
    expected = [next(steps) for _ in range(6)]
    state = generator.get_state()
    again = torch.Generator().manual_seed(0)
    rest = list(loader.epoch(again, start=4, resume=state))

    assert_same(rest, expected[4:])
    assert torch.equal(again.get_state(), state)


def test_resuming_decodes_only_what_is_left(build, tmp_path):
    broken = copy_with_broken_image(build("uint8"), tmp_path)
    loader = image_files_loader(broken, "train", batch_size=5)
    order = torch.randperm(45, generator=torch.Generator().manual_seed(0)).tolist()
    step = order.index(BROKEN) // 5

    assert len(epoch(loader, start=step + 1)) == 9 - step - 1
    with pytest.raises(DatasetError):
        epoch(loader)


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_state_is_neither_read_nor_moved(folder, workers):
    def run(seed):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), random.getstate()
        loader = image_files_loader(folder, "train", batch_size=16, workers=workers, **AUGMENTATION)
        steps = epoch(loader)
        list(loader.in_order())
        assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
        return steps

    assert_same(run(1), run(2))


def test_augmentation_changes_from_epoch_to_epoch_and_from_image_to_image(folder):
    loader = image_files_loader(folder, "train", batch_size=45, **AUGMENTATION)
    by_image = []
    for seed in range(2):
        [[(inputs, _)]] = epoch(loader, seed=seed)
        order = torch.randperm(45, generator=torch.Generator().manual_seed(seed))
        by_image.append(inputs[order.argsort()])

    assert (by_image[0] != by_image[1]).flatten(1).any(dim=1).all()


def test_without_augmentation_training_images_are_those_of_the_test_transform(folder):
    loader = image_files_loader(folder, "train", batch_size=45)
    [[(inputs, targets)]] = epoch(loader)
    order = torch.randperm(45, generator=torch.Generator().manual_seed(0))
    [(expected, expected_targets)] = loader.in_order()

    assert_same((inputs, targets), (expected[order], expected_targets[order]))


def test_flip_mirrors_half_of_the_images(folder):
    [[(inputs, _)]] = epoch(image_files_loader(folder, "train", batch_size=45, flip=True))
    [[(plain, _)]] = epoch(image_files_loader(folder, "train", batch_size=45))
    mirrored = (inputs == plain.flip(3)).flatten(1).all(dim=1)
    same = (inputs == plain).flatten(1).all(dim=1)

    assert (mirrored ^ same).all() and 10 < mirrored.sum() < 35


@pytest.mark.parametrize("resize_dtype, tolerance", [("uint8", 1.01 / 255 / 0.22), ("float32", 1e-5)])
def test_test_transform_is_that_of_torchvision(build, resize_dtype, tolerance):
    folder = build(resize_dtype)
    images = read_image_files(folder)
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(getattr(torch, resize_dtype), scale=True),
            v2.Resize(20, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(16),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN.tolist(), STD.tolist()),
        ]
    )
    for split in ("val", "train"):  # training images are of several kinds
        actual = torch.cat([inputs for inputs, _ in image_files_loader(folder, split, batch_size=4).in_order()])
        expected = [transform(opened(images, split, position)) for position in range(len(actual))]

        torch.testing.assert_close(actual, torch.stack(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("resize_dtype, tolerance", [("uint8", 1.01 / 255 / 0.22), ("float32", 1e-5)])
def test_training_crop_is_that_of_torchvision_for_the_same_box(build, resize_dtype, tolerance):
    folder = build(resize_dtype)
    images = read_image_files(folder)
    [[(inputs, _)]] = epoch(image_files_loader(folder, "train", batch_size=45, resized_crop=True))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(45, generator=generator).tolist()
    draw = int(torch.randint(2**62, (), generator=generator))
    for position, image_index in enumerate(order):
        image = functional.to_image(opened(images, "train", image_index))
        image = functional.to_dtype(image, getattr(torch, resize_dtype), scale=True)
        left, top, right, bottom = _random_box(image.shape[2], image.shape[1], random.Random(f"{draw}/{image_index}"))
        crop = functional.resized_crop(
            image, top, left, bottom - top, right - left, [16, 16], v2.InterpolationMode.BICUBIC, antialias=True
        )
        expected = (functional.to_dtype(crop, torch.float32, scale=True) - MEAN[:, None, None]) / STD[:, None, None]

        torch.testing.assert_close(inputs[position], expected, rtol=0, atol=tolerance)


def test_random_crops_are_parts_of_the_resized_image(tmp_path):
    folder = index_square(tmp_path, resize=20)
    steps = epoch(image_files_loader(folder, "train", batch_size=16, random_crop=True))
    wholes = resized_to_square(folder, 20)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0)).tolist()
    corners = []
    for crop, position in zip(steps[0][0][0], order, strict=True):
        windows = wholes[position].unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)  # (5, 5, 3, 16, 16)
        [corner] = (windows - crop).abs().amax(dim=(2, 3, 4)).lt(1e-5).nonzero().tolist()
        corners.append(tuple(corner))

    assert len(set(corners)) > 8
    assert {0, 4} <= {top for top, _ in corners} and {0, 4} <= {left for _, left in corners}


def test_test_transform_can_ignore_the_aspect(tmp_path):
    folder = index_square(tmp_path, resize=20)
    [(actual, _)] = image_files_loader(folder, "train", batch_size=16).in_order()

    torch.testing.assert_close(actual, resized_to_square(folder, 20)[:, :, 2:18, 2:18], rtol=0, atol=1e-5)


def index_square(folder, *, resize):
    """Index 16 images of several shapes whose sides are made equal."""
    extract(write_cub(folder / "archives")["CUB_200_2011.tgz"], folder / "source")
    settings = {"num_val": 10, "split_seed": 0, "image_size": 16, "resize": resize}
    cub.index(folder / "index", dataset="cub200", sources={"cub_200_2011": folder / "source"}, **settings)
    return folder / "index"


def resized_to_square(folder, size):
    """The training images with both sides `size`, normalised, (N, 3, size, size)."""
    images = read_image_files(folder)
    pixels = []
    for position in range(len(images.targets["train"])):
        image = functional.to_image(opened(images, "train", position))
        resized = functional.resize(image, [size, size], v2.InterpolationMode.BICUBIC, antialias=True)
        pixels.append(functional.to_dtype(resized, torch.float32, scale=True))
    return (torch.stack(pixels) - MEAN[:, None, None]) / STD[:, None, None]


def test_float_pixels_overshoot_where_those_of_8_bits_are_clamped(tmp_path):
    (tmp_path / "images").mkdir()
    edge = np.zeros((16, 16, 3), dtype=np.uint8)
    edge[:, 8:] = 255
    Image.fromarray(edge).save(tmp_path / "images" / "edge.png")
    ranges = {}
    for dtype in ("uint8", "float32"):
        write_table(tmp_path / dtype, tmp_path / "images", [("edge.png", 0)], image_size=32, resize_dtype=dtype)
        [(inputs, _)] = image_files_loader(tmp_path / dtype, "train", batch_size=1).in_order()
        pixels = inputs * STD[:, None, None] + MEAN[:, None, None]
        ranges[dtype] = pixels.min().item(), pixels.max().item()

    assert ranges["uint8"] == pytest.approx((0, 1), abs=1e-6)
    assert ranges["float32"][0] < -0.01 and ranges["float32"][1] > 1.01


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**31))
def test_random_box_lies_in_the_image_and_has_an_allowed_shape(width, height, seed):
    left, top, right, bottom = _random_box(width, height, random.Random(seed))
    columns, rows = right - left, bottom - top

    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    if 3 / 4 < width / height < 4 / 3:
        assert columns * rows >= 0.08 * width * height - columns - rows
    assert (columns - 1) / (rows + 1) <= 4 / 3 and (columns + 1) / max(rows - 1, 0.5) >= 3 / 4


def test_areas_of_random_boxes_are_uniform():
    randomness = random.Random(0)
    boxes = [_random_box(1000, 1000, randomness) for _ in range(4000)]
    areas = torch.tensor([(right - left) * (bottom - top) / 1e6 for left, top, right, bottom in boxes])

    # Those near the whole image are drawn again when their ratio does not fit.
    small = areas[areas < 0.7]
    assert small.min() > 0.079 and small.mean().item() == pytest.approx((0.08 + 0.7) / 2, abs=0.01)
    assert areas.max() > 0.95


BROKEN = 7


def copy_with_broken_image(folder, target):
    """A copy of a prepared dataset whose training image number BROKEN is cut short."""
    images = read_image_files(folder)
    rows = []
    for position, (path, label) in enumerate(zip(images.paths["train"], images.targets["train"], strict=True)):
        original = images.root / path.decode()
        copy = target / "images" / path.decode()
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = original.read_bytes()
        copy.write_bytes(content[: len(content) // 2] if position == BROKEN else content)
        rows.append((path.decode(), int(label)))
    write_table(target / "index", target / "images", rows)
    return target / "index"


def write_table(folder, root, rows, image_size=16, resize_dtype="uint8"):
    settings = {"dataset": "d", "classes": ["a"], "mean": MEAN.tolist(), "std": STD.tolist(), "resize": image_size}
    write_image_files(folder, {"train": rows}, root=root, image_size=image_size, resize_dtype=resize_dtype, **settings)


def opened(images, split, position):
    with Image.open(images.root / images.paths[split][position].decode()) as image:
        return image.convert("RGB")


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_image_is_named_in_one_line(folder, tmp_path, workers):
    broken = copy_with_broken_image(folder, tmp_path)
    path = tmp_path / "images" / read_image_files(broken).paths["train"][BROKEN].decode()

    with pytest.raises(DatasetError, match=rf"^{re.escape(str(path))} cannot be decoded: .*\Z"):
        epoch(image_files_loader(broken, "train", batch_size=8, workers=workers))


def test_missing_image_and_something_else_are_named(tmp_path):
    (tmp_path / "text.JPEG").write_text("not an image")
    for name in ("text.JPEG", "gone.JPEG"):
        write_table(tmp_path / "index", tmp_path, [(name, 0)])

        with pytest.raises(DatasetError, match=f"{name} cannot be decoded"):
            list(image_files_loader(tmp_path / "index", "train", batch_size=1).in_order())


def test_workers_survive_a_sigterm_that_is_not_their_parents(folder):
    loader = image_files_loader(folder, "train", batch_size=4, workers=2, **AUGMENTATION)
    expected = epoch(loader)
    for worker in multiprocessing.active_children():  # as a cluster does to every process of a job
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)

    assert_same(epoch(loader), expected)


def test_workers_end_at_the_sigterm_of_their_parent(folder):
    loader = image_files_loader(folder, "train", batch_size=4, workers=1)
    epoch(loader)
    [worker] = multiprocessing.active_children()
    worker.terminate()
    worker.join(timeout=10)

    assert not worker.is_alive()


def test_names_with_spaces_commas_and_accents_are_found(tmp_path):
    name = 'an "odd", näme.png'
    Image.new("RGB", (16, 16)).save(tmp_path / name)
    write_table(tmp_path / "index", tmp_path, [(name, 0)])

    assert len(list(image_files_loader(tmp_path / "index", "train", batch_size=1).in_order())) == 1


def test_damaged_table_and_missing_files_are_named(build, tmp_path):
    folder = build("uint8")
    with pytest.raises(DatasetError, match="has no split 'dev'; it has train, val, test, train_logits"):
        image_files_loader(folder, "dev", batch_size=1)
    with pytest.raises(DatasetError, match="crop_padding needs a dataset in one tensor"):
        image_files_loader(folder, "train", batch_size=1, crop_padding=4)
    with pytest.raises(DatasetError, match="manifest.json does not exist: build the dataset first"):
        read_image_files(tmp_path)
    with (folder / "images.csv").open("a") as file:
        file.write("train,x.JPEG,0\n")
    with pytest.raises(DatasetError, match="images.csv has SHA-256 .* expected .* delete manifest.json"):
        read_image_files(folder)
    (folder / "images.csv").unlink()
    with pytest.raises(DatasetError, match="images.csv does not exist, but manifest.json does"):
        read_image_files(folder)
    (folder / "manifest.json").write_text(json.dumps({"dataset": "glyphs"}))
    with pytest.raises(DatasetError, match="is not a manifest of image files"):
        read_image_files(folder)


def test_images_that_have_moved_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    write_table(tmp_path / "index", tmp_path / "images", [("a.png", 0)])
    (tmp_path / "images").rmdir()

    with pytest.raises(DatasetError, match="images, the folder of the images of d, does not exist"):
        read_image_files(tmp_path / "index")


@pytest.mark.gpu
def test_batches_on_a_device_are_those_of_the_processor(folder, device):
    on_device = epoch(image_files_loader(folder, "train", batch_size=8, workers=2, device=device, **AUGMENTATION))
    expected = epoch(image_files_loader(folder, "train", batch_size=8, **AUGMENTATION))

    torch.testing.assert_close(
        [[(inputs.cpu(), targets.cpu()) for inputs, targets in shards] for shards in on_device], expected
    )
