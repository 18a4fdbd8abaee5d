"""What holds for every loss: identities, gradients, ignored positions, precision, shapes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from unsmooth.losses import (
    AdaptiveFocalLoss,
    ConfidencePenalty,
    FocalLoss,
    LabelSmoothing,
    LogitPenalty,
    MarginLabelSmoothing,
    MaxSuppression,
    OnlineLabelSmoothing,
    make_loss,
)
from unsmooth.losses.smoothing import uniform_cross_entropy
from unsmooth.registry.losses import LOSSES as REGISTRY

NUM_CLASSES = 5
ALPHAS = {"ls": 0.2, "mbls": 0.1, "maxsup": 0.2, "focal": 3.0, "flsd": 3.0, "l1": 0.1, "logit_penalty": 0.01}
ALPHAS |= {"mmce": 2.0, "mmce_weighted": 2.0}
LOSSES = {  # every one but distillation, which takes the logits of a teacher too
    kind: {"num_classes": NUM_CLASSES} | ({} if entry.alpha is None else {"alpha": ALPHAS.get(kind, 0.5)})
    for kind, entry in REGISTRY.items()
    if kind != "distillation"
}
LOSSES["mbls"]["margin"] = 1.5
BY_POSITION = [kind for kind in LOSSES if not kind.startswith("mmce")]
DENSE = [kind for kind in LOSSES if kind not in ("mmce_weighted", "online_ls")]


class ComposerSmoothing(LabelSmoothing):
    """Label smoothing as Composer reduces it: ignored positions have the target alpha / K for every class.

    The mean is divided by the mass of all targets.
    """

    def reduced(self, batch):
        values = self.values(batch).where(batch.kept, self.alpha * uniform_cross_entropy(batch))
        mass = ((1 - self.alpha) * batch.mass * batch.kept + self.alpha).sum()
        return values.sum() / mass.where(mass != 0, 1)


def loss_of(kind, **settings):
    return make_loss(kind, **LOSSES[kind], **settings)


def batch(*trailing, count=6, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, NUM_CLASSES, *trailing, generator=generator, dtype=torch.float64)
    return logits, torch.randint(NUM_CLASSES, (count, *trailing), generator=generator)


seeds = st.integers(0, 2**20)


@given(seeds, st.floats(-1, 1))
@settings(max_examples=40)
def test_smoothing_adds_alpha_times_target_minus_mean_logit(seed, alpha):
    logits, targets = batch(seed=seed)
    added = (logits.gather(1, targets[:, None]).squeeze(1) - logits.mean(dim=1)).mean()

    actual = LabelSmoothing(alpha)(logits, targets)

    torch.testing.assert_close(actual, cross_entropy(logits, targets) + alpha * added)


@given(seeds, st.floats(0, 1))
@settings(max_examples=40)
def test_margin_zero_is_smoothing_plus_alpha_times_max_minus_target(seed, alpha):
    logits, targets = batch(seed=seed)
    added = (logits.amax(dim=1) - logits.gather(1, targets[:, None]).squeeze(1)).mean()

    actual = MarginLabelSmoothing(alpha, margin=0)(logits, targets)

    torch.testing.assert_close(actual, LabelSmoothing(alpha)(logits, targets) + alpha * added)
    torch.testing.assert_close(actual, MaxSuppression(alpha)(logits, targets))


@given(seeds)
@settings(max_examples=20)
def test_losses_that_are_cross_entropy_at_their_neutral_setting(seed):
    logits, targets = batch(seed=seed)
    expected = cross_entropy(logits, targets)

    for loss in (LabelSmoothing(0), MarginLabelSmoothing(0.3, margin=1e6), MaxSuppression(0), FocalLoss(0)):
        torch.testing.assert_close(loss(logits, targets), expected)
    for loss in (ConfidencePenalty(0), LogitPenalty(0), make_loss("mmce", 0.0), make_loss("l1", 0.0)):
        torch.testing.assert_close(loss(logits, targets), expected)


def test_max_suppression_does_not_reward_confidence_in_a_wrong_class():
    logits = torch.tensor([[4.0, 0.0, 0.0]], requires_grad=True)
    targets = torch.tensor([1])
    smoothed, suppressed = (
        torch.autograd.grad(loss(logits, targets), logits)[0][0, 0]
        for loss in (LabelSmoothing(0.2), MaxSuppression(0.2))
    )
    plain = torch.autograd.grad(cross_entropy(logits, targets), logits)[0][0, 0]

    assert smoothed < plain < suppressed


def test_max_suppression_grows_linearly():
    loss = MaxSuppression(0.1, last_alpha=0.2)

    alphas = []
    for epoch in range(5):
        loss.start_epoch(epoch, 5)
        alphas.append(loss.alpha)

    assert alphas == pytest.approx([0.1, 0.125, 0.15, 0.175, 0.2])


def test_adaptive_focal_takes_its_exponent_from_the_targets_probability():
    probabilities = torch.tensor([0.1, 0.3, 0.7], dtype=torch.float64)
    logits = torch.stack([probabilities, 1 - probabilities], dim=1).log()
    exponents = torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64)

    actual = AdaptiveFocalLoss(1.0, reduction="none")(logits, torch.zeros(3, dtype=torch.int64))

    torch.testing.assert_close(actual, -((1 - probabilities) ** exponents) * probabilities.log())


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("trailing", [(), (2, 3)])
def test_gradients_are_those_of_the_value(kind, trailing):
    logits, targets = batch(*trailing, count=3)
    loss = loss_of(kind).eval()

    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), targets))


@pytest.mark.parametrize("kind", LOSSES)
def test_trailing_dimensions_are_positions(kind):
    logits, targets = batch(2, 3)

    actual = loss_of(kind)(logits, targets)

    torch.testing.assert_close(actual, loss_of(kind)(logits.movedim(1, -1).flatten(0, -2), targets.flatten()))


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("kept", [0, 1, 4])
def test_ignored_positions_count_nowhere(kind, kept):
    logits, targets = batch(count=6)
    masked = targets.clone()
    masked[kept:] = 255
    logits.requires_grad_()

    value = loss_of(kind, ignore_index=255)(logits, masked)
    value.backward()

    expected = loss_of(kind)(logits[:kept], targets[:kept]) if kept else torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(value, expected)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[kept:].abs().sum() == 0


@pytest.mark.parametrize("kind", BY_POSITION)
def test_reductions_agree(kind):
    logits, targets = batch(2)
    targets[0, 0] = -100

    none, total, mean = (loss_of(kind, reduction=reduction)(logits, targets) for reduction in ("none", "sum", "mean"))

    assert none.shape == targets.shape and none[0, 0] == 0
    torch.testing.assert_close(none.sum(), total)
    torch.testing.assert_close(total / 11, mean)


@pytest.mark.parametrize("kind", DENSE)
def test_one_hot_distributions_equal_indices(kind):
    logits, targets = batch(2)
    one_hot = torch.nn.functional.one_hot(targets, NUM_CLASSES).movedim(-1, 1).double()

    torch.testing.assert_close(loss_of(kind)(logits, one_hot), loss_of(kind)(logits, targets))


@pytest.mark.parametrize("kind", ["ce", "ls", "mbls", "maxsup", "ecp", "l1", "logit_penalty", "focal", "flsd"])
def test_mixed_targets_give_the_mixture_of_the_losses(kind):
    logits, first = batch()
    second = first.roll(1)
    one_hots = [torch.nn.functional.one_hot(targets, NUM_CLASSES).double() for targets in (first, second)]

    actual = loss_of(kind)(logits, 0.3 * one_hots[0] + 0.7 * one_hots[1])

    torch.testing.assert_close(actual, 0.3 * loss_of(kind)(logits, first) + 0.7 * loss_of(kind)(logits, second))


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(kind, dtype):
    logits, targets = batch(scale=20.0)
    half = logits.to(dtype)

    value = loss_of(kind)(half, targets)

    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss_of(kind)(half.float(), targets))


@pytest.mark.parametrize("kind", LOSSES)
def test_saturated_logits_stay_finite(kind):
    logits = torch.tensor([[60.0, -60.0, 0, 0, 0], [-60.0, 60.0, 0, 0, 0]], requires_grad=True)

    value = loss_of(kind)(logits, torch.tensor([0, 0]))
    value.backward()

    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_integer_types_and_strides_do_not_matter_and_inputs_are_not_changed(kind):
    logits, targets = batch(2, 3)
    before = logits.clone(), targets.clone()
    expected = loss_of(kind)(logits, targets)

    torch.testing.assert_close(
        loss_of(kind)(logits.to(memory_format=torch.channels_last), targets.to(torch.uint8)), expected
    )
    assert torch.equal(logits, before[0]) and torch.equal(targets, before[1])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64), "logits must be floating point"),
        (torch.zeros(4, 5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), "logits must be floating point"),
        (torch.zeros(4, 5), torch.zeros(4, 1, dtype=torch.int64), r"targets must be integers \(4,\).*got \(4, 1\)"),
        (torch.zeros(4, 5), torch.zeros(4), "targets must be integers"),
        (torch.zeros(4, 5), torch.zeros(4, dtype=torch.bool), "targets must be integers"),
        (torch.zeros(4, 5), torch.eye(4, 5).long(), r"or floating point \(4, 5\) .*, got \(4, 5\) torch.int64"),
    ],
)
def test_inputs_that_do_not_fit_are_named(kind, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        loss_of(kind)(logits, targets)


@pytest.mark.parametrize("kind", [kind for kind in LOSSES if "alpha" in LOSSES[kind]])
@pytest.mark.parametrize("alpha", [-2.0, float("nan")])
def test_strengths_out_of_range_are_refused(kind, alpha):
    with pytest.raises(ValueError, match="(alpha|gamma) must be"):
        make_loss(kind, **LOSSES[kind] | {"alpha": alpha})


def test_composer_counts_ignored_positions_with_the_mass_of_the_smoothing():
    logits, targets = batch()
    masked = targets.clone()
    masked[4:] = -1
    uniform = -logits.log_softmax(dim=1).mean(dim=1)
    kept = cross_entropy(logits[:4], targets[:4], label_smoothing=0.2, reduction="sum")

    actual = ComposerSmoothing(0.2, ignore_index=-1)(logits, masked)

    torch.testing.assert_close(actual, (kept + 0.2 * uniform[4:].sum()) / (4 + 0.2 * 2))


def test_online_targets_are_the_mean_right_predictions_of_the_last_epoch():
    logits, _ = batch()
    targets = logits.argmax(dim=1)
    targets[0] = (targets[0] + 1) % NUM_CLASSES  # wrong: must not count
    loss = OnlineLabelSmoothing(0.5, num_classes=NUM_CLASSES)

    first = loss(logits, targets)
    loss.end_epoch()

    torch.testing.assert_close(first, LabelSmoothing(0.5)(logits, targets))
    for label in range(NUM_CLASSES):
        right = [row for row in range(1, 6) if targets[row] == label]
        expected = logits[right].softmax(1).mean(0) if right else torch.full((NUM_CLASSES,), 0.2, dtype=torch.float64)
        torch.testing.assert_close(loss.soft_targets[label].double(), expected, rtol=1e-6, atol=1e-7)
    second = loss(logits, targets)
    soft = loss.soft_targets.double()[targets]
    torch.testing.assert_close(second, 0.5 * cross_entropy(logits, targets) + 0.5 * cross_entropy(logits, soft))


@pytest.mark.parametrize("of_one_position", [lambda values: values[:, None], torch.sum])
def test_loss_without_a_value_at_every_position_is_refused(of_one_position):
    class Misshapen(LabelSmoothing):
        def values(self, batch):
            return of_one_position(super().values(batch))

    with pytest.raises(ValueError, match=r"values of Misshapen must have shape \(6,\), one a position, got \("):
        Misshapen(0.1)(*batch())


@pytest.mark.parametrize("settings", [{}, {"num_classes": 1}])
def test_online_smoothing_without_classes_is_refused(settings):
    with pytest.raises(ValueError, match="num_classes must be given, and at least 2, got"):
        make_loss("online_ls", 0.5, **settings)


def test_online_targets_are_remembered_in_training_only_and_saved():
    logits, targets = batch()
    loss = OnlineLabelSmoothing(0.5, num_classes=NUM_CLASSES).eval()
    loss(logits, logits.argmax(dim=1))
    assert loss.sums.sum() == 0

    loss.train()(logits, logits.argmax(dim=1))
    other = OnlineLabelSmoothing(0.5, num_classes=NUM_CLASSES)
    other.load_state_dict(loss.state_dict())
    assert other.sums.sum() == pytest.approx(6)
    with pytest.raises(ValueError, match="takes class indices of 5 classes"):
        loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("kind", LOSSES)
def test_autocast_does_not_lower_the_precision(kind):
    logits, targets = batch(count=300, scale=20.0)
    single = logits.float()
    expected = loss_of(kind)(single, targets)

    with torch.autocast("cpu", torch.float16):
        value = loss_of(kind)(single, targets)

    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("kind", LOSSES)
def test_only_the_index_to_ignore_is_ignored(kind):
    logits, targets = batch()
    targets[0] = -100
    with pytest.raises((IndexError, RuntimeError), match="out of bounds|out of range|-100"):
        loss_of(kind, ignore_index=255)(logits, targets)


def test_narrow_integers_do_not_wrap_into_the_index_to_ignore():
    logits = torch.randn(4, 200, dtype=torch.float64)
    targets = torch.tensor([156, 0, 1, 2], dtype=torch.uint8)  # 156 is -100 in eight bits

    torch.testing.assert_close(make_loss("ce")(logits, targets), cross_entropy(logits, targets.long()))


@pytest.mark.parametrize("kind", DENSE)
def test_distributions_without_mass_are_ignored(kind):
    logits, targets = batch()
    one_hot = torch.nn.functional.one_hot(targets, NUM_CLASSES).double()
    one_hot[:2] = 0

    torch.testing.assert_close(loss_of(kind)(logits, one_hot), loss_of(kind)(logits[2:], targets[2:]))


def test_masked_classes_and_large_logits_keep_their_digits_in_dense_targets():
    logits = torch.tensor([[1010.0, 1000.0, -torch.inf]])
    one_hot = torch.tensor([[1.0, 0.0, 0.0]])

    torch.testing.assert_close(make_loss("ce")(logits, one_hot), make_loss("ce")(logits, torch.tensor([0])))


def test_weighted_calibration_error_of_constant_predictions_is_finite():
    confidence = 11 / 21
    logits = torch.tensor([[confidence, 1 - confidence]]).log().repeat(21, 1).requires_grad_()
    targets = torch.tensor([0] * 10 + [1] * 11)

    value = make_loss("mmce_weighted", 1.0)(logits, targets)
    value.backward()

    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_composer_divides_by_the_mass_of_all_targets():
    logits, targets = batch()
    one_hot = torch.nn.functional.one_hot(targets, NUM_CLASSES).double()
    one_hot[4:] = 0
    masked = targets.clone()
    masked[4:] = -100

    loss = ComposerSmoothing(0.2)
    torch.testing.assert_close(loss(logits, one_hot), loss(logits, masked))
    assert ComposerSmoothing(0.0)(logits, torch.full((6,), -100)) == 0
