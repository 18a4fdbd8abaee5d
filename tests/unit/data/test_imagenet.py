import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from miniatures.imagenet import DEVKIT, TRAIN, VAL, checksums, wnid_of, write_devkit, write_imagenet
from PIL import Image

from unsmooth.data.arrays import DatasetError
from unsmooth.data.download import SourceError, fetch_source, follow, source_root
from unsmooth.data.extract import ExtractionError
from unsmooth.data.image_files import read_image_files
from unsmooth.data.imagenet import index, unpack

SETTINGS = {
    "num_val": 5,
    "num_train_logits": 7,
    "split_seed": 0,
    "image_size": 16,
    "resize": 20,
    "resize_dtype": "uint8",
}
FINGERPRINTS = json.loads(
    (Path(__file__).parents[1] / "reference_values" / "data" / "split_fingerprints.json").read_text()
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return write_imagenet(tmp_path_factory.mktemp("archives"), num_classes=3, train_images=4, val_images=12)


@pytest.fixture(scope="module")
def root(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked") / "imagenet"
    unpack(archives, folder)
    return folder


def build(folder, root, **changes):
    return index(folder, dataset="imagenet", sources={"imagenet": root}, **SETTINGS | changes)


def test_images_lie_in_the_folder_of_their_class(root, archives):
    wnids = sorted(wnid_of(synset) for synset in (1, 2, 3))
    with tarfile.open(archives[DEVKIT]) as devkit:
        lines = devkit.extractfile("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt").read().split()

    assert sorted(os.listdir(root)) == ["train", "val"]
    assert sorted(os.listdir(root / "train")) == sorted(os.listdir(root / "val")) == wnids
    for wnid in wnids:
        assert sorted(os.listdir(root / "train" / wnid)) == [f"{wnid}_{number}.JPEG" for number in range(1, 5)]
    for number, line in enumerate(lines, start=1):
        assert (root / "val" / wnid_of(int(line)) / f"ILSVRC2012_val_{number:08d}.JPEG").exists()


def test_classes_are_numbered_by_name_and_not_as_in_the_devkit(root, tmp_path):
    manifest = build(tmp_path, root)
    table = pd.read_csv(tmp_path / "images.csv")

    assert manifest.classes == sorted(manifest.classes) != [wnid_of(synset) for synset in (1, 2, 3)]
    assert [path.split("/")[1] for path in table["path"]] == [manifest.classes[target] for target in table["target"]]


def test_splits_are_disjoint_and_cover_all_images(root, tmp_path):
    manifest = build(tmp_path, root)
    table = pd.read_csv(tmp_path / "images.csv")
    paths = {split: set(rows) for split, rows in table.groupby("split")["path"]}
    files = {str(path.relative_to(root)) for path in root.rglob("*.JPEG")}

    assert manifest.sizes == {"train": 12, "val": 5, "test": 7, "train_logits": 7}
    assert manifest.sizes == {split: len(found) for split, found in paths.items()}
    assert paths["train"] | paths["val"] | paths["test"] == files and len(files) == 24
    assert paths["train_logits"] < paths["train"]


@pytest.mark.slow
def test_validation_images_are_divided_as_released(tmp_path):
    expected = FINGERPRINTS["imagenet_seed0_randperm50000"]
    order = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))
    root = tmp_path / "root"
    for number in range(50_000):  # two classes whose names and images are not in the order of their making
        folder = root / "val" / f"n{1 - number % 2}"
        if number < 2:
            folder.mkdir(parents=True)
            (root / "train" / folder.name).mkdir(parents=True)
            for name in ("a", "b", "c", "d"):
                (root / "train" / folder.name / f"{name}.JPEG").touch()
        os.close(os.open(folder / f"{50_000 - number:08d}.JPEG", os.O_CREAT))
    build(tmp_path / "index", root, num_val=10_000)
    table = pd.read_csv(tmp_path / "index" / "images.csv")
    # Sorted as torchvision's ImageFolder would list them.
    position = {path: place for place, path in enumerate(sorted(table["path"][table["split"].isin(["val", "test"])]))}

    assert hashlib.sha256(order.numpy().tobytes()).hexdigest() == expected["perm_sha256_le_i64"]
    val = {position[path] for path in table["path"][table["split"] == "val"]}
    test = {position[path] for path in table["path"][table["split"] == "test"]}
    assert val == set(order[:10_000].tolist()) and sum(val) == expected["val_first10000_sum"]
    assert test == set(order[10_000:].tolist())


