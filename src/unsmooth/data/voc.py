"""PASCAL VOC 2012 segmentation (Everingham et al., IJCV 2015): 1,464 training and 1,449 validation images.

VOCdevkit/VOC2012 has JPEGImages/<name>.jpg, SegmentationClass/<name>.png and name lists in ImageSets/Segmentation.
"""

from pathlib import Path

from unsmooth.data.arrays import DatasetError
from unsmooth.data.imagenet import MEAN, STD
from unsmooth.data.scene_files import SceneManifest, write_scene_files
from unsmooth.data.splits import divide_published

# In the order of the values of a label image; 255, void, is none of them.
CLASSES = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv/monitor",
]
FOLDER = Path("VOCdevkit", "VOC2012")


def index(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    num_train_logits: int,
    split_seed: int,
    image_size: int,
) -> SceneManifest:
    """List the images by split, see `divide_published`; their order is that of the names."""
    root = sources["voc2012"]
    train, published = _list_scenes(root, "train"), _list_scenes(root, "val")
    if both := sorted({*train} & {*published}):
        raise DatasetError(f"{len(both)} of the images are on both lists, train.txt and val.txt: {both[0][0]}, ...")
    splits = divide_published(train, published, num_val, num_train_logits, split_seed)
    return write_scene_files(
        folder,
        splits,
        dataset=dataset,
        classes=CLASSES,
        mean=MEAN,
        std=STD,
        root=root,
        labels=[*range(len(CLASSES))],
        image_size=image_size,
    )


def _list_scenes(root: Path, side: str) -> list[tuple[str, str]]:
    """Return the paths of image and labels of each name on the list of a side, relative to the root, sorted."""
    path = root / FOLDER / "ImageSets" / "Segmentation" / f"{side}.txt"
    try:
        names = sorted({*path.read_text().split()})
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if not names:
        raise DatasetError(f"{path} names no images")
    scenes = [
        (str(FOLDER / "JPEGImages" / f"{name}.jpg"), str(FOLDER / "SegmentationClass" / f"{name}.png"))
        for name in names
    ]
    for file in (file for scene in scenes for file in scene):
        if not (root / file).is_file():
            raise DatasetError(f"{root / file}, of a name in {path.name}, does not exist")
    return scenes
