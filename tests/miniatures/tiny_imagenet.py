"""A small Tiny-ImageNet in the archive of the real one."""

import zipfile
from pathlib import Path

import numpy as np
from miniatures.imagenet import image

WNIDS = ["n03444034", "n02124075", "n04067472", "n04070727"]  # not in order, as in the real wnids.txt
SIZE = (64, 64)


def write_tiny_imagenet(folder: Path, *, train_images: int = 5, val_images: int = 12, seed: int = 0) -> dict[str, Path]:
    """Write tiny-imagenet-200.zip with four classes of `train_images` images; the second of each is grey.

    Args:
        folder: where it goes.
        train_images: images a class.
        val_images: labelled images of the folder val, the classes taking turns; as many have no labels.
        seed: of the pixels.
    """
    generator = np.random.default_rng(seed)
    files: dict[str, str | bytes] = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS),
        "words.txt": "".join(f"{wnid}\twhat it is, or is called\n" for wnid in WNIDS),
    }
    for number, wnid in enumerate(WNIDS):
        for index in range(train_images):
            kind = "L" if index == 1 else "RGB"
            files[f"train/{wnid}/images/{wnid}_{index}.JPEG"] = image(number, len(WNIDS), generator, kind, SIZE)
        files[f"train/{wnid}/{wnid}_boxes.txt"] = f"{wnid}_0.JPEG\t0\t10\t63\t58\n"
    annotations = []
    for index in range(val_images):
        number = index % len(WNIDS)
        files[f"val/images/val_{index}.JPEG"] = image(number, len(WNIDS), generator, size=SIZE)
        files[f"test/images/test_{index}.JPEG"] = image(number, len(WNIDS), generator, size=SIZE)
        annotations.append(f"val_{index}.JPEG\t{WNIDS[number]}\t0\t32\t44\t62\n")
    files["val/val_annotations.txt"] = "".join(annotations)
    path = folder / "tiny-imagenet-200.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    return {path.name: path}
