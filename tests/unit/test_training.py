import copy
import json
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from unsmooth.data.loading import TensorLoader
from unsmooth.losses import make_loss
from unsmooth.models.cifar_resnet import CifarResNet
from unsmooth.specs import AdamW, Cosine, GradientClip, MultiStep, OneCycle, Recipe, Sgd, Warmup
from unsmooth.training import NonFiniteLossError, make_schedule, train

SCHEDULES = json.loads((Path(__file__).parent / "data" / "lr_schedules.json").read_text())


def make_data(count=70, size=8, classes=3):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(classes, (count,), generator=generator)
    images = torch.randint(100, (count, 1, size, size), generator=generator, dtype=torch.uint8)
    images[torch.arange(count), 0, 1 + 2 * targets] = 255  # the bright row names the class
    return images, targets


def make_loader(**settings):
    images, targets = make_data()
    defaults = {"batch_size": 16, "mean": [0.5], "std": [0.25], "crop_padding": 1, "flip": True}
    return TensorLoader(images, targets, **(defaults | settings))


class DropoutNet(nn.Sequential):
    """Uses the global random state, as ViT heads and LSTMs do."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))


def make_net(kind=DropoutNet):
    torch.manual_seed(0)
    return kind() if kind is DropoutNet else CifarResNet(depth=8, width=4, in_channels=1, num_classes=3)


RECIPE = Recipe(epochs=3, batch_size=16, optimizer=Sgd(lr=0.05, weight_decay=1e-3), schedule=OneCycle())


def run(net, recipe=RECIPE, *, loss=None, log=lambda line: None, **settings):
    result = train(net, loss or make_loss("ls", 0.1), make_loader(), recipe, seed=1, log=log, **settings)
    return net.state_dict(), result


def assert_same_weights(actual, expected):
    assert actual.keys() == expected.keys()
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


class Stop(Exception):
    pass


class StoppingLoss(nn.Module):
    """Raises at one call, as if the process were killed there."""

    def __init__(self, stop_at):
        super().__init__()
        self.inner, self.calls, self.stop_at = make_loss("ls", 0.1), 0, stop_at

    def forward(self, logits, targets):
        self.calls += 1
        if self.calls == self.stop_at:
            raise Stop
        return self.inner(logits, targets)


RESUMED = [
    (DropoutNet, RECIPE),
    (CifarResNet, RECIPE),
    *(
        (DropoutNet, Recipe(epochs=3, batch_size=16, **settings))
        for settings in (
            {"optimizer": AdamW(lr=0.01), "schedule": Cosine(), "warmup": Warmup(steps=7)},
            {"optimizer": Sgd(lr=0.05), "schedule": Cosine(unit="epoch"), "warmup": Warmup(epochs=1)},
            {"optimizer": Sgd(lr=0.05, nesterov=True), "schedule": MultiStep(milestones=[1, 2])},
            {"optimizer": Sgd(lr=0.05), "precision": "fp16", "gradient_clip": GradientClip(limit=0.5)},
        )
    ),
]


@pytest.mark.parametrize(("net", "recipe"), RESUMED)
@pytest.mark.parametrize("stop_at", [1, 6, 9, 15])
def test_killed_and_resumed_training_is_bit_identical(tmp_path, net, recipe, stop_at):
    expected, uninterrupted = run(make_net(net), recipe)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        run(make_net(net), recipe, loss=StoppingLoss(stop_at), checkpoint=checkpoint)

    resumed, result = run(make_net(net), recipe, checkpoint=checkpoint)

    assert_same_weights(resumed, expected)
    assert result.history == uninterrupted.history


class TerminatingLoss(StoppingLoss):
    """Sends SIGTERM to this process at one call."""

    def forward(self, logits, targets):
        self.calls += 1
        if self.calls == self.stop_at:
            signal.raise_signal(signal.SIGTERM)
        return self.inner(logits, targets)


@pytest.mark.parametrize("stop_at", [1, 2, 5, 7])
def test_sigterm_saves_the_step_and_the_rerun_goes_on_bit_identically(tmp_path, stop_at):
    expected, uninterrupted = run(make_net())
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(SystemExit) as exit_info:
        run(make_net(), loss=TerminatingLoss(stop_at), checkpoint=checkpoint)
    lines = []

    resumed, result = run(make_net(), checkpoint=checkpoint, log=lines.append)

    assert exit_info.value.code == 143
    assert lines[0] == f"resumed at epoch {stop_at // 5 + 1}, step {stop_at % 5 + 1}"
    assert_same_weights(resumed, expected)
    assert result.history == uninterrupted.history


def test_checkpoint_of_another_configuration_is_not_resumed(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        run(make_net(), loss=StoppingLoss(8), checkpoint=checkpoint, fingerprint="lr 1")
    expected, _ = run(make_net())
    lines = []

    actual, _ = run(make_net(), checkpoint=checkpoint, fingerprint="lr 2", log=lines.append)

    assert lines[0] == "checkpoint.pt belongs to another configuration: training starts from the beginning"
    assert_same_weights(actual, expected)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_checkpoint_is_reported_and_training_starts_over(tmp_path, damage):
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        run(make_net(), loss=StoppingLoss(8), checkpoint=checkpoint)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    expected, _ = run(make_net())
    lines = []

    actual, _ = run(make_net(), checkpoint=checkpoint, log=lines.append)

    assert lines[0] == "checkpoint.pt is damaged: training starts from the beginning"
    assert_same_weights(actual, expected)


def test_seed_decides_the_weights():
    first, _ = run(make_net())
    again, _ = run(make_net())
    other = make_net()
    train(other, make_loss("ls", 0.1), make_loader(), RECIPE, seed=2, log=lambda line: None)

    assert_same_weights(again, first)
    assert not torch.equal(other.state_dict()["1.weight"], first["1.weight"])


def test_non_finite_loss_stops_with_epoch_and_step():
    class Breaking(StoppingLoss):
        def forward(self, logits, targets):
            self.calls += 1
            return self.inner(logits, targets) * (float("nan") if self.calls == 8 else 1)

    with pytest.raises(NonFiniteLossError, match="loss is nan at epoch 2, step 3"):
        run(make_net(), loss=Breaking(0))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", [Sgd(lr=0.1), AdamW(lr=0.01)])
@pytest.mark.parametrize("clip", [None, GradientClip(limit=1.0), GradientClip(kind="value", limit=0.1)])
def test_training_learns_with_every_precision_optimizer_and_clipping(precision, optimizer, clip):
    recipe = Recipe(
        epochs=8, batch_size=16, optimizer=optimizer, precision=precision, gradient_clip=clip, channels_last=True
    )
    _, result = run(make_net(CifarResNet), recipe)

    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.history[-1]["accuracy"] > 0.5
    assert result.samples == 8 * 70


def test_norm_clipping_bounds_the_step():
    recipe = Recipe(epochs=1, batch_size=70, optimizer=Sgd(lr=1.0, momentum=0), gradient_clip=GradientClip(limit=0.01))
    before, net = make_net().state_dict(), make_net()
    before = copy.deepcopy(before)
    train(net, make_loss("ce"), make_loader(batch_size=70), recipe, seed=0, log=lambda line: None)

    moved = sum((net.state_dict()[name] - before[name]).square().sum() for name in before) ** 0.5

    assert moved == pytest.approx(0.01, rel=1e-4)


def rates(recipe, steps_per_epoch):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.optimizer.lr)
    schedule, by_epoch = make_schedule(optimizer, recipe, steps_per_epoch)
    found = []
    for _ in range(recipe.epochs if by_epoch else recipe.epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "epochs", "lr", "schedule", "warmup"),
    [
        ("resnet50_imagenet", 120, 0.4, Cosine(unit="epoch"), Warmup(epochs=5)),
        ("vit_imagenet", 300, 3e-3, Cosine(unit="epoch"), Warmup(epochs=15)),
        ("resnet20_cifar10", 75, 0.1, MultiStep(milestones=[25, 50]), None),
        ("densenet_cifar100", 300, 0.1, MultiStep(milestones=[150, 225]), None),
    ],
)
def test_schedules_equal_the_released_learning_rates(name, epochs, lr, schedule, warmup):
    recipe = Recipe(epochs=epochs, batch_size=1, optimizer=Sgd(lr=lr), schedule=schedule, warmup=warmup)
    steps = 1 if schedule.kind == "cosine" else 3

    assert rates(recipe, steps)[::steps] == pytest.approx(SCHEDULES[name], rel=1e-6)


def test_one_cycle_rises_and_falls_by_the_step():
    found = rates(RECIPE, 20)

    assert found[0] == pytest.approx(0.05 * 0.04)
    assert max(found) == pytest.approx(0.05, rel=1e-3)
    assert found[-1] < 0.001
    assert len(set(found)) > 50


def test_warmup_in_steps_reaches_the_peak_after_them():
    recipe = Recipe(epochs=2, batch_size=1, optimizer=Sgd(lr=1.0), warmup=Warmup(steps=4, initial=0.5))

    assert rates(recipe, 5) == pytest.approx([0.5, 0.625, 0.75, 0.875, *[1.0] * 6])


def test_warmup_as_long_as_training_is_refused():
    recipe = Recipe(epochs=2, batch_size=1, optimizer=Sgd(lr=1.0), warmup=Warmup(steps=10))

    with pytest.raises(ValueError, match="warmup must be shorter than training: 10 of 10"):
        rates(recipe, 5)


def test_loader_shows_every_sample_once_an_epoch_in_an_order_of_the_generator():
    loader = TensorLoader(torch.arange(10.0)[:, None], torch.arange(10), batch_size=4, mean=[], std=[])
    orders = []
    for seed in (0, 0, 1):
        batches = list(loader.epoch(torch.Generator().manual_seed(seed), start=0, resume=None))
        assert [len(targets) for _, targets in batches] == [4, 4, 2]
        assert all(torch.equal(inputs[:, 0].long(), targets) for inputs, targets in batches)
        orders.append(torch.cat([targets for _, targets in batches]).tolist())

    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]


def test_augmented_images_are_shifted_or_mirrored_windows_of_the_padded_image():
    images, targets = make_data(count=40)
    loader = TensorLoader(images, targets, batch_size=40, mean=[], std=[], crop_padding=2, flip=True)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    (batch, found_targets), *_ = loader.epoch(torch.Generator().manual_seed(3), start=0, resume=None)
    padded = nn.functional.pad(images, [2] * 4).float()

    offsets = set()
    for row, index in enumerate(order):
        windows = {
            (top, left, mirrored): window.flip(2) if mirrored else window
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            for window in [padded[index, :, top : top + 8, left : left + 8]]
        }
        matches = [place for place, window in windows.items() if torch.equal(batch[row], window)]
        assert matches
        offsets.update(matches)

    assert torch.equal(found_targets, targets[order])
    assert len({place[2] for place in offsets}) == 2
    assert len({place[:2] for place in offsets}) > 10
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_images_in_order_are_normalised_and_unaugmented():
    images, targets = make_data()
    loader = make_loader()

    batches = list(loader.in_order())

    torch.testing.assert_close(torch.cat([batch for batch, _ in batches]), (images / 255 - 0.5) / 0.25)
    assert torch.equal(torch.cat([found for _, found in batches]), targets)


def test_images_of_other_types_are_refused():
    with pytest.raises(ValueError, match="images must be uint8, got torch.float32"):
        TensorLoader(torch.zeros(3, 1, 2, 2), torch.zeros(3).long(), batch_size=1, mean=[], std=[])


def test_augmenting_vectors_is_refused():
    with pytest.raises(ValueError, match="augmentation needs images"):
        TensorLoader(torch.zeros(3, 2), torch.zeros(3).long(), batch_size=1, mean=[], std=[], flip=True)


@pytest.mark.slow
def test_compiled_model_trains_like_the_plain_one():
    settings = {"epochs": 2, "batch_size": 35, "optimizer": Sgd(lr=0.05)}
    # Without dropout, whose draws differ when compiled.
    plain, compiled = (
        run(nn.Sequential(*(layer for layer in make_net() if not isinstance(layer, nn.Dropout))), recipe)[1]
        for recipe in (Recipe(**settings), Recipe(**settings, compile=True))
    )

    for one, other in zip(plain.history, compiled.history, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_learns_on_the_device(device, precision):
    images, targets = make_data()
    loader = TensorLoader(images, targets, batch_size=16, mean=[0.5], std=[0.25], crop_padding=1, device=device)
    recipe = Recipe(epochs=8, batch_size=16, optimizer=Sgd(lr=0.1), precision=precision, channels_last=True)

    result = train(
        make_net(CifarResNet), make_loss("ls", 0.1), loader, recipe, seed=0, device=device, log=lambda line: None
    )

    assert result.history[-1]["accuracy"] > 0.5