def test_table_does_not_depend_on_the_file_system(root, tmp_path):
    copy = tmp_path / "copy"
    for path in sorted(root.rglob("*.JPEG"), reverse=True):
        (copy / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy / path.relative_to(root))
    (copy / "train" / wnid_of(1) / "._n1.JPEG").touch()
    (copy / "train" / wnid_of(1) / "notes.txt").touch()
    (copy / "val" / ".DS_Store").touch()

    assert build(tmp_path / "a", root).sha256 == build(tmp_path / "b", copy).sha256


def test_seed_changes_the_division(root, tmp_path):
    digests = {build(tmp_path / str(seed), root, split_seed=seed).sha256 for seed in range(3)}

    assert len(digests) == 3


def test_manifest_says_how_images_are_read_and_where_they_are(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sources").symlink_to(root.parent)
    build(Path("resources/a"), Path("sources/imagenet"))
    manifest = json.loads(Path("resources/a/manifest.json").read_text())

    assert manifest["root"] == "../../sources/imagenet"
    assert manifest["input_shape"] == [3, 16, 16] and manifest["mean"] == [0.485, 0.456, 0.406]
    assert (manifest["image_size"], manifest["resize"], manifest["resize_dtype"]) == (16, 20, "uint8")
    assert read_image_files(Path("resources/a")).root.samefile(root)


def test_where_the_images_lie_changes_neither_table_nor_manifest(root, archives, tmp_path):
    source = tmp_path / "sources" / "imagenet"
    fetch_source("imagenet", source, local=root)
    build(tmp_path / "index", source_root(source))
    manifest = (tmp_path / "index" / "manifest.json").read_bytes()
    moved = shutil.copytree(root, tmp_path / "moved")

    follow("imagenet", source, moved)
    build(tmp_path / "index", source_root(source))

    assert (tmp_path / "index" / "manifest.json").read_bytes() == manifest
    assert read_image_files(tmp_path / "index").root.samefile(moved)


def test_images_without_folders_of_classes_are_told_where_to_lie(root, tmp_path):
    flat = shutil.copytree(root, tmp_path / "flat")
    shutil.rmtree(flat / "val")
    (flat / "val").mkdir()
    shutil.copy(next(root.rglob("*.JPEG")), flat / "val" / "ILSVRC2012_val_00000001.JPEG")
    (flat / "val" / ".cache").mkdir()
    with pytest.raises(DatasetError, match="images must be in val/<wnid>/"):
        build(tmp_path / "index", flat)


def test_crop_larger_than_the_image_is_refused(root, tmp_path):
    with pytest.raises(DatasetError, match="resize must be at least image_size, 32, .* got 20"):
        build(tmp_path, root, image_size=32)


@pytest.mark.parametrize("option", ["num_val", "num_train_logits"])
def test_more_images_than_there_are_cannot_be_held_out(root, tmp_path, option):
    with pytest.raises(DatasetError, match="cannot hold out 12 of 12 samples"):
        build(tmp_path, root, **{option: 12})


def test_folders_that_disagree_are_refused(root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "val" / wnid_of(2))
    with pytest.raises(DatasetError, match=f"train and val differ in the classes {wnid_of(2)}"):
        build(tmp_path / "index", tmp_path / "root")
    (tmp_path / "root" / "val" / wnid_of(2)).mkdir()
    with pytest.raises(DatasetError, match=f"val has no images of {wnid_of(2)}"):
        build(tmp_path / "index", tmp_path / "root")
    with pytest.raises(DatasetError, match="nowhere/train cannot be listed: No such file"):
        build(tmp_path / "index", tmp_path / "nowhere")


# Archives that do not belong together --------------------------------------------------------------------------------


@pytest.fixture
def with_devkit(archives, tmp_path):
    """Unpack the miniature with another devkit."""

    def run(synsets, truth):
        write_devkit(tmp_path / DEVKIT, synsets, truth)
        unpack(archives | {DEVKIT: tmp_path / DEVKIT}, tmp_path / "new")

    yield run
    assert not (tmp_path / "new").exists()


def test_devkit_with_other_classes_is_refused(with_devkit):
    with pytest.raises(DatasetError, match=f"{TRAIN} lacks classes of {DEVKIT}: {wnid_of(4)}"):
        with_devkit([1, 2, 3, 4], [1] * 12)
    with pytest.raises(DatasetError, match=f"{TRAIN} has {wnid_of(3)}.tar, but {DEVKIT} has no such class"):
        with_devkit([1, 2], [1] * 12)


def test_devkit_with_fewer_validation_images_is_refused(with_devkit):
    with pytest.raises(DatasetError, match=f"{VAL} has ILSVRC2012_val_00000012.JPEG, but .* knows images 1 to 11"):
        with_devkit([1, 2, 3], [1] * 11)


def test_devkit_with_more_validation_images_is_refused(with_devkit):
    with pytest.raises(DatasetError, match=f"{VAL} has 12 images, but .* knows the classes of 13"):
        with_devkit([1, 2, 3], [1] * 13)


def test_devkit_whose_truth_is_no_class_is_refused(with_devkit):
    with pytest.raises(DatasetError, match="names 4, which is no class"):  # a synset with children
        with_devkit([1, 2, 3], [1] * 11 + [4])


def test_another_archive_instead_of_the_devkit_is_refused(archives, tmp_path):
    with pytest.raises(DatasetError, match="is not the ILSVRC 2012 development kit"):
        unpack(archives | {DEVKIT: archives[VAL]}, tmp_path / "new")


def test_trap_inside_a_class_archive_is_refused(archives, tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as images:
        images.addfile(tarfile.TarInfo("../../../escaped.JPEG"))
    with tarfile.open(tmp_path / TRAIN, "w") as train:
        member = tarfile.TarInfo(f"{wnid_of(1)}.tar")
        member.size = len(inner.getvalue())
        inner.seek(0)
        train.addfile(member, inner)

    with pytest.raises(ExtractionError, match=f"{wnid_of(1)}.tar in {TRAIN}: '../../../escaped.JPEG' is not a path"):
        unpack(archives | {TRAIN: tmp_path / TRAIN}, tmp_path / "new")
    assert os.listdir(tmp_path) == [TRAIN]


# From the user's folder to the table ---------------------------------------------------------------------------------


def test_archives_of_the_user_become_a_source(archives, tmp_path):
    local = next(iter(archives.values())).parent
    fetch_source("imagenet", tmp_path / "imagenet", checksums=checksums(archives), local=local)

    assert sorted(os.listdir(tmp_path / "imagenet")) == ["source.json", "train", "val"]
    assert build(tmp_path / "index", source_root(tmp_path / "imagenet")).sizes["train"] == 12
    with pytest.raises(SourceError, match="its digest is md5:.* expected md5:1d675b47d978889d74fa0da5fadfb00e"):
        fetch_source("imagenet", tmp_path / "again", local=local)


def test_unpacked_folder_of_the_user_gives_the_same_table(root, archives, tmp_path):
    fetch_source("imagenet", tmp_path / "imagenet", local=root)

    assert source_root(tmp_path / "imagenet").samefile(root)
    assert sorted(os.listdir(tmp_path / "imagenet")) == ["provided", "source.json"]
    assert build(tmp_path / "a", source_root(tmp_path / "imagenet")).sha256 == build(tmp_path / "b", root).sha256


def test_images_of_the_miniature_are_of_several_kinds(root):
    modes = {_mode(path) for path in root.rglob("*.JPEG")}

    assert modes == {("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("JPEG", "RGB")}


def _mode(path):
    with Image.open(path) as image:
        return image.format, image.mode
