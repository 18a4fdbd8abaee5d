"""A small CUB-200-2011 in the archive of the real one."""

import io
import tarfile
from pathlib import Path

import numpy as np
from miniatures.imagenet import image

SPECIES = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross", "004.Groove_billed_Ani"]


def write_cub(folder: Path, *, images: int = 12, seed: int = 0) -> dict[str, Path]:
    """Write CUB_200_2011.tgz with `images` images of each of four species, of several sizes, every third for training.

    The first image of each species is grey, as some of the real ones are.
    """
    generator = np.random.default_rng(seed)
    files: dict[str, str | bytes] = {"attributes.txt": "1 has_bill_shape::curved_(up_or_down)\n"}
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    for label, species in enumerate(SPECIES, start=1):
        for index in range(images):
            number = len(lists["images"]) + 1
            name = f"{species}/{species[4:]}_{index:04d}_{number}.jpg"
            lists["images"].append(f"{number} {name}\n")
            lists["image_class_labels"].append(f"{number} {label}\n")
            lists["train_test_split"].append(f"{number} {int(index % 3 == 0)}\n")
            kind = "L" if index == 0 else "RGB"
            files[f"CUB_200_2011/images/{name}"] = image(label - 1, len(SPECIES), generator, kind)
    files |= {f"CUB_200_2011/{name}.txt": "".join(lines) for name, lines in lists.items()}
    files["CUB_200_2011/classes.txt"] = "".join(f"{label} {name}\n" for label, name in enumerate(SPECIES, start=1))
    path = folder / "CUB_200_2011.tgz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return {path.name: path}
