"""CUB-200-2011 (Wah et al., 2011): photographs of 200 species of birds, 5,994 for training and 5,794 for testing."""

from pathlib import Path

from unsmooth.data.arrays import DatasetError
from unsmooth.data.image_files import ImageManifest, write_image_files
from unsmooth.data.imagenet import MEAN, STD
from unsmooth.data.splits import part


def index(
    folder: Path, *, dataset: str, sources: dict[str, Path], num_val: int, split_seed: int, image_size: int, resize: int
) -> ImageManifest:
    """List the image files by split.

    The dataset names no validation images: "val" is a seeded choice of its test images, and "test" the others.
    """
    root = sources["cub_200_2011"]
    lists = root / "CUB_200_2011"
    classes = _read_list(lists / "classes.txt")
    paths, labels, roles = (
        _read_list(lists / f"{name}.txt") for name in ("images", "image_class_labels", "train_test_split")
    )
    if not paths.keys() == labels.keys() == roles.keys():
        raise DatasetError(
            f"{lists}: images.txt, image_class_labels.txt and train_test_split.txt name different images"
        )
    targets = {label: target for target, label in enumerate(classes)}
    by_role: dict[str, list[tuple[str, int]]] = {"1": [], "0": []}  # training images, test images
    for key, path in paths.items():
        if labels[key] not in targets or roles[key] not in by_role:
            raise DatasetError(
                f"{lists}: image {key} must have a class of classes.txt and 1 or 0 for training or testing, got "
                f"{labels[key]!r} and {roles[key]!r}"
            )
        if not (lists / "images" / path).is_file():
            raise DatasetError(f"{lists / 'images' / path}, which images.txt names, does not exist")
        by_role[roles[key]].append((f"CUB_200_2011/images/{path}", targets[labels[key]]))
    train, test = by_role.values()
    fitting, measuring = part(test, num_val, split_seed)
    return write_image_files(
        folder,
        {"train": train, "val": fitting, "test": measuring},
        dataset=dataset,
        classes=list(classes.values()),
        mean=MEAN,
        std=STD,
        root=root,
        image_size=image_size,
        resize=resize,
        resize_dtype="uint8",
        keep_aspect=False,
    )


def _read_list(path: Path) -> dict[str, str]:
    """Read a list file of two columns, number and value."""
    try:
        return dict(line.split() for line in path.read_text().splitlines())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise DatasetError(f"{path} must have a number and a word a line") from None
