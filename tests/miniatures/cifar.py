"""Small CIFAR archives in the format of the author's own: tar.gz of pickles as Python 2 wrote them."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as the byte strings of Python 2, protocol 2."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_byte_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        if len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    dispatch[str] = save_byte_string
    dispatch[bytes] = save_byte_string


def python2_pickle(content) -> bytes:
    """Return `content` pickled as Python 2 and numpy 1 would have done."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_cifar10(folder: Path, *, batch_size: int = 20, seed: int = 0) -> dict[str, Path]:
    """Write cifar-10-python.tar.gz with five training batches and a test batch of `batch_size` images each."""
    generator = np.random.default_rng(seed)
    files = {
        "batches.meta": {"num_cases_per_batch": batch_size, "label_names": CIFAR10_CLASSES, "num_vis": 3072},
        "readme.html": None,
    }
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for number, name in enumerate([*names, "test_batch"], start=1):
        label = "testing batch 1 of 1" if name == "test_batch" else f"training batch {number} of 5"
        labels = [index % 10 for index in range(batch_size)]
        files[name] = {"batch_label": label, "labels": labels, **_images(labels, 10, generator)}
    return _write_archive(folder / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)


def write_cifar100(folder: Path, *, num_train: int = 200, num_test: int = 100, seed: int = 0) -> dict[str, Path]:
    """Write cifar-100-python.tar.gz with 100 fine and 20 coarse classes."""
    generator = np.random.default_rng(seed)
    files = {
        "meta": {
            "fine_label_names": [f"fine_{index:02d}" for index in range(100)],
            "coarse_label_names": [f"coarse_{index:02d}" for index in range(20)],
        },
        "file.txt~": None,
    }
    for name, count in {"train": num_train, "test": num_test}.items():
        labels = [index % 100 for index in range(count)]
        coarse = [label // 5 for label in labels]
        batch_label = f"{name}ing batch 1 of 1"
        images = _images(labels, 100, generator)
        files[name] = {"batch_label": batch_label, "fine_labels": labels, "coarse_labels": coarse, **images}
    return _write_archive(folder / "cifar-100-python.tar.gz", "cifar-100-python", files)


def _images(labels, num_classes, generator):
    """Return noisy images whose brightness tells the class, by channel, row and column."""
    brightness = 40 + 160 * np.array(labels)[:, None] / num_classes
    data = (brightness + generator.integers(0, 40, size=(len(labels), 3072))).astype(np.uint8)
    return {"data": data, "filenames": [f"image_s_{index:06d}.png" for index in range(len(labels))]}


def _write_archive(path, top, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = b"not a pickle\n" if content is None else python2_pickle(content)
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return {path.name: path}
