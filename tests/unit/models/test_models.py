import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unsmooth.config.specs.architectures import ARCHITECTURES
from unsmooth.models import make_model
from unsmooth.models.cifar_resnet import CifarResNet
from unsmooth.models.densenet import DenseNet
from unsmooth.models.libraries import UnknownModelError

EMBEDDING = torch.cat([torch.zeros(2, 6), torch.linspace(-1, 1, 48).view(8, 6)])
LSTM = {"kind": "lstm", "hidden_size": 5, "head": [4], "dropout": 0.5}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "input_shape", "num_classes", "parameters"),
    [
        ({"kind": "cifar_resnet", "depth": 20}, [3, 32, 32], 10, 272_474),
        ({"kind": "densenet"}, [3, 32, 32], 100, 800_032),
        ({"kind": "tabular_mlp"}, [62], 2, 46_625),
        ({"kind": "tabular_mlp"}, [28], 2, 9_633),
    ],
)
def test_architectures_of_the_released_experiments_have_their_parameters(
    architecture, input_shape, num_classes, parameters
):
    model = make_model(architecture, input_shape, num_classes)

    assert count(model) == parameters
    assert model(torch.zeros(2, *input_shape)).shape == (2, num_classes)


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        ({"kind": "torchvision", "name": "resnet50"}, 25_557_032),
        ({"kind": "timm", "name": "vit_small_patch16_224", "drop_rate": 0.1}, 22_050_664),
    ],
)
def test_library_models_of_the_released_experiments_have_their_parameters(architecture, parameters):
    with torch.device("meta"):
        model = make_model(architecture, [3, 224, 224], 1000)
        logits = model(torch.zeros(2, 3, 224, 224))

    assert count(model) == parameters and logits.shape == (2, 1000)


@pytest.mark.parametrize(
    ("architecture", "size", "num_classes", "parameters"),
    [
        ({"kind": "small_resnet", "depth": 50}, 32, 10, 23_520_842),
        ({"kind": "small_resnet", "depth": 101}, 32, 10, 42_512_970),
        ({"kind": "small_resnet", "depth": 50, "pool": 2}, 64, 200, 25_138_952),
        ({"kind": "small_resnet", "depth": 101, "pool": 2}, 64, 200, 44_131_080),
        ({"kind": "torchvision", "name": "resnet101", "dropout": 0.5}, 224, 200, 42_909_960),
    ],
)
def test_networks_of_mbls_have_their_parameters(architecture, size, num_classes, parameters):
    with torch.device("meta"):
        model = make_model(architecture, [3, size, size], num_classes)
        logits = model(torch.zeros(2, 3, size, size))

    assert count(model) == parameters and logits.shape == (2, num_classes)


def test_lstm_of_the_released_experiments_has_its_parameters():
    model = make_model({"kind": "lstm", "single_logit": True}, [256], 2, torch.zeros(4, 300))

    assert count(model) == 670_209
    assert model(torch.zeros(3, 256, dtype=torch.int32)).shape == (3, 2)


def test_mlp_has_one_layer_a_width():
    model = make_model({"kind": "mlp", "hidden": [8, 4]}, [5], 3)

    assert count(model) == (5 + 1) * 8 + (8 + 1) * 4 + (4 + 1) * 3
    assert model(torch.zeros(7, 5)).shape == (7, 3)


@pytest.mark.parametrize(
    "architecture",
    [
        {"kind": "densenet", "depth": 10},
        {"kind": "small_resnet"},
        {"kind": "gpool_cnn", "channels": 4},
        {"kind": "torchvision", "name": "squeezenet1_1"},
        {"kind": "timm", "name": "test_vit", "drop_rate": 0.1},
        LSTM,
    ],
)
def test_initial_weights_depend_on_torchs_generator_alone(architecture):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(make_model(architecture, [3, 64, 64], 4, EMBEDDING).state_dict())
    same, other = ([torch.equal(states[0][key], state[key]) for key in states[0]] for state in states[1:])

    assert all(same) and not all(other)


NAMES = {"torchvision": {"name": "squeezenet1_1"}, "timm": {"name": "test_vit"}}
SHAPES = {"images": [3, 64, 64], "scenes": [3, 64, 64], "vectors": [5], "tokens": [24]}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_gives_one_logit_a_class(kind):
    reads = ARCHITECTURES[kind].inputs
    with torch.device("cpu" if reads == "tokens" else "meta"):
        model = make_model({"kind": kind, **NAMES.get(kind, {})}, SHAPES[reads], 2, EMBEDDING).eval()
        logits = model(torch.zeros(3, *SHAPES[reads], dtype=torch.int32 if reads == "tokens" else None))

    assert logits.shape == ((3, 2, 64, 64) if reads == "scenes" else (3, 2))


