import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from unsmooth.losses import LabelSmoothing, make_loss, smooth_targets

VECTORS = json.loads((Path(__file__).parents[1] / "reference_values" / "losses" / "official.json").read_text())
LOGITS = torch.tensor(VECTORS["logits"], dtype=torch.float64)
TARGETS = torch.tensor(VECTORS["targets"])


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(64, 2), (64, 10), (64, 2, 5, 5), (64, 10, 5, 5)])
def test_smoothing_index_and_one_hot_targets_agrees_with_formula(alpha, shape):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    one_hot = torch.zeros(shape).scatter_(1, targets.unsqueeze(1), 1.0)

    expected = (1 - alpha) * one_hot + alpha / shape[1]

    torch.testing.assert_close(smooth_targets(targets, shape[1], alpha), expected)
    torch.testing.assert_close(smooth_targets(one_hot, shape[1], alpha), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("trailing", [(), (3, 2)])
def test_label_smoothing_equals_torch_with_ignored_positions(alpha, reduction, trailing):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, *trailing, generator=generator, dtype=torch.float64)
    targets = torch.randint(5, (6, *trailing), generator=generator)
    targets[0] = -100

    actual = LabelSmoothing(alpha, reduction=reduction)(logits, targets)

    torch.testing.assert_close(actual, cross_entropy(logits, targets, label_smoothing=alpha, reduction=reduction))


def test_dense_targets_give_the_same_loss_as_indices():
    one_hot = torch.nn.functional.one_hot(TARGETS, LOGITS.shape[1]).double()

    torch.testing.assert_close(LabelSmoothing(0.2)(LOGITS, one_hot), LabelSmoothing(0.2)(LOGITS, TARGETS))


@pytest.mark.parametrize("alpha", [-0.4, -0.2, 0.0, 0.1, 0.2, 0.3, 0.6])
def test_loss_is_cross_entropy_plus_alpha_times_logit_difference(alpha):
    target_logit = LOGITS.gather(1, TARGETS[:, None]).squeeze(1)
    expected = cross_entropy(LOGITS, TARGETS) + alpha * (target_logit - LOGITS.mean(dim=1)).mean()

    torch.testing.assert_close(LabelSmoothing(alpha)(LOGITS, TARGETS), expected)


@pytest.mark.parametrize("name", sorted(VECTORS["expected"]))
def test_value_and_gradient_equal_the_official_code(name):
    expected = VECTORS["expected"][name]
    logits = LOGITS.clone().requires_grad_()

    value = LabelSmoothing(expected["alpha"])(logits, TARGETS)
    value.backward()

    assert value.item() == pytest.approx(expected["loss"], rel=1e-6)
    torch.testing.assert_close(logits.grad[0], torch.tensor(expected["grad_row0"]).double(), rtol=1e-4, atol=1e-7)


def test_gradients_pass_gradcheck():
    logits = LOGITS[:4].clone().requires_grad_()

    assert torch.autograd.gradcheck(LabelSmoothing(0.3), (logits, TARGETS[:4]))


def test_no_kept_position_gives_zero_loss_and_zero_gradient():
    logits = torch.randn(3, 4, requires_grad=True)

    loss = LabelSmoothing(0.1)(logits, torch.full((3,), -100))
    loss.backward()

    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize("alpha", [1.2, -1.5, float("nan")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \[-1, 1\]"):
        LabelSmoothing(alpha)


def test_unknown_kind_and_unknown_reduction_are_refused():
    with pytest.raises(ValueError, match="kind must be one of ce, ls, mbls, .*, got 'hinge'"):
        make_loss("hinge")
    with pytest.raises(ValueError, match="reduction must be"):
        LabelSmoothing(0.1, reduction="median")


def test_cross_entropy_has_no_strength():
    with pytest.raises(ValueError, match="no alpha, got 0.1"):
        make_loss("ce", 0.1)


def test_wrong_shapes_and_wrong_indices_are_named():
    with pytest.raises(ValueError, match=r"targets must be integers \(16,\).*got \(15,\)"):
        LabelSmoothing(0.1)(LOGITS, TARGETS[:15])
    with pytest.raises(ValueError, match=r"targets must be in \[0, 3\), got 0 to 3"):
        smooth_targets(torch.tensor([0, 3]), 3, 0.1)
