import argparse
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from unsmooth.models import make_model
from unsmooth.models.weights import WeightsError, load_pretrained, load_weights, read_weights

SHUFFLENET = {"kind": "torchvision", "name": "shufflenet_v2_x0_5"}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def network():
    """A stem, a normalisation and a last layer of five outputs, none of them as a fresh one."""
    torch.manual_seed(1)
    return Network(5)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, num_classes)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
@pytest.mark.parametrize(
    "wrap", [dict, lambda state: {"state_dict": state, "epoch": 3, "callbacks": {"last": "a.ckpt"}}]
)
def test_state_dict_is_read_bare_and_from_a_lightning_checkpoint(network, tmp_path, suffix, wrap):
    path = tmp_path / f"weights{suffix}"
    torch.save(wrap(network.state_dict()), path)

    weights = read_weights(path)

    assert weights.keys() == network.state_dict().keys()
    assert torch.equal(weights["fc.weight"], network.fc.weight)


def test_safetensors_are_read(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "weights.safetensors")

    assert torch.equal(read_weights(tmp_path / "weights.safetensors")["fc.weight"], network.fc.weight)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_that_would_run_code_is_refused_and_does_not(network, tmp_path, zipped):
    hostile = {"state_dict": network.state_dict(), "extra": Hostile(f"touch {tmp_path / 'ran'}")}
    torch.save(hostile, tmp_path / "hostile.ckpt", _use_new_zipfile_serialization=zipped)

    with pytest.raises(WeightsError, match=r"posix\.system" if zipped else "more than tensors"):
        read_weights(tmp_path / "hostile.ckpt")

    assert not (tmp_path / "ran").exists()


def test_objects_in_a_checkpoint_are_named(network, tmp_path):
    torch.save({"state_dict": network.state_dict(), "options": argparse.Namespace(lr=0.1)}, tmp_path / "a.ckpt")

    with pytest.raises(WeightsError, match=r"argparse\.Namespace.* save its state_dict alone"):
        read_weights(tmp_path / "a.ckpt")


@pytest.mark.parametrize("content", [b"", b"hello world" * 20, None])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_file_is_named(network, tmp_path, suffix, content):
    path = tmp_path / f"damaged{suffix}"
    if content is None:
        torch.save(network.state_dict(), path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=f"damaged{suffix}"):
        read_weights(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"a": 1.0}}, torch.zeros(2)])
def test_file_without_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")

    with pytest.raises(WeightsError, match="expected tensors by name"):
        read_weights(tmp_path / "other.pt")


def test_missing_file_and_unknown_suffix_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.pt: no such file"):
        read_weights(tmp_path / "nothing.pt")
    with pytest.raises(WeightsError, match=r"unknown suffix '\.onnx', expected one of \.safetensors, \.ckpt"):
        read_weights(tmp_path / "model.onnx")


def test_weights_of_another_model_are_refused_by_name(network):
    weights = network.state_dict()
    weights["stem.weight"] = torch.zeros(4, 1, 3, 3)
    del weights["norm.bias"]
    weights |= {f"extra.{number}": torch.zeros(1) for number in range(7)}

    with pytest.raises(WeightsError) as caught:
        load_weights(Network(5), weights, "theirs.pt")

    assert str(caught.value).splitlines() == [
        "theirs.pt: the weights are not those of this Network:",
        "  1 missing: norm.bias",
        "  7 unexpected: extra.0, extra.1, extra.2, extra.3, extra.4 and 2 more",
        "  1 of another shape: stem.weight (4, 1, 3, 3) where the model has (4, 3, 3, 3)",
    ]


def test_counters_that_old_files_lack_are_not_missed(network):
    weights = network.state_dict()
    del weights["norm.num_batches_tracked"]
    loaded = Network(5)
    load_weights(loaded, weights, "old.pth")

    assert torch.equal(loaded.norm.weight, network.norm.weight)


@pytest.mark.parametrize("num_classes", [5, 3])
def test_last_layer_is_pretrained_only_for_as_many_classes(network, tmp_path, num_classes):
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = Network(num_classes)
    fresh = model.fc.weight.clone()
    load_pretrained(model, tmp_path / "weights.pth", backbone="")

    assert torch.equal(model.stem.weight, network.stem.weight)
    assert torch.equal(model.fc.weight, network.fc.weight if num_classes == 5 else fresh)


def test_backbone_without_a_last_layer_takes_the_others(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = nn.ModuleDict({"body": Network(5), "decoder": nn.Linear(4, 2)})
    del model["body"].fc
    load_pretrained(model, tmp_path / "weights.pth", backbone="body")

    assert torch.equal(model["body"].stem.weight, network.stem.weight)


def test_last_layer_of_another_width_is_not_taken_for_another_number_of_classes(network, tmp_path):
    weights = network.state_dict() | {"fc.weight": torch.zeros(5, 9)}
    torch.save(weights, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=r"fc\.weight \(5, 9\) where the model has \(5, 4\)"):
        load_pretrained(Network(5), tmp_path / "weights.pth", backbone="")


def test_torchvision_model_starts_from_its_weights(tmp_path):
    published = make_model(SHUFFLENET, [3, 32, 32], 1000)
    torch.save(published.state_dict(), tmp_path / "weights.pth")

    model = make_model(SHUFFLENET, [3, 32, 32], 7, pretrained=tmp_path / "weights.pth")

    published.fc, model.fc = nn.Identity(), nn.Identity()
    assert torch.equal(model.eval()(IMAGES), published.eval()(IMAGES))