def test_impossible_depths_are_refused():
    with pytest.raises(ValueError, match=r"depth must be 6n \+ 2 with n >= 1, got 10"):
        CifarResNet(depth=10, width=16, in_channels=3, num_classes=10)
    with pytest.raises(ValueError, match=r"depth must be 6n \+ 4 with n >= 1, got 12"):
        DenseNet(depth=12, growth=12, in_channels=3, num_classes=10)


def test_densenet_starts_as_the_released_one():
    torch.manual_seed(0)
    model = make_model({"kind": "densenet"}, [3, 32, 32], 100)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    normalisations = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]

    assert len(convolutions) == 99 and len(normalisations) == 99 and model.head.in_features == 342
    for convolution in convolutions:
        fan_in = convolution.weight[0].numel()
        assert convolution.bias is None
        # The relative error of a standard deviation over n draws is 1 / sqrt(2 n).
        tolerance = 5 / (2 * convolution.weight.numel()) ** 0.5
        assert convolution.weight.std().item() * (fan_in / 2) ** 0.5 == pytest.approx(1, abs=tolerance)
    assert all((layer.weight == 1).all() and (layer.bias == 0).all() for layer in normalisations)
    assert (model.head.bias == 0).all() and model.head.weight.abs().max() <= 342**-0.5


def test_densenet_layers_keep_what_came_before():
    model = make_model({"kind": "densenet", "depth": 10, "growth": 4}, [1, 16, 16], 3).eval()
    stem, layer = model.features[0], model.features[1]
    features = stem(torch.rand(2, 1, 16, 16))
    grown = layer(features)

    assert grown.shape == (2, 12, 16, 16) and torch.equal(grown[:, :8], features)
    assert model.features[:-2](torch.zeros(1, 1, 16, 16)).shape == (1, 9, 4, 4)


# Single logit -------------------------------------------------------------------------------------------------------


@given(st.floats(-1, 0.99), st.integers(0, 2**31 - 1))
def test_smoothed_pair_trains_as_smoothed_binary_cross_entropy(alpha, seed):
    torch.manual_seed(seed)
    model = make_model({"kind": "tabular_mlp"}, [6], 2).double()
    inputs, targets = torch.randn(9, 6, dtype=torch.float64), torch.randint(2, (9,))
    soft = (1 - alpha) * nn.functional.one_hot(targets, 2) + alpha / 2
    pair = nn.functional.cross_entropy(model(inputs), soft)
    smoothed = targets.double() * (1 - alpha) + alpha / 2
    binary = nn.functional.binary_cross_entropy_with_logits(nn.Sequential(*list(model)[:-1])(inputs)[:, 0], smoothed)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in (pair, binary)]

    torch.testing.assert_close(pair, binary)
    for of_pair, of_binary in zip(*gradients, strict=True):
        torch.testing.assert_close(of_pair, of_binary)
    assert any(gradient.abs().max() > 0 for gradient in gradients[0])


def test_pair_is_the_output_in_halves():
    model = make_model({"kind": "tabular_mlp"}, [6], 2)
    inputs = torch.randn(9, 6)
    outputs, logits = nn.Sequential(*list(model)[:-1])(inputs)[:, 0], model(inputs)

    assert torch.equal(logits[:, 1], outputs / 2) and torch.equal(logits[:, 0], -outputs / 2)
    torch.testing.assert_close(logits.softmax(dim=1)[:, 1], outputs.sigmoid())


@pytest.mark.parametrize("architecture", [{"kind": "tabular_mlp"}, LSTM | {"single_logit": True}])
def test_single_logit_needs_two_classes(architecture):
    with pytest.raises(ValueError, match="single_logit needs a dataset of 2 classes, got 3"):
        make_model(architecture, [6], 3, EMBEDDING)


def test_tabular_mlp_can_have_an_output_a_class():
    model = make_model({"kind": "tabular_mlp", "multiples": [3], "single_logit": False}, [4], 5)

    assert count(model) == (4 + 1) * 12 + (12 + 1) * 5


# LSTM ---------------------------------------------------------------------------------------------------------------

