import os
import pickle

import numpy as np
import pytest
import torch
from miniatures.cifar import python2_pickle, write_cifar10, write_cifar100

from unsmooth.data.arrays import DatasetError, load_split
from unsmooth.data.cifar import build_cifar10, build_cifar100
from unsmooth.data.extract import extract
from unsmooth.data.splits import hold_out

OPTIONS = {"num_val": 30, "split_seed": 0}


def unpack(archives, folder):
    for path in archives.values():
        extract(path, folder)
    return folder


@pytest.fixture
def cifar10(tmp_path):
    return unpack(write_cifar10(tmp_path / "archives"), tmp_path / "cifar10")


def build(folder, source, **options):
    settings = OPTIONS | {"constants": "cifar10"} | options
    return build_cifar10(folder, dataset="cifar10", sources={"cifar10": source}, **settings)


def test_cifar10_has_the_images_of_its_batches_in_order(cifar10, tmp_path):
    manifest = build(tmp_path / "built", cifar10)
    train, val, test = (load_split(tmp_path / "built", split) for split in ("train", "val", "test"))

    assert manifest.sizes == {"train": 70, "val": 30, "test": 20} and manifest.input_shape == [3, 32, 32]
    assert manifest.classes[0] == "airplane" and len(manifest.classes) == 10
    assert train.inputs.dtype == torch.uint8 and train.targets.dtype == torch.int64
    assert test.targets.tolist() == [index % 10 for index in range(20)] and test.indices is None
    assert torch.equal(torch.cat([train.indices, val.indices]).sort().values, torch.arange(100))
    batches = [cifar10 / "cifar-10-batches-py" / f"data_batch_{number}" for number in range(1, 6)]
    pixels = np.concatenate([pickle.loads(path.read_bytes(), encoding="latin1")["data"] for path in batches])
    for split in (train, val):
        assert np.array_equal(split.inputs.numpy(), pixels[split.indices].reshape(-1, 3, 32, 32))
        assert torch.equal(split.targets, split.indices % 20 % 10)


def test_constants_of_cifar100_can_normalise_cifar10(cifar10, tmp_path):
    own, other = (build(tmp_path / name, cifar10, constants=name) for name in ("cifar10", "cifar100"))

    assert own.mean == [0.4914, 0.4822, 0.4465] and own.std == [0.2023, 0.1994, 0.2010]
    assert other.mean == [0.5071, 0.4867, 0.4408] and other.std == [0.2675, 0.2565, 0.2761]
    assert own.sha256 == other.sha256


def test_numpy_can_choose_the_held_out_images(cifar10, tmp_path):
    build(tmp_path / "built", cifar10, shuffle="numpy", split_seed=1)
    held_out, _ = hold_out(100, 30, seed=1, shuffle="numpy")

    assert torch.equal(load_split(tmp_path / "built", "val").indices, held_out)


def test_cifar100_has_its_fine_classes(tmp_path):
    source = unpack(write_cifar100(tmp_path / "archives"), tmp_path / "cifar100")
    manifest = build_cifar100(tmp_path / "built", dataset="cifar100", sources={"cifar100": source}, **OPTIONS)

    assert manifest.sizes == {"train": 170, "val": 30, "test": 100} and manifest.classes[7] == "fine_07"
    assert load_split(tmp_path / "built", "test").targets.tolist() == list(range(100))
    assert manifest.mean == [0.5071, 0.4867, 0.4408]


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("protocol", [2, 5])
def test_pickle_that_would_run_code_is_refused(cifar10, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    path = cifar10 / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(pickle.dumps({"data": Hostile(), "labels": []}, protocol))

    with pytest.raises(DatasetError, match="data_batch_3 is not a batch of CIFAR: it asks for posix.mkdir"):
        build(tmp_path / "built", cifar10)
    assert not (tmp_path / "hostile").exists() and not (tmp_path / "built").exists()


PIXELS = np.zeros((2, 3072), dtype=np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": PIXELS}, "must hold data, labels, got data"),
        ([1, 2], "must hold data, labels, got list"),
        (
            {"data": PIXELS[:, :3000], "labels": [0, 1]},
            r"must be uint8 \(2, 3072\), one row a label, got uint8 \(2, 3000\)",
        ),
        ({"data": PIXELS.astype(float), "labels": [0, 1]}, r"got float64 \(2, 3072\)"),
        ({"data": PIXELS, "labels": [0, 1, 2]}, r"must be uint8 \(3, 3072\)"),
        ({"data": [], "labels": []}, "got list"),
        ({"data": PIXELS, "labels": [0, 10]}, "labels must lie in 0 to 9, got 10"),
        ({"data": PIXELS, "labels": [0, "cat"]}, "labels must lie in 0 to 9, got 'cat'"),
    ],
)
def test_wrong_content_is_refused_by_file(cifar10, tmp_path, content, message):
    (cifar10 / "cifar-10-batches-py" / "test_batch").write_bytes(python2_pickle(content))

    with pytest.raises(DatasetError, match=f"test_batch.*{message}"):
        build(tmp_path / "built", cifar10)


def test_missing_and_truncated_files_are_named(cifar10, tmp_path):
    path = cifar10 / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DatasetError, match="data_batch_2 is not a batch of CIFAR"):
        build(tmp_path / "built", cifar10)
    path.unlink()
    with pytest.raises(DatasetError, match="data_batch_2 cannot be read: No such file or directory"):
        build(tmp_path / "built", cifar10)


def test_more_validation_images_than_there_are_is_refused(cifar10, tmp_path):
    with pytest.raises(DatasetError, match="cannot hold out 100 of 100 samples"):
        build(tmp_path / "built", cifar10, num_val=100)
