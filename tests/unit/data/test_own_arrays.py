"""The dataset of a researcher's own arrays: what a file must hold, and what is made of it."""

import numpy as np
import pytest
import torch
import yaml
from pydantic import TypeAdapter
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from unsmooth.config.errors import ConfigError
from unsmooth.config.loading import load_experiment
from unsmooth.config.specs.datasets import Dataset
from unsmooth.data.arrays import DatasetError, load_split, read_manifest
from unsmooth.registry import resolve

SAMPLES = {"train": 30, "val": 10, "test": 20}
RECIPE = {"epochs": 1, "batch_size": 10, "optimizer": {"kind": "sgd", "lr": 0.1}, "schedule": {"kind": "constant"}}


def arrays_of(count, images=False, seed=0):
    generator = np.random.default_rng(seed)
    shape, targets = (count, 3, 8, 8) if images else (count, 5), np.arange(count) % 3
    inputs = generator.integers(0, 256, shape).astype(np.uint8) if images else generator.normal(size=shape)
    return inputs, targets


def with_splits(**options):
    found = {}
    for seed, (split, count) in enumerate(SAMPLES.items()):
        found[f"{split}_inputs"], found[f"{split}_targets"] = arrays_of(count, seed=seed, **options)
    return found


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


def build(tmp_path, path, **options):
    spec = TypeAdapter(Dataset).validate_python({"kind": "arrays", "path": str(path), **options})
    settings = spec.model_dump(exclude={"kind"})
    return spec, resolve(spec.target)(tmp_path / "built", dataset="arrays", **settings), tmp_path / "built"


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("images", [False, True])
def test_arrays_of_each_split_are_kept_and_normalised_by_those_that_train(tmp_path, suffix, images):
    arrays = with_splits(images=images)

    spec, manifest, folder = build(tmp_path, write(tmp_path / f"own{suffix}", arrays))

    assert spec.inputs == ("images" if images else "vectors")
    assert manifest.sizes == SAMPLES and manifest.classes == ["0", "1", "2"] and manifest == read_manifest(folder)
    for split in SAMPLES:
        found = load_split(folder, split)
        assert np.array_equal(found.inputs, arrays[f"{split}_inputs"].astype(np.uint8 if images else np.float32))
        assert np.array_equal(found.targets, arrays[f"{split}_targets"])
    train = arrays["train_inputs"] / (255 if images else 1)
    axes = (0, 2, 3) if images else 0
    assert manifest.mean == pytest.approx(train.mean(axis=axes), rel=1e-5)
    assert manifest.std == pytest.approx(train.std(axis=axes), rel=1e-5)


def test_arrays_of_the_other_byte_order_are_read(tmp_path):
    arrays = with_splits()
    swapped = {name: array.astype(array.dtype.newbyteorder()) for name, array in arrays.items()}

    _, _, folder = build(tmp_path, write(tmp_path / "own.npz", swapped))

    found = load_split(folder, "val")
    assert np.array_equal(found.inputs, arrays["val_inputs"].astype(np.float32))
    assert np.array_equal(found.targets, arrays["val_targets"])


def test_bfloat16_vectors_are_read(tmp_path):
    arrays = {name: torch.from_numpy(array) for name, array in with_splits().items()}
    for name in [name for name in arrays if name.endswith("inputs")]:
        arrays[name] = arrays[name].bfloat16()
    save_tensors(arrays, tmp_path / "own.safetensors")

    _, _, folder = build(tmp_path, tmp_path / "own.safetensors")

    assert torch.equal(load_split(folder, "test").inputs, arrays["test_inputs"].float())


def test_a_file_without_splits_is_divided_by_the_seed(tmp_path):
    inputs, targets = arrays_of(60)
    path = write(tmp_path / "own.npz", {"inputs": inputs, "targets": targets})

    rows = {}
    for seed in (0, 1):
        _, manifest, folder = build(tmp_path, path, num_val=10, num_test=20, split_seed=seed)
        splits = {split: load_split(folder, split) for split in SAMPLES}
        rows[seed] = torch.cat([split.indices for split in splits.values()])
        assert manifest.sizes == SAMPLES
        for split in splits.values():
            assert np.array_equal(split.targets, targets[split.indices])
            assert np.array_equal(split.inputs, inputs[split.indices].astype(np.float32))

    assert all(sorted(each.tolist()) == list(range(60)) for each in rows.values())
    assert not torch.equal(rows[0], rows[1])