SEQUENCES = torch.tensor([[4, 3, 9, 0, 0], [5, 0, 0, 0, 0], [2, 8, 1, 6, 7], [0, 0, 0, 0, 0]], dtype=torch.int32)


@given(st.integers(1, 30))
def test_last_token_does_not_see_padding(more):
    torch.manual_seed(0)
    model = make_model(LSTM, [5], 3, EMBEDDING).eval()

    torch.testing.assert_close(model(nn.functional.pad(SEQUENCES, [0, more])), model(SEQUENCES))


def test_last_token_is_the_last_step_of_the_sequence_alone():
    torch.manual_seed(0)
    by_token = make_model(LSTM, [5], 3, EMBEDDING).eval()
    by_step = make_model(LSTM | {"read": "last_step"}, [5], 3, EMBEDDING).eval()
    by_step.load_state_dict(by_token.state_dict())

    for row, length in zip(SEQUENCES, (3, 1, 5, 1), strict=True):
        torch.testing.assert_close(by_token(row[None]), by_step(row[None, :length]))
    assert not torch.allclose(by_token(SEQUENCES[:1]), by_step(SEQUENCES[:1]))


def test_token_vectors_are_frozen_and_not_kept_with_the_weights():
    model = make_model(LSTM, [5], 3, EMBEDDING)
    model(SEQUENCES).sum().backward()

    assert not any("embedding" in name for name in [*model.state_dict(), *dict(model.named_parameters())])
    assert "embedding" in dict(model.named_buffers()) and torch.equal(model.embedding, EMBEDDING)
    assert model.embedding.grad is None and model.lstm.weight_ih_l0.grad.abs().max() > 0


def test_lstm_trains_in_bf16_on_a_cpu():
    torch.manual_seed(0)
    model = make_model(LSTM | {"dropout": 0.0}, [5], 3, EMBEDDING)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(SEQUENCES)
    logits.float().square().sum().backward()
    gradient = model.lstm.weight_ih_l0.grad.clone()
    model.zero_grad()
    exact = model(SEQUENCES)
    exact.square().sum().backward()

    torch.testing.assert_close(logits.float(), exact, rtol=0.02, atol=0.01)
    torch.testing.assert_close(gradient, model.lstm.weight_ih_l0.grad, rtol=0.1, atol=0.01)


def test_lstm_drops_before_each_layer_of_the_head_but_the_last():
    layers = [type(layer) for layer in make_model({"kind": "lstm"}, [5], 3, EMBEDDING).head]

    assert layers == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Linear]


def test_tokens_without_their_vectors_are_refused():
    with pytest.raises(ValueError, match="architecture lstm reads tokens and needs their embedding, got None"):
        make_model(LSTM, [5], 3)


def test_last_token_is_found_with_padding_on_the_left():
    torch.manual_seed(0)
    model = make_model(LSTM, [5], 3, EMBEDDING).eval()
    left = torch.tensor([[0, 0, 4, 3, 9]])

    torch.testing.assert_close(model(left), model(nn.functional.pad(left, [0, 3])))
    assert not torch.allclose(model(left), model(torch.tensor([[0, 0, 4, 0, 0]])))


# Global-pooling CNN -------------------------------------------------------------------------------------------------


def test_gpool_cnn_of_mbls_has_its_parameters():
    model = make_model({"kind": "gpool_cnn"}, [1000], 20, torch.zeros(4, 100))

    assert count(model) == 247_316
    assert model(torch.zeros(3, 1000, dtype=torch.int32)).shape == (3, 20)


def test_gpool_cnn_does_not_see_where_a_phrase_stands():
    torch.manual_seed(0)
    model = make_model({"kind": "gpool_cnn", "channels": 7}, [60], 3, EMBEDDING).eval()
    phrase = torch.tensor([[4, 3, 9, 2, 5]])
    early, late = (nn.functional.pad(phrase, [before, 60 - 5 - before]) for before in (20, 35))

    torch.testing.assert_close(model(early), model(late))
    assert not torch.allclose(model(early), model(torch.zeros_like(early)))


def test_gpool_cnn_reads_sequences_of_21_tokens_and_more():
    model = make_model({"kind": "gpool_cnn", "channels": 4}, [21], 3, EMBEDDING)

    assert model(torch.zeros(2, 21, dtype=torch.int32)).shape == (2, 3)
    with pytest.raises(ValueError, match="sequences must have at least 21 tokens, got 20"):
        model(torch.zeros(2, 20, dtype=torch.int32))


