"""Published weights of timm's models, by the names of the repositories that they come from."""

import re

import pytest
import timm
import torch
from miniatures.released import randomised
from safetensors.torch import save_file
from torchvision.models import regnet_y_400mf

from unsmooth.models.released import renamed
from unsmooth.models.weights import WeightsError, load_weights, read_weights

CONVNEXT_NAMES = [
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
    (r"\.blocks\.", "."),
    ("conv_dw", "dwconv"),
    (r"mlp\.fc", "pwconv"),
    (r"head\.norm", "norm"),
    (r"head\.fc", "head"),
]


def convnext():
    return timm.create_model("convnext_atto", num_classes=10)


def swin():
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 1, 1)
    )


def original_convnext(weights):
    """Return weights by the names of facebookresearch/ConvNeXt, where pointwise convolutions are linear."""
    found = {}
    for name, tensor in weights.items():
        for pattern, theirs in CONVNEXT_NAMES:
            name = re.sub(pattern, theirs, name)
        found[name] = tensor.flatten(1) if re.search(r"pwconv\d\.weight", name) else tensor
    return found


def original_swin(weights):
    """Return weights by the names of microsoft/Swin-Transformer, where stages end in a downsampling."""
    found = {"layers.0.blocks.1.attn_mask": torch.zeros(4, 49, 49)}
    for name, tensor in weights.items():
        name = re.sub(r"^layers\.(\d)\.downsample", lambda stage: f"layers.{int(stage[1]) - 1}.downsample", name)
        found[name.replace("head.fc.", "head.")] = tensor
        if name.endswith("relative_position_bias_table"):
            found[name.replace("bias_table", "index")] = torch.zeros(49, 49, dtype=torch.int64)
    return found


def randomised_throughout(model):
    """Let every parameter and statistic matter and differ from those of a fresh model."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(-0.1, 0.1)
    return randomised(model)


@pytest.mark.parametrize(
    ("make_model", "original"), [(convnext, original_convnext), (swin, original_swin)], ids=["convnext", "swin"]
)
def test_names_of_the_original_repository_give_equal_logits(tmp_path, make_model, original):
    torch.manual_seed(0)
    published, model = randomised_throughout(make_model()), make_model().eval()
    weights = {name: tensor.contiguous() for name, tensor in original(published.state_dict()).items()}
    save_file(weights, tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 56, 56)

    with pytest.raises(WeightsError, match="unexpected"):
        load_weights(model, weights, "model.safetensors")
    load_weights(model, renamed(read_weights(tmp_path / "model.safetensors"), "timm", model), "model.safetensors")

    assert torch.equal(model(images), published(images))


def test_regnet_of_torchvision_gives_equal_logits():
    torch.manual_seed(0)
    published, model = (
        randomised_throughout(regnet_y_400mf(num_classes=10)),
        timm.create_model("regnety_004.tv2_in1k", num_classes=10).eval(),
    )
    images = torch.randn(2, 3, 64, 64)

    load_weights(model, renamed(published.state_dict(), "timm", model), "regnet.pth")

    torch.testing.assert_close(model(images), published(images))


def test_positions_of_another_image_size_are_refused_where_nothing_has_to_be_converted():
    published, model = (timm.create_model("vit_tiny_patch16_224", depth=1, img_size=size) for size in (32, 64))

    with pytest.raises(WeightsError, match=r"pos_embed \(1, 5, 192\) where the model has \(1, 17, 192\)"):
        load_weights(model, renamed(published.state_dict(), "timm", model), "model.safetensors")


@pytest.mark.parametrize(
    "weights",
    [{"encoder.weight": torch.zeros(2, 3)}, {"model": torch.zeros(2)}, {"stages.0.blocks.9.gamma": torch.zeros(40)}],
)
def test_weights_that_timm_cannot_convert_are_refused_by_name(weights):
    model = convnext()

    with pytest.raises(
        WeightsError, match=rf"other\.pth: the weights .*\n.* missing: .*\n.* unexpected: {[*weights][0]}"
    ):
        load_weights(model, renamed(weights, "timm", model), "other.pth")
