"""A small ImageNet in the archives of the real one: a tar of tars, a tar of validation images and the devkit."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
SYNSET = [
    "ILSVRC2012_ID",
    "WNID",
    "words",
    "gloss",
    "num_children",
    "children",
    "wordnet_height",
    "num_train_images",
]


def wnid_of(synset: int) -> str:
    """The WordNet identifier of an ILSVRC2012_ID, counted from 1; their orders differ, as in the real ones."""
    return f"n{(synset * 7919) % 100_000_000:08d}" if synset % 2 else f"n{90_000_000 - synset * 7919:08d}"


def write_imagenet(
    folder: Path, *, num_classes: int = 3, train_images: int = 4, val_images: int = 12, seed: int = 0
) -> dict[str, Path]:
    """Write the three archives and return their paths by name.

    Args:
        folder: where they go.
        num_classes: classes; two synsets above them are added, as in the real devkit.
        train_images: images a class.
        val_images: images in all, the classes taking turns in an order drawn with the seed.
        seed: of pixels and order. One training image of each class is grey, one CMYK, and one a PNG by another name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    synsets = range(1, num_classes + 1)
    with tarfile.open(folder / TRAIN, "w") as train:
        for synset in synsets:
            wnid, buffer = wnid_of(synset), io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as images:
                for number in range(1, train_images + 1):
                    kind = {1: "L", 2: "CMYK", 3: "PNG"}.get(number, "RGB")
                    _add(images, f"{wnid}_{number}.JPEG", image(synset, num_classes, generator, kind))
            _add(train, f"{wnid}.tar", buffer.getvalue())
    truth = generator.permutation([1 + index % num_classes for index in range(val_images)]).tolist()
    with tarfile.open(folder / VAL, "w") as val:
        for number, synset in enumerate(truth, start=1):
            _add(val, f"ILSVRC2012_val_{number:08d}.JPEG", image(synset, num_classes, generator))
    write_devkit(folder / DEVKIT, synsets, truth, train_images)
    return {name: folder / name for name in (TRAIN, VAL, DEVKIT)}


def write_devkit(path: Path, synsets, truth, train_images: int = 4) -> None:
    """Write a devkit with these classes and this truth, ILSVRC2012_ID each."""
    parents = [max(synsets) + 1, max(synsets) + 2]
    rows = [(i, wnid_of(i), f"class {i}", f"what {i} is", 0, np.zeros(0), 0, train_images) for i in synsets]
    rows += [(i, wnid_of(i), f"parent {i}", "above", 2, np.array([1, 2]), 1, 0) for i in parents]
    table = np.empty((len(rows), 1), dtype=[(name, object) for name in SYNSET])
    for position, row in enumerate(rows):
        table[position, 0] = row
    meta = io.BytesIO()
    savemat(meta, {"synsets": table})
    data = "ILSVRC2012_devkit_t12/data"
    with tarfile.open(path, "w:gz") as devkit:
        _add(devkit, "ILSVRC2012_devkit_t12/readme.txt", b"Development kit")
        _add(devkit, f"{data}/meta.mat", meta.getvalue())
        lines = "".join(f"{synset}\n" for synset in truth)
        _add(devkit, f"{data}/ILSVRC2012_validation_ground_truth.txt", lines.encode())


def image(
    synset: int,
    num_classes: int,
    generator: np.random.Generator,
    kind: str = "RGB",
    size: tuple[int, int] | None = None,
) -> bytes:
    """A photograph of one class: its grey level with noise, of a size of its own unless `size` is given."""
    height, width = size or generator.integers(30, 60, size=2)
    level = 40 + 180 * synset / num_classes
    coarse = generator.normal(level, 20, size=(8, 8, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    if kind == "PNG":
        picture.save(buffer, "PNG")
    else:
        picture.convert(kind).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def checksums(paths: dict[str, Path]) -> dict[str, str]:
    """Digests of archives by name, as a configuration gives them for repacked ones."""
    return {name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in paths.items()}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