def test_gpool_cnn_computes_padding_once_at_the_same_logits_and_gradients():
    torch.manual_seed(0)
    model = make_model({"kind": "gpool_cnn", "channels": 7}, [150], 3, EMBEDDING).double()
    tokens = torch.randint(1, 10, (40, 150))
    for row, padded in enumerate(torch.randint(151, (40,)).tolist()):
        tokens[row, :padded] = 0
    tokens[:3] = 0

    def whole(tokens):
        features = nn.functional.embedding(tokens, model.embedding).transpose(1, 2)
        for layer in (model.features[0], model.features[3], model.features[6]):
            features = nn.functional.conv1d(features, layer.weight.squeeze(2), layer.bias).relu()
            features = features.amax(dim=2) if layer is model.features[6] else nn.functional.max_pool1d(features, 5, 1)
        return model.head(features)

    computed, expected = (forward(tokens) for forward in (model, whole))
    gradients = [torch.autograd.grad(logits.square().sum(), model.parameters()) for logits in (computed, expected)]

    torch.testing.assert_close(computed, expected)
    torch.testing.assert_close(*gradients)


def test_gpool_cnn_keeps_its_token_vectors_frozen():
    model = make_model({"kind": "gpool_cnn", "channels": 4}, [30], 3, EMBEDDING)
    model(torch.randint(10, (2, 30))).sum().backward()

    assert not any("embedding" in name for name in [*model.state_dict(), *dict(model.named_parameters())])
    assert model.embedding.grad is None and model.features[0].weight.grad.abs().max() > 0


# Small ResNets ------------------------------------------------------------------------------------------------------


def test_small_resnet_halves_its_images_three_times():
    model = make_model({"kind": "small_resnet"}, [1, 24, 24], 3).eval()
    sizes = []
    for layer in (model.conv1, model.maxpool, model.layer1, model.layer2, model.layer3, model.layer4):
        layer.register_forward_hook(lambda layer, inputs, outputs: sizes.append(outputs.shape[2]))

    assert model(torch.zeros(1, 1, 24, 24)).shape == (1, 3)
    assert sizes == [24, 24, 24, 12, 6, 3]


@pytest.mark.parametrize("initialisation", ["torch", "torchvision"])
def test_small_resnet_starts_as_the_released_ones(initialisation):
    torch.manual_seed(0)
    architecture = {"kind": "small_resnet", "pool": 2, "initialisation": initialisation}
    model = make_model(architecture, [3, 32, 32], 10)

    for convolution in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
        weight = convolution.weight
        expected = {
            "torch": (3 * weight[0].numel()) ** -0.5,  # uniform within 1 / sqrt(fan-in)
            "torchvision": (2 / weight[:, 0].numel()) ** 0.5,
        }[initialisation]
        # The relative error of a standard deviation over n draws is at most 1 / sqrt(2 n).
        assert weight.std().item() == pytest.approx(expected, rel=5 / (2 * weight.numel()) ** 0.5)
    assert (model.layer3[0].bn3.weight == 1).all() and (model.layer3[0].bn3.bias == 0).all()
    assert model.fc.in_features == 4 * 2048


# Libraries ----------------------------------------------------------------------------------------------------------


def test_torch_initialisation_is_that_of_each_layer():
    torch.manual_seed(0)
    own, default = (
        make_model({"kind": "torchvision", "name": "resnet18", "initialisation": name}, [3, 32, 32], 4)
        for name in ("torchvision", "torch")
    )
    weight = default.layer4[1].conv2.weight

    assert weight.abs().max() <= weight[0].numel() ** -0.5  # uniform within 1 / sqrt(fan-in)
    assert own.layer4[1].conv2.weight.abs().max() > weight[0].numel() ** -0.5
    assert (default.bn1.weight == 1).all() and default(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


def test_dropout_before_the_last_layer_acts_while_training_only():
    torch.manual_seed(0)
    plain, dropping = (
        make_model({"kind": "torchvision", "name": "resnet18", "dropout": dropout}, [3, 32, 32], 4)
        for dropout in (0.0, 0.5)
    )
    dropping.load_state_dict(plain.state_dict())  # the weights keep their names
    images, features = torch.randn(2, 3, 32, 32), torch.ones(1, 512)
    with torch.no_grad():
        dropping.fc.weight.fill_(1.0), dropping.fc.bias.fill_(0.0)
        kept = dropping.train().fc(features).unique() / 2  # the rest is doubled

        assert len(kept) == 1 and 180 < kept.item() < 330
        assert (dropping.eval().fc(features) == 512).all()
        dropping.load_state_dict(plain.state_dict())
        assert torch.equal(dropping(images), plain.eval()(images))


def test_dropout_needs_a_network_that_ends_in_fc():
    with pytest.raises(UnknownModelError, match="that end in fc, squeezenet1_1 does not"):
        make_model({"kind": "torchvision", "name": "squeezenet1_1", "dropout": 0.5}, [3, 64, 64], 4)


def test_auxiliary_outputs_are_left_out():
    with torch.device("meta"):
        model = make_model({"kind": "torchvision", "name": "googlenet"}, [3, 64, 64], 4).train()

        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 4)


