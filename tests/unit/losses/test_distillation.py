import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, one_hot

from unsmooth.losses import Distillation, make_loss

K = 5


def batch(*trailing, seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    logits, teacher = (3 * torch.randn(count, K, *trailing, generator=generator, dtype=torch.float64) for _ in range(2))
    return logits, torch.randint(K, (count, *trailing), generator=generator), teacher


@pytest.mark.slow
@given(st.integers(0, 2**20), st.floats(0, 1), st.floats(0.5, 20))
@settings(max_examples=40)
def test_value_and_gradient_are_those_of_the_formula(seed, alpha, temperature):
    logits, targets, teacher = batch(seed=seed)
    logits.requires_grad_()

    value = make_loss("distillation", alpha, temperature=temperature, reduction="sum")(logits, targets, teacher)
    (gradient,) = torch.autograd.grad(value, logits)

    wanted, soft = ((z / temperature).softmax(dim=1) for z in (teacher, logits))
    divergence = temperature**2 * (wanted * (wanted / soft).log()).sum()
    expected = (1 - alpha) * cross_entropy(logits, targets, reduction="sum") + alpha * divergence
    hard = logits.softmax(dim=1) - one_hot(targets, K)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, (1 - alpha) * hard + alpha * temperature * (soft - wanted))


def test_weight_zero_is_cross_entropy_bit_for_bit():
    logits, targets, teacher = (tensor.float() if tensor.is_floating_point() else tensor for tensor in batch())
    gradients = []
    for loss, against in ((Distillation(0.0), (targets, teacher)), (make_loss("ce"), (targets,))):
        free = logits.clone().requires_grad_()
        value = loss(free, *against)
        gradients.append((value, *torch.autograd.grad(value, free)))

    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_large_temperatures_match_centred_logits():
    logits, targets, teacher = batch()

    value = Distillation(1.0, temperature=1e4)(logits, targets, teacher)

    centred = [z - z.mean(dim=1, keepdim=True) for z in (logits, teacher)]
    torch.testing.assert_close(value, (centred[0] - centred[1]).square().mean() / 2, rtol=1e-3, atol=0)


def test_student_that_equals_its_teacher_has_only_the_cross_entropy():
    logits, targets, _ = batch()

    actual = Distillation(0.7, temperature=3.0)(logits, targets, logits + 2.0)  # logits count up to a constant

    torch.testing.assert_close(actual, 0.3 * cross_entropy(logits, targets))


def test_pixels_are_positions_and_ignored_ones_count_nowhere():
    logits, targets, teacher = batch(2, 3)
    targets[0] = 255
    loss = Distillation(0.6, temperature=2.0, ignore_index=255)

    actual = loss(logits, targets, teacher)

    flat = [z[1:].movedim(1, -1).flatten(0, -2) for z in (logits, teacher)]
    torch.testing.assert_close(actual, loss(flat[0], targets[1:].flatten(), flat[1]))


def test_mixed_targets_give_the_mixture_of_the_losses():
    logits, first, teacher = batch()
    second, loss = first.roll(1), Distillation(0.6)

    actual = loss(logits, 0.3 * one_hot(first, K).double() + 0.7 * one_hot(second, K).double(), teacher)

    torch.testing.assert_close(actual, 0.3 * loss(logits, first, teacher) + 0.7 * loss(logits, second, teacher))


def test_half_precision_is_computed_in_single():
    logits, targets, teacher = batch()
    loss = Distillation(0.9)

    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits.half(), targets, teacher.half())

    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.half().float(), targets, teacher.half().float()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -0.1}, r"alpha must be in \[0, 1\], got -0.1"),
        ({"alpha": float("nan")}, "alpha must be in"),
        ({"temperature": 0.0}, "temperature must be finite and above 0, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Distillation(**settings)


def test_teacher_gets_no_gradient():
    logits, targets, teacher = batch()
    teacher.requires_grad_()
    Distillation()(logits.requires_grad_(), targets, teacher).backward()

    assert logits.grad is not None and teacher.grad is None


def test_missing_or_misshapen_teacher_logits_are_refused():
    logits, targets, teacher = batch()
    with pytest.raises(ValueError, match="distillation needs teacher_logits"):
        Distillation()(logits, targets)
    with pytest.raises(ValueError, match=r"teacher_logits must have the shape of the logits, \(6, 5\), got \(6, 4\)"):
        Distillation()(logits, targets, teacher[:, :4])
