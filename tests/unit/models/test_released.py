import pytest
import torch
from miniatures.released import (
    ReleasedDeepLab,
    ReleasedDenseNet,
    ReleasedLstm,
    ReleasedResNet,
    randomised,
    write_lightning,
)

from unsmooth.models import make_model
from unsmooth.models.mlp import PairedLogits
from unsmooth.models.released import renamed
from unsmooth.models.weights import WeightsError, load_weights, read_weights

DENSENET = {"kind": "densenet", "depth": 16, "growth": 4}
LSTM = {"kind": "lstm", "hidden_size": 8, "head": [6, 4], "read": "last_step", "single_logit": True}


def loaded(released, model, kind, folder):
    """Return our `model` with the weights of a released network, by way of a checkpoint."""
    path = write_lightning(folder / "last.ckpt", released.state_dict())
    load_weights(model, renamed(read_weights(path), kind, model), path)
    path.unlink()
    return model.eval()


@pytest.mark.parametrize("blocks", [1, 3])
def test_released_residual_network_for_small_images_gives_equal_logits(tmp_path, blocks):
    torch.manual_seed(0)
    released = randomised(ReleasedResNet(blocks=blocks, width=4, in_channels=3, num_classes=10))
    model = make_model({"kind": "cifar_resnet", "depth": 6 * blocks + 2, "width": 4}, [3, 16, 16], 10)
    images = torch.randn(4, 3, 16, 16)

    torch.testing.assert_close(loaded(released, model, "cifar_resnet", tmp_path)(images), released(images))


@pytest.mark.parametrize("layers", [1, 2])
def test_released_densenet_gives_equal_logits(tmp_path, layers):
    torch.manual_seed(0)
    released = randomised(ReleasedDenseNet(layers=layers, growth=4, in_channels=3, num_classes=10))
    model = make_model(DENSENET | {"depth": 6 * layers + 4}, [3, 16, 16], 10)
    images = torch.randn(4, 3, 16, 16)

    torch.testing.assert_close(loaded(released, model, "densenet", tmp_path)(images), released(images))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_released_lstm_gives_equal_logits(tmp_path, dropout):
    torch.manual_seed(0)
    embedding = torch.randn(20, 5)
    released = ReleasedLstm(embedding=embedding, hidden_size=8, head=[6, 4]).eval()
    model = make_model(LSTM | {"dropout": dropout}, [7], 2, embedding)
    tokens = torch.randint(20, (6, 7))

    logits = loaded(released, model, "lstm", tmp_path)(tokens)

    torch.testing.assert_close(logits, PairedLogits()(released(tokens)))


@pytest.mark.slow
def test_released_deeplab_gives_equal_logits(tmp_path):
    torch.manual_seed(0)
    released = randomised(ReleasedDeepLab(num_classes=4))
    model = make_model({"kind": "deeplabv3plus", "output_stride": 32}, [3, 64, 96], 4)
    images = torch.randn(1, 3, 64, 96)

    with torch.no_grad():
        torch.testing.assert_close(loaded(released, model, "deeplabv3plus", tmp_path)(images), released(images))


def test_released_vision_transformer_is_timm_s_but_for_the_prefix(tmp_path):
    architecture = {"kind": "timm", "name": "vit_small_patch16_224", "drop_rate": 0.1}
    released = make_model(architecture, [3, 32, 32], 10).eval()
    images = torch.randn(2, 3, 32, 32)

    model = loaded(released, make_model(architecture, [3, 32, 32], 10), "timm", tmp_path)

    assert torch.equal(model(images), released(images))


def test_released_names_of_an_imagenet_network_lead_to_torchvision_s(tmp_path):
    model = make_model({"kind": "torchvision", "name": "resnet50"}, [3, 32, 32], 10)
    theirs = {
        name.replace(".downsample.", ".shortcut.").replace("fc.", "linear."): tensor
        for name, tensor in model.state_dict().items()
    }

    names = renamed(read_weights(write_lightning(tmp_path / "last.ckpt", theirs)), "torchvision", model)

    assert [*names] == [*model.state_dict()]


@pytest.mark.parametrize(
    "architecture", [{"kind": "cifar_resnet"}, {"kind": "torchvision", "name": "resnet18"}, DENSENET, LSTM]
)
def test_our_own_names_are_kept(architecture):
    model = make_model(architecture, [3, 32, 32], 2, torch.zeros(20, 5))
    weights = model.state_dict()

    assert [*renamed(weights, architecture["kind"], model)] == [*weights]


@pytest.mark.parametrize("prefix", ["model.", "module.", "_orig_mod.", "module._orig_mod.", "model._orig_mod."])
def test_prefix_of_what_wrapped_the_model_is_dropped(prefix):
    model = make_model({"kind": "mlp"}, [5], 3)
    wrapped = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}

    assert [*renamed(wrapped, "mlp", model)] == [*model.state_dict()]


def test_foreign_name_in_a_released_checkpoint_is_refused(tmp_path):
    weights = ReleasedDenseNet(layers=2, growth=4, in_channels=3, num_classes=10).state_dict()
    weights["features.norm_last.weight"] = weights.pop("features.norm_final.weight")
    model = make_model(DENSENET, [3, 16, 16], 10)
    path = write_lightning(tmp_path / "last.ckpt", weights)

    with pytest.raises(WeightsError) as caught:
        load_weights(model, renamed(read_weights(path), "densenet", model), "last.ckpt")

    assert str(caught.value).splitlines() == [
        "last.ckpt: the weights are not those of this DenseNet:",
        "  1 missing: features.15.weight",
        "  1 unexpected: features.norm_last.weight",
    ]


def test_checkpoint_of_another_depth_is_refused():
    released = ReleasedResNet(blocks=3, width=4, in_channels=3, num_classes=10)
    model = make_model({"kind": "cifar_resnet", "depth": 8, "width": 4}, [3, 16, 16], 10)

    with pytest.raises(WeightsError, match=r"72 unexpected: layer1\.1\.bn1\.bias"):
        load_weights(model, renamed(released.state_dict(), "cifar_resnet", model), "last.ckpt")