def test_floating_point_images_are_kept_at_256_levels(tmp_path):
    arrays = with_splits(images=True)
    scaled = {name: array / 255 if name.endswith("inputs") else array for name, array in arrays.items()}

    _, _, folder = build(tmp_path, write(tmp_path / "own.npz", scaled))

    assert np.array_equal(load_split(folder, "test").inputs, arrays["test_inputs"])


def test_a_constant_feature_is_only_centred(tmp_path):
    arrays = {name: np.ones_like(array) if name.endswith("inputs") else array for name, array in with_splits().items()}

    _, manifest, _ = build(tmp_path, write(tmp_path / "own.npz", arrays))

    assert manifest.mean == [1.0] * 5 and manifest.std == [1.0] * 5


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"val_targets": None}, {}, "lacks val_targets; it must have inputs and targets, or test_inputs"),
        ({"val_targets": np.zeros(9, int)}, {}, r"val_targets must be integers \(10,\), .*, got integers \(9,\)"),
        ({"test_targets": np.zeros(20)}, {}, r"test_targets must be integers \(20,\), .* got floating point \(20,\)"),
        ({"val_inputs": np.zeros((10, 4))}, {}, r"inputs of all splits must have one shape, got \[\(4,\), \(5,\)\]"),
        ({f"{split}_inputs": np.zeros((count, 5), int) for split, count in SAMPLES.items()}, {},
         r"test_inputs must be vectors, floating point \(N, F\), or images, .*, got integers \(20, 5\)"),
        ({f"{split}_inputs": np.zeros((count, 8, 8, 3)) for split, count in SAMPLES.items()}, {},
         r"test_inputs must be images \(N, C, H, W\), got \(20, 8, 8, 3\), as with channels last"),
        ({}, {"num_val": 3}, "has splits of its own, got num_val 3 and num_test None"),
        (None, {}, "has no splits: num_val and num_test are needed, got num_val None and num_test None"),
        (None, {"num_val": 40, "num_test": 20}, "has 60 samples: num_val 40 and num_test 20 leave none to train on"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused_before_any_work(tmp_path, changes, options, message):
    inputs, targets = arrays_of(60)
    arrays = {"inputs": inputs, "targets": targets} if changes is None else with_splits() | changes
    path = write(tmp_path / "own.npz", {name: array for name, array in arrays.items() if array is not None})

    with pytest.raises(ValueError, match=message):
        TypeAdapter(Dataset).validate_python({"kind": "arrays", "path": str(path), **options})


@pytest.mark.parametrize(
    ("split", "part", "value", "message"),
    [
        ("val", "inputs", np.nan, "val_inputs: sample 0 is not finite"),
        ("train", "targets", -1, "targets must be class indices from 0 on, got -1"),
        ("test", "targets", 4, "no training sample is of class 3; targets must be 0 to 4"),
    ],
)
def test_values_that_are_no_inputs_or_classes_are_refused(tmp_path, split, part, value, message):
    arrays = with_splits()
    arrays[f"{split}_{part}"][0] = value

    with pytest.raises(DatasetError, match=message):
        build(tmp_path, write(tmp_path / "own.npz", arrays))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK")

    for path, message in (
        (tmp_path / "absent.npz", "absent.npz does not exist"),
        (broken, "broken.npz cannot be read"),
        (tmp_path / "own.csv", "own.csv must end in .npz or .safetensors"),
    ):
        with pytest.raises(ValueError, match=message):
            TypeAdapter(Dataset).validate_python({"kind": "arrays", "path": str(path)})


def test_an_experiment_on_own_arrays_needs_a_network_for_their_inputs(tmp_path):
    path = write(tmp_path / "own.npz", with_splits())
    content = {
        "description": "Own vectors.",
        "dataset": {"kind": "arrays", "path": str(path)},
        "architectures": {"mlp": {"hidden": [8]}},
        "recipe": RECIPE,
        "losses": {"ce": None, "ls": {"alpha": [0.1]}},
        "seeds": [0],
    }
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content))

    assert "/" not in load_experiment(file).dataset_id
    file.write_text(yaml.safe_dump(content | {"architectures": {"small_resnet": {"kind": "cifar_resnet", "depth": 8}}}))
    with pytest.raises(ConfigError, match="takes images, dataset 'arrays' holds vectors"):
        load_experiment(file)