def test_vision_transformer_takes_the_size_and_channels_of_the_images():
    model = make_model({"kind": "timm", "name": "test_vit"}, [1, 48, 48], 4)

    assert model(torch.zeros(2, 1, 48, 48)).shape == (2, 4)


def test_timm_model_of_any_size_is_not_told_one():
    model = make_model({"kind": "timm", "name": "test_resnet"}, [3, 40, 40], 4)

    assert model(torch.zeros(2, 3, 40, 40)).shape == (2, 4)


def test_drop_rate_of_a_vision_transformer_is_that_of_its_head():
    model = make_model({"kind": "timm", "name": "test_vit", "drop_rate": 0.1}, [3, 32, 32], 4)
    dropouts = {name: layer.p for name, layer in model.named_modules() if isinstance(layer, nn.Dropout) and layer.p}

    assert dropouts == {"head_drop": 0.1}


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("torchvision", "resnet51", "torchvision has no classifier 'resnet51'; did you mean 'resnet50'?"),
        ("torchvision", "fcn_resnet50", "torchvision has no classifier 'fcn_resnet50'"),
        (
            "timm",
            "vit_small_patch16_225",
            "timm has no classifier 'vit_small_patch16_225'; did you mean 'vit_small_patc",
        ),
        ("timm", "hf-hub:someone/model", "timm has no classifier 'hf-hub:someone/model'"),
    ],
)
def test_unknown_names_are_refused_with_a_close_one(kind, name, message):
    with pytest.raises(UnknownModelError) as caught:
        make_model({"kind": kind, "name": name}, [3, 32, 32], 4)
    assert message in str(caught.value)


def test_torchvision_refuses_grey_images():
    with pytest.raises(UnknownModelError, match="torchvision's resnet18 takes images of 3 channels, got 1"):
        make_model({"kind": "torchvision", "name": "resnet18"}, [1, 32, 32], 4)


@pytest.mark.slow
def test_libraries_are_imported_only_when_they_are_used():
    code = "import sys, unsmooth.models, unsmooth.models.libraries; print({'timm', 'torchvision'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("output_stride", [16, 32])
def test_deeplab_of_the_released_experiments_has_its_parameters(output_stride):
    with torch.device("meta"):
        model = make_model({"kind": "deeplabv3plus", "output_stride": output_stride}, [3, 512, 512], 19)
        logits = model(torch.zeros(2, 3, 512, 512))
        deep = torch.nn.Sequential(*list(model.backbone.children())[:-2])(torch.zeros(1, 3, 512, 512))

    assert count(model) == 58_753_459 and count(model.backbone) == 42_500_160
    assert logits.shape == (2, 19, 512, 512) and deep.shape[2] == 512 // output_stride


def test_deeplabv3_has_its_parameters_and_a_logit_for_each_pixel():
    with torch.device("meta"):
        model = make_model({"kind": "deeplabv3"}, [3, 480, 480], 21)
        logits = model(torch.zeros(2, 3, 480, 480))
        deep = model.backbone(torch.zeros(1, 3, 480, 480))["out"]

    assert count(model) == 39_638_869 and count(model.backbone) == 23_508_032
    assert logits.shape == (2, 21, 480, 480) and deep.shape[2] == 480 // 8


@pytest.mark.parametrize("size", [(16, 16), (17, 13)])
def test_unet_gives_a_logit_for_each_pixel_of_any_size(size):
    model = make_model({"kind": "unet", "width": 4, "depth": 3}, [2, 16, 16], 5)

    assert model(torch.zeros(3, 2, *size)).shape == (3, 5, *size)
