import pytest
import torch
from miniatures.released import ReleasedResNet, write_lightning

from unsmooth.models import make_model
from unsmooth.models.released import renamed
from unsmooth.models.weights import WeightsError, load_weights, read_weights


def with_statistics(model):
    """Let running means and variances differ from those of a fresh model."""
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.mark.parametrize("blocks", [1, 3])
def test_released_residual_network_for_small_images_gives_equal_logits(tmp_path, blocks):
    torch.manual_seed(0)
    released = with_statistics(ReleasedResNet(blocks=blocks, width=4, in_channels=3, num_classes=10))
    path = write_lightning(tmp_path / "last.ckpt", released.state_dict())
    model = make_model({"kind": "cifar_resnet", "depth": 6 * blocks + 2, "width": 4}, [3, 16, 16], 10).eval()
    load_weights(model, renamed(read_weights(path), "cifar_resnet"), path)
    images = torch.randn(4, 3, 16, 16)

    torch.testing.assert_close(model(images), released(images))


@pytest.mark.parametrize(
    "architecture", [{"kind": "torchvision", "name": "resnet50"}, {"kind": "densenet", "depth": 16}]
)
def test_released_names_lead_to_ours(tmp_path, architecture):
    model = make_model(architecture, [3, 32, 32], 10)
    theirs = {
        name.replace(".downsample.", ".shortcut.").replace("fc.", "linear."): tensor
        for name, tensor in model.state_dict().items()
    }
    path = write_lightning(tmp_path / "last.ckpt", theirs)
    loaded = make_model(architecture, [3, 32, 32], 10)
    load_weights(loaded, renamed(read_weights(path), architecture["kind"]), path)

    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", ["cifar_resnet", "torchvision"])
def test_our_own_names_are_kept(kind):
    architecture = {"cifar_resnet": {}, "torchvision": {"name": "resnet18"}}[kind] | {"kind": kind}
    weights = make_model(architecture, [3, 32, 32], 10).state_dict()

    assert [*renamed(weights, kind)] == [*weights]


def test_checkpoint_of_another_depth_is_refused(tmp_path):
    released = ReleasedResNet(blocks=3, width=4, in_channels=3, num_classes=10)
    model = make_model({"kind": "cifar_resnet", "depth": 8, "width": 4}, [3, 16, 16], 10)

    with pytest.raises(WeightsError, match=r"last\.ckpt: the weights are not those of this CifarResNet"):
        load_weights(model, renamed(released.state_dict(), "cifar_resnet"), "last.ckpt")
