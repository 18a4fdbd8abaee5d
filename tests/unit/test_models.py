import pytest
import torch

from unsmooth.models import make_model
from unsmooth.models.cifar_resnet import CifarResNet


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet20_has_the_published_parameter_count():
    model = make_model({"kind": "cifar_resnet", "depth": 20}, [3, 32, 32], 10)

    assert count(model) == 272_474
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_mlp_has_one_layer_a_width():
    model = make_model({"kind": "mlp", "hidden": [8, 4]}, [5], 3)

    assert count(model) == (5 + 1) * 8 + (8 + 1) * 4 + (4 + 1) * 3
    assert model(torch.zeros(7, 5)).shape == (7, 3)


def test_impossible_depth_is_refused():
    with pytest.raises(ValueError, match=r"depth must be 6n \+ 2 with n >= 1, got 10"):
        CifarResNet(depth=10, width=16, in_channels=3, num_classes=10)
