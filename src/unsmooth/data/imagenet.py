"""ImageNet-1k (ILSVRC 2012), from the archives of image-net.org or as others have unpacked them.

Unpacked, it is train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, one folder a class, named by its WordNet identifier. Classes
are numbered in the order of those names, as torchvision does.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.io import loadmat

from unsmooth.data.arrays import DatasetError
from unsmooth.data.extract import extract, members, new_folder, tar_members, write_member
from unsmooth.data.image_files import ImageManifest, write_image_files
from unsmooth.data.splits import divide_published

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
VAL_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
SUFFIXES = {".jpeg", ".jpg", ".png"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def index(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    num_train_logits: int,
    split_seed: int,
    image_size: int,
    resize: int,
    resize_dtype: str,
) -> ImageManifest:
    """List the image files by split.

    The validation images, sorted by class and name, are divided by `divide_published`, as in the released experiments.
    """
    root = sources["imagenet"]
    train, val = _list_images(root, "train"), _list_images(root, "val")
    if train.keys() != val.keys():
        raise DatasetError(f"{root}: train and val differ in the classes {_some(train.keys() ^ val.keys())}")
    wnids = sorted(train)
    train_images = [(path, target) for target, wnid in enumerate(wnids) for path in train[wnid]]
    val_images = [(path, target) for target, wnid in enumerate(wnids) for path in val[wnid]]
    splits = divide_published(train_images, val_images, num_val, num_train_logits, split_seed)
    return write_image_files(
        folder,
        splits,
        dataset=dataset,
        classes=wnids,
        mean=MEAN,
        std=STD,
        root=root,
        image_size=image_size,
        resize=resize,
        resize_dtype=resize_dtype,
    )


def unpack(archives: Mapping[str, Path], folder: Path) -> None:
    """Unpack the archives, by their published names, into the new `folder`, which appears whole or not at all.

    It then has train/<wnid>/*.JPEG and val/<wnid>/*.JPEG. The training images come as a tar of one tar a class.
    """
    classes, truth = read_devkit(archives[DEVKIT])
    with new_folder(folder) as temporary:
        missing = set(classes.values())
        for class_archive, stream in members(archives[TRAIN]):
            wnid = class_archive.stem
            if wnid not in missing:
                raise DatasetError(f"{TRAIN} has {class_archive}, but {DEVKIT} has no such class")
            for image, content in tar_members(stream, f"{class_archive} in {TRAIN}"):
                write_member(temporary / "train" / wnid, image, content, str(class_archive))
            missing.remove(wnid)
            if len(missing) % 50 == 0:
                print(f"imagenet: {len(missing)} of {len(classes)} classes of training images left to unpack")
        if missing:
            raise DatasetError(f"{TRAIN} lacks classes of {DEVKIT}: {_some(missing)}")
        count = 0
        for image, content in members(archives[VAL]):
            match = VAL_IMAGE.fullmatch(str(image))
            if match is None or not 1 <= (number := int(match[1])) <= len(truth):
                raise DatasetError(f"{VAL} has {image}, but {DEVKIT} knows images 1 to {len(truth)}")
            write_member(temporary / "val" / classes[truth[number - 1]], image, content, VAL)
            count += 1
        if count != len(truth):
            raise DatasetError(f"{VAL} has {count} images, but {DEVKIT} knows the classes of {len(truth)}")


def read_devkit(archive: Path) -> tuple[dict[int, str], list[int]]:
    """Read the development kit.

    Returns:
        The WordNet identifier by ILSVRC2012_ID, of the classes alone (synsets without children); and the ILSVRC2012_ID
        of each validation image, in the order of their names.
    """
    with TemporaryDirectory() as temporary:
        data = Path(temporary) / "devkit" / "ILSVRC2012_devkit_t12" / "data"
        extract(archive, Path(temporary) / "devkit")
        try:
            synsets = loadmat(data / "meta.mat", squeeze_me=True)["synsets"]
            classes = {
                int(synset["ILSVRC2012_ID"]): str(synset["WNID"])
                for synset in np.atleast_1d(synsets)
                if synset["num_children"] == 0
            }
            truth = [int(line) for line in (data / "ILSVRC2012_validation_ground_truth.txt").read_text().split()]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DatasetError(f"{archive} is not the ILSVRC 2012 development kit: {error}") from None
    if strangers := sorted(set(truth) - classes.keys()):
        raise DatasetError(f"{archive}: the truth about validation images names {strangers[0]}, which is no class")
    return classes, truth


def _list_images(root: Path, side: str) -> dict[str, list[str]]:
    """Return the paths of the images relative to the root, sorted, by class folder."""
    try:
        folders = sorted(path for path in (root / side).iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{root / side} cannot be listed: {error.strerror}") from None
    if not folders:
        raise DatasetError(
            f"{root / side} has no class folders: images must be in {side}/<wnid>/; the archives of ILSVRC 2012 "
            "with the development kit will also do"
        )
    images = {
        path.name: [
            f"{side}/{path.name}/{name}"
            for name in sorted(entry.name for entry in path.iterdir())
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
        for path in folders
    }
    if empty := [wnid for wnid, paths in images.items() if not paths]:
        raise DatasetError(f"{root / side} has no images of {_some(empty)}")
    return images


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
