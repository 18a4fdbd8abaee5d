"""Cityscapes (Cordts et al., CVPR 2016): street scenes with 19 classes, from the archives of cityscapes-dataset.com.

Unpacked, it is leftImg8bit/{train,val}/<city>/*_leftImg8bit.png and gtFine/{train,val}/<city>/*_gtFine_labelIds.png.
"""

from collections.abc import Mapping
from pathlib import Path

from unsmooth.data.arrays import IGNORED, DatasetError
from unsmooth.data.extract import members, new_folder, write_member
from unsmooth.data.imagenet import MEAN, STD
from unsmooth.data.scene_files import SceneManifest, write_scene_files
from unsmooth.data.splits import divide_published

# Label ids of the classes that count, in the order of their train ids, by the dataset's own table; others are ignored.
CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
LABELS = [[*CLASSES].index(label) if label in CLASSES else IGNORED for label in range(max(CLASSES) + 1)]
IMAGE, LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"


def index(
    folder: Path, *, dataset: str, sources: dict[str, Path], num_val: int, num_train_logits: int, split_seed: int
) -> SceneManifest:
    """List the scenes by split, see `divide_published`; their order is that of the names."""
    root = sources["cityscapes"]
    train, published = _list_scenes(root, "train"), _list_scenes(root, "val")
    splits = divide_published(train, published, num_val, num_train_logits, split_seed)
    return write_scene_files(
        folder, splits, dataset=dataset, classes=[*CLASSES.values()], mean=MEAN, std=STD, root=root, labels=LABELS
    )


def unpack(archives: Mapping[str, Path], folder: Path) -> None:
    """Unpack both archives, by their published names, into the new `folder`, which appears whole or not at all.

    Only images and label ids of training and validation are kept.
    """
    with new_folder(folder) as temporary:
        for name, archive in archives.items():
            for path, content in members(archive):
                kept = len(path.parts) == 4 and path.parts[1] in ("train", "val") and path.name.endswith((IMAGE, LABEL))
                if kept:
                    write_member(temporary, path, content, name)


def _list_scenes(root: Path, side: str) -> list[tuple[str, str]]:
    """Return the paths of image and labels of each scene, relative to the root, sorted."""
    images = sorted(path.relative_to(root) for path in (root / "leftImg8bit" / side).glob(f"*/*{IMAGE}"))
    if not images:
        raise DatasetError(f"{root / 'leftImg8bit' / side} has no <city>/*{IMAGE}")
    scenes = []
    for image in images:
        labels = Path("gtFine", side, image.parent.name, image.name.removesuffix(IMAGE) + LABEL)
        if not (root / labels).is_file():
            raise DatasetError(f"{root / labels}, the labels of {image}, does not exist")
        scenes.append((str(image), str(labels)))
    return scenes
