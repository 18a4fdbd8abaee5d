import copy
import json
import signal
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from unsmooth.config.specs.recipes import (
    Adam,
    AdamW,
    Augmentation,
    Cosine,
    CutMix,
    GradientClip,
    MixUp,
    MultiStep,
    OneCycle,
    Polynomial,
    Recipe,
    Sam,
    Sgd,
    Warmup,
)
from unsmooth.data.arrays import DatasetError, Split, write_dataset
from unsmooth.data.image_files import write_image_files
from unsmooth.data.loading import TensorLoader, evaluation_batches, prepared_embedding, training_loader
from unsmooth.losses import (
    Distillation,
    LabelSmoothing,
    MarginLabelSmoothing,
    MaxSuppression,
    OnlineLabelSmoothing,
    make_loss,
)
from unsmooth.models.cifar_resnet import CifarResNet
from unsmooth.training.checkpoints import write_checkpoint
from unsmooth.training.loop import NonFiniteLossError, train
from unsmooth.training.optimisation import make_optimizer, make_schedule, perturbed
from unsmooth.training.precision import usable_precision

SCHEDULES = json.loads((Path(__file__).parents[1] / "reference_values" / "data" / "lr_schedules.json").read_text())


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


class LinearNet(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 3))


def make_net(kind=DropoutNet):
    torch.manual_seed(0)
    return CifarResNet(depth=8, width=4, in_channels=1, num_classes=3) if kind is CifarResNet else kind()


RECIPE = Recipe(epochs=3, batch_size=16, optimizer=Sgd(lr=0.05, weight_decay=1e-3), schedule=OneCycle())


def run(net, recipe=RECIPE, *, loss=None, log=lambda line: None, **settings):
    loader = make_loader(batch_size=recipe.batch_size, shards=recipe.shards)
    result = train(net, loss or make_loss("ls", 0.1), loader, recipe, seed=1, num_classes=3, log=log, **settings)
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
            {"optimizer": Adam(lr=0.01), "shards": 3},
            {"optimizer": Sgd(lr=0.05), "mixup": MixUp(alpha=0.5)},
            {"optimizer": Sgd(lr=0.05), "mixup": MixUp(alpha=0.5), "cutmix": CutMix(probability=0.7), "shards": 2},
        )
    ),
    (
        CifarResNet,
        Recipe(
            epochs=3,
            batch_size=16,
            optimizer=Sgd(lr=0.05),
            sam=Sam(rho=0.1),
            cutmix=CutMix(),
            precision="bf16",
            channels_last=True,
        ),
    ),
    (CifarResNet, Recipe(epochs=3, batch_size=16, optimizer=Sgd(lr=0.05), sam=Sam(rho=0.1), precision="bf16")),
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


def terminating(family, stop_at):
    """A class of losses like `family` that sends SIGTERM to this process at one call."""

    class Terminating(family):
        calls = 0

        def values(self, batch):
            self.calls += 1
            if self.calls == stop_at:
                signal.raise_signal(signal.SIGTERM)
            return super().values(batch)

    return Terminating


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


LEARNING = {
    "online_ls": (OnlineLabelSmoothing, {"alpha": 0.5, "num_classes": 3}),
    "maxsup": (MaxSuppression, {"alpha": 0.1, "last_alpha": 0.5}),
    "mbls": (MarginLabelSmoothing, {"alpha": 0.1, "margin": 0, "schedule": "multiply", "mu": 2}),
}


@pytest.mark.parametrize("stop_at", [3, 5, 8])
@pytest.mark.parametrize("kind", LEARNING)
def test_losses_that_change_over_epochs_resume_bit_identically(tmp_path, kind, stop_at):
    family, settings = LEARNING[kind]
    constant = {"online_ls": 0.5, "maxsup": 0.1, "mbls": 0.1}[kind]

    expected, uninterrupted = run(make_net(), loss=family(**settings))
    with pytest.raises(SystemExit):
        run(make_net(), loss=terminating(family, stop_at)(**settings), checkpoint=tmp_path / "checkpoint.pt")
    resumed, result = run(make_net(), loss=family(**settings), checkpoint=tmp_path / "checkpoint.pt")

    assert_same_weights(resumed, expected)
    assert result.history == uninterrupted.history
    unchanging = LabelSmoothing(constant) if kind == "online_ls" else MarginLabelSmoothing(constant, margin=0)
    _, other = run(make_net(), loss=unchanging)
    assert other.history[0] == pytest.approx(result.history[0])  # the first epoch is that of the first strength
    assert other.history[1]["loss"] != pytest.approx(result.history[1]["loss"], rel=1e-3)


@pytest.mark.parametrize("stop_at", [3, 5, 8])
def test_distillation_resumes_bit_identically_and_leaves_the_teacher_as_it_is(tmp_path, stop_at):
    torch.manual_seed(7)
    teacher = CifarResNet(depth=8, width=4, in_channels=1, num_classes=3)
    before = copy.deepcopy(teacher.state_dict())
    recipe = RECIPE.model_copy(update={"mixup": MixUp(alpha=0.5)})
    expected, uninterrupted = run(make_net(), recipe, loss=Distillation(0.9), teacher=teacher)
    with pytest.raises(SystemExit):
        run(
            make_net(),
            recipe,
            loss=terminating(Distillation, stop_at)(0.9),
            teacher=teacher,
            checkpoint=tmp_path / "checkpoint.pt",
        )
    resumed, result = run(
        make_net(), recipe, loss=Distillation(0.9), teacher=teacher, checkpoint=tmp_path / "checkpoint.pt"
    )

    assert_same_weights(resumed, expected)
    assert_same_weights(teacher.state_dict(), before)
    assert result.history == uninterrupted.history
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_distillation_of_no_weight_trains_the_weights_of_cross_entropy():
    expected, _ = run(make_net(), loss=make_loss("ce"))

    distilled, _ = run(make_net(), loss=Distillation(0.0), teacher=make_net(CifarResNet))

    assert_same_weights(distilled, expected)


def test_student_learns_what_only_its_teacher_knows():
    images, _ = make_data()
    loader = TensorLoader(images, torch.zeros(70).long(), batch_size=70, mean=[0.5], std=[0.25])
    torch.manual_seed(3)
    teacher, student = LinearNet(), make_net(LinearNet)
    recipe = Recipe(epochs=150, batch_size=70, optimizer=Adam(lr=0.02))
    train(student, Distillation(1.0, temperature=4.0), loader, recipe, seed=0, teacher=teacher, log=lambda line: None)

    ((inputs, _),) = loader.in_order()
    assert (student(inputs).argmax(dim=1) == teacher(inputs).argmax(dim=1)).double().mean() > 0.9


class Remembering(LabelSmoothing):
    """Keeps the targets that it is given."""

    def __init__(self):
        super().__init__(0.1)
        self.seen = []

    def values(self, batch):
        self.seen.append(batch.targets)
        return super().values(batch)


MIXED = {"epochs": 2, "batch_size": 16, "optimizer": Sgd(lr=0.05), "mixup": MixUp(alpha=1.0)}


def test_sharpness_aware_passes_see_the_same_mixture():
    loss = Remembering()
    run(make_net(LinearNet), Recipe(**MIXED, sam=Sam(rho=0.1)), loss=loss)

    firsts, seconds = loss.seen[::2], loss.seen[1::2]
    assert len(firsts) == 10 and firsts[0].is_floating_point()
    assert all(torch.equal(one, other) for one, other in zip(firsts, seconds, strict=True))
    assert not torch.equal(firsts[0], firsts[1])


@pytest.mark.parametrize("shards", [1, 2])
def test_largest_targets_are_those_of_the_last_epoch(shards):
    loss = Remembering()
    _, result = run(make_net(LinearNet), Recipe(**MIXED, shards=shards), loss=loss)

    last = torch.cat(loss.seen[5 * shards :])
    assert len(last) == 70
    assert result.largest_target == pytest.approx(float(last.double().amax(dim=1).mean()), rel=1e-6)
    assert run(make_net(LinearNet))[1].largest_target == 1


def test_accuracy_of_mixed_samples_is_against_the_larger_share():
    class Counting(LabelSmoothing):
        right = 0

        def values(self, batch):
            self.right += int((batch.logits.argmax(dim=1) == batch.targets.argmax(dim=1)).sum())
            return super().values(batch)

    loss = Counting(0.1)
    _, result = run(make_net(LinearNet), Recipe(**MIXED | {"epochs": 1}), loss=loss)

    assert result.history[0]["accuracy"] == loss.right / 70


def test_mixing_without_the_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="num_classes must be given where samples are mixed"):
        quiet(nn.Linear(4, 3), InOrder(), Recipe(epochs=1, batch_size=20, optimizer=Sgd(lr=0.1), mixup=MixUp(alpha=1)))


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


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    checkpoint, lines = tmp_path / "checkpoint.pt", []
    write_checkpoint(checkpoint, {"fingerprint": "", "model": Trap(tmp_path / "harm")})
    expected, _ = run(make_net())

    actual, _ = run(make_net(), checkpoint=checkpoint, log=lines.append)

    assert lines[0].startswith("checkpoint.pt is not a checkpoint, or holds code, which is not run")
    assert not (tmp_path / "harm").exists()
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

    sharded = RECIPE.model_copy(update={"shards": 2})
    with pytest.raises(NonFiniteLossError, match="loss is nan at epoch 2, step 3"):
        run(make_net(), loss=Breaking(0))
    with pytest.raises(NonFiniteLossError, match="loss is nan at epoch 1, step 4"):
        run(make_net(), sharded, loss=Breaking(0))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", [Sgd(lr=0.1), Adam(lr=0.01)])
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


class InOrder:
    """A loader of one batch in the order of the samples."""

    def __init__(self, shards=1, targets=None):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(20, 4, generator=generator)
        self.targets = torch.randint(3, (20,), generator=generator) if targets is None else targets
        self.shards = list(zip(self.inputs.tensor_split(shards), self.targets.tensor_split(shards), strict=True))

    def __len__(self):
        return 1

    def epoch(self, generator, *, start, resume):
        yield self.shards


def quiet(net, loader, recipe):
    return train(net, make_loss("ce"), loader, recipe, seed=0, log=lambda line: None)


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_shards_follow_the_mean_gradient_of_the_batch(shards):
    settings = {"epochs": 2, "batch_size": 16, "optimizer": Sgd(lr=0.05)}  # the last batch has 6 samples
    (whole, expected), (sharded, result) = (
        run(make_net(LinearNet), Recipe(**settings, shards=count)) for count in (1, shards)
    )

    torch.testing.assert_close(sharded, whole, rtol=1e-5, atol=1e-6)
    for one, other in zip(result.history, expected.history, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_every_shard_is_normalised_by_itself_and_the_first_is_remembered():
    loader = InOrder(shards=3)
    norm = nn.BatchNorm1d(4, momentum=1.0)  # remembers the last statistics alone
    means = []
    norm.register_forward_hook(lambda module, inputs, outputs: means.append(outputs.mean(dim=0).detach()))
    recipe = Recipe(epochs=1, batch_size=20, shards=3, optimizer=Sgd(lr=0.1))

    quiet(nn.Sequential(norm, nn.Linear(4, 3)), loader, recipe)

    torch.testing.assert_close(torch.stack(means), torch.zeros(3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm.running_mean, loader.shards[0][0].mean(dim=0))
    assert norm.num_batches_tracked == 1


def test_targets_that_are_no_indices_are_refused():
    recipe = Recipe(epochs=1, batch_size=20, shards=3, optimizer=Sgd(lr=0.1))
    with pytest.raises(ValueError, match=r"targets must be \(B,\) or \(B, H, W\) class indices, got \(7, 3\)"):
        quiet(nn.Linear(4, 3), InOrder(shards=3, targets=torch.zeros(20, 3)), recipe)


def sharpness_aware_sgd(weights, loader, *, steps, lr, rho, limit):
    """The weights (4, 3) of a linear classifier after some steps, with its gradient written out."""

    def gradient(at, inputs, targets):
        errors = (inputs.double() @ at).softmax(dim=1) - nn.functional.one_hot(targets, 3)
        return inputs.double().T @ errors / len(inputs)

    velocity = 0
    for _ in range(steps):
        mean = 0
        for shard in loader.shards:
            ascent = gradient(weights, *shard).clamp(-limit, limit)
            mean += gradient(weights + rho * ascent / ascent.norm(), *shard) * len(shard[0]) / 20
        velocity = 0.9 * velocity + mean.clamp(-limit, limit)
        weights = weights - lr * velocity
    return weights


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("limit", [0.02, 10.0])
def test_sharpness_aware_steps_equal_those_written_out(shards, limit):
    loader, net = InOrder(shards), make_net(lambda: nn.Linear(4, 3, bias=False))
    first = net.weight.detach().T.clone()
    clip = GradientClip(kind="value", limit=limit)
    recipe = Recipe(epochs=5, batch_size=20, shards=shards, optimizer=Sgd(lr=0.3), sam=Sam(rho=0.2), gradient_clip=clip)

    result = quiet(net, loader, recipe)

    expected = sharpness_aware_sgd(first.double(), loader, steps=5, lr=0.3, rho=0.2, limit=limit)
    torch.testing.assert_close(net.weight.detach().T, expected.float(), rtol=1e-5, atol=1e-6)
    at_the_weights = nn.functional.cross_entropy(loader.inputs @ first, loader.targets)
    assert result.history[0]["loss"] == pytest.approx(at_the_weights.item())


def test_perturbation_goes_rho_along_the_gradient_and_back_exactly():
    parameters = [nn.Parameter(torch.tensor([0.1, 0.2])), nn.Parameter(torch.tensor([[0.3]]))]
    parameters[0].grad, parameters[1].grad = torch.tensor([2.0, 0.0]), torch.tensor([[-1.5]])  # norm 2.5
    before = copy.deepcopy(parameters)

    with perturbed(parameters, rho=0.5):
        assert parameters[0].tolist() == pytest.approx([0.5, 0.2])
        assert parameters[1].item() == pytest.approx(0.0, abs=1e-7)

    assert all(torch.equal(one, other) for one, other in zip(parameters, before, strict=True))


def test_online_targets_are_learnt_at_the_weights_themselves_only():
    loss = OnlineLabelSmoothing(0.5, num_classes=3)
    remembered = []
    loss.end_epoch = lambda: remembered.append(float(loss.sums.sum()))
    recipe = Recipe(epochs=1, batch_size=20, optimizer=Sgd(lr=0.1), sam=Sam(rho=0.1))
    net = nn.Linear(4, 3)
    loader = InOrder()
    right = (net(loader.inputs).argmax(dim=1) == loader.targets).sum()

    train(net, loss, loader, recipe, seed=0, log=lambda line: None)

    assert remembered == [pytest.approx(float(right))]


def test_sharpness_aware_step_updates_running_statistics_at_the_weights_themselves():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=1.0), nn.Linear(4, 3))
    loader = InOrder()
    expected = net[0](loader.inputs).mean(dim=0).detach()

    quiet(net, loader, Recipe(epochs=1, batch_size=20, optimizer=Sgd(lr=0.1), sam=Sam(rho=1.0)))

    torch.testing.assert_close(net[1].running_mean, expected)
    assert net[1].num_batches_tracked == 1


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
    ("experiment", "name"),
    [
        ("imagenet_resnet50", "resnet50_imagenet"),
        ("imagenet_vit_s16", "vit_imagenet"),
        ("cifar10_resnet20", "resnet20_cifar10"),
        ("cifar100_densenet", "densenet_cifar100"),
        ("cityscapes_deeplabv3plus", "deeplab_cityscapes"),
    ],
)
def test_schedules_equal_the_released_learning_rates(pytestconfig, experiment, name):
    text = (pytestconfig.rootpath / "experiments" / f"{experiment}.yaml").read_text()
    recipe = Recipe.model_validate(yaml.safe_load(text)["recipe"])
    steps = 1 if getattr(recipe.schedule, "unit", "step") == "epoch" else 3

    assert rates(recipe, steps)[::steps] == pytest.approx(SCHEDULES[name], rel=1e-6)


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_polynomial_schedule_follows_its_formula_after_a_warmup(unit):
    schedule, warmup = Polynomial(unit=unit, power=2.0), Warmup(epochs=1, initial=0.5)
    recipe = Recipe(epochs=4, batch_size=16, optimizer=Sgd(lr=1.0), schedule=schedule, warmup=warmup)
    steps = 2 if unit == "step" else 1
    expected = [(1 - place / (3 * steps)) ** 2 for place in range(3 * steps)]

    assert rates(recipe, steps)[steps:] == pytest.approx(expected)


def test_warmup_must_end_before_a_polynomial_schedule_does():
    with pytest.raises(ValueError, match="warmup must be shorter than the 2 epochs, got 3"):
        Recipe(epochs=9, batch_size=1, optimizer=Sgd(lr=1), schedule=Polynomial(epochs=2), warmup=Warmup(epochs=3))


def test_pixels_without_a_target_count_in_neither_gradient_nor_history():
    images = torch.randint(256, (4, 1, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    targets = (images[:, 0] > 127).long()
    targets[:, :, 0] = 255

    def trained(images):
        scenes = TensorLoader(images, targets, batch_size=2, mean=[0.5], std=[0.25])
        torch.manual_seed(0)
        net = nn.Conv2d(1, 2, 1)
        loss = make_loss("ls", 0.1, ignore_index=255)
        result = train(net, loss, scenes, recipe, seed=0, log=lambda line: None)
        return net.state_dict(), result.history

    recipe = Recipe(epochs=20, batch_size=2, optimizer=Sgd(lr=0.5))
    weights, history = trained(images)
    changed = images.clone()
    changed[:, :, :, 0] = 255 - changed[:, :, :, 0]
    same, again = trained(changed)

    assert_same_weights(same, weights)
    assert again == history and history[-1]["accuracy"] > 0.9


def test_scenes_are_not_augmented():
    images, targets = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4, dtype=torch.int64)

    with pytest.raises(ValueError, match="one target an image"):
        TensorLoader(images, targets, batch_size=1, mean=[], std=[], flip=True)


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
        batches = [batch for (batch,) in loader.epoch(torch.Generator().manual_seed(seed), start=0, resume=None)]
        assert [len(targets) for _, targets in batches] == [4, 4, 2]
        assert all(torch.equal(inputs[:, 0].long(), targets) for inputs, targets in batches)
        orders.append(torch.cat([targets for _, targets in batches]).tolist())

    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]


def test_augmented_images_are_shifted_or_mirrored_windows_of_the_padded_image():
    images, targets = make_data(count=40)
    loader = TensorLoader(images, targets, batch_size=40, mean=[], std=[], crop_padding=2, flip=True)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    ((batch, found_targets),), *_ = loader.epoch(torch.Generator().manual_seed(3), start=0, resume=None)
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


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2), st.booleans())
def test_processes_get_the_shards_of_one_and_the_same_batch(shards, world_size, start, flip):
    world_size = min(shards, world_size)
    options = {"batch_size": 20, "flip": flip}

    def epoch(**options):
        loader, generator = make_loader(**options), torch.Generator().manual_seed(3)
        return list(loader.epoch(generator, start=start, resume=None))

    whole = epoch(**options)
    processes = [epoch(**options, shards=shards, rank=rank, world_size=world_size) for rank in range(world_size)]

    for number, ((inputs, targets),) in enumerate(whole):
        found = [process[number] for process in processes]
        dealt = [found[shard % world_size][shard // world_size] for shard in range(shards)]
        assert sum(map(len, found)) == shards
        assert {len(part) for _, part in dealt} <= {len(targets) // shards, -(-len(targets) // shards)}
        assert torch.equal(torch.cat([part for part, _ in dealt]), inputs)
        assert torch.equal(torch.cat([part for _, part in dealt]), targets)


def test_tokens_stay_as_they_are():
    tokens = torch.arange(12, dtype=torch.int32).reshape(4, 3)
    loader = TensorLoader(tokens, torch.arange(4), batch_size=3, mean=[], std=[])

    (((inputs, targets),), _) = loader.epoch(torch.Generator(), start=0, resume=None)

    assert inputs.dtype == torch.int32 and torch.equal(inputs, tokens[targets])
    assert torch.equal(torch.cat([inputs for inputs, _ in loader.in_order()]), tokens)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    splits = {"train": Split(*make_data()), "val": Split(*make_data(count=30))}
    write_dataset(folder, splits, dataset="test", classes=["a", "b", "c"], mean=[0.5], std=[0.25])
    return folder


def test_prepared_arrays_train_and_evaluate(prepared):
    recipe = Recipe(epochs=1, batch_size=16, shards=2, optimizer=Sgd(lr=0.1), augmentation=Augmentation(crop_padding=1))
    loader = training_loader(prepared, recipe, device="cpu", rank=1, world_size=2)
    batches = list(evaluation_batches(prepared, "val", device="cpu", batch_size=20))

    steps = list(loader.epoch(torch.Generator().manual_seed(0), start=0, resume=None))
    assert [[len(targets) for _, targets in shards] for shards in steps] == [[8], [8], [8], [8], [3]]
    assert [len(targets) for _, targets in batches] == [20, 10]
    assert prepared_embedding(prepared) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 33, "shards": 5}, "70 training samples in batches of 33, 4 remain .* too few for 5 shards"),
        ({"batch_size": 16, "augmentation": Augmentation(resized_crop=True)}, "resized_crop needs a dataset of image"),
    ],
)
def test_recipe_that_does_not_fit_the_dataset_is_refused(prepared, options, message):
    with pytest.raises(DatasetError, match=message):
        training_loader(prepared, Recipe(epochs=1, optimizer=Sgd(lr=0.1), **options), device="cpu")


def test_prepared_image_files_train_and_evaluate(tmp_path):
    paths = [f"{number}.png" for number in range(10)]
    for path, level in zip(paths, range(0, 250, 25), strict=True):
        Image.new("RGB", (12, 10), (level, level, level)).save(tmp_path / path)
    splits = {name: list(zip(paths[:count], range(count), strict=True)) for name, count in (("train", 10), ("val", 4))}
    settings = {"classes": list("abcdefghij"), "mean": [0.0] * 3, "std": [1 / 255] * 3, "root": tmp_path}
    sizes = {"image_size": 8, "resize": 9, "resize_dtype": "uint8"}
    write_image_files(tmp_path, splits, dataset="grey", **settings, **sizes)
    augmentation = Augmentation(resized_crop=True, flip=True)
    recipe = Recipe(epochs=1, batch_size=6, shards=3, optimizer=Sgd(lr=0.1), augmentation=augmentation)

    loader = training_loader(tmp_path, recipe, device="cpu", rank=1, world_size=2)
    steps = list(loader.epoch(torch.Generator().manual_seed(0), start=0, resume=None))
    ((inputs, targets),) = evaluation_batches(tmp_path, "val", device="cpu", batch_size=5)

    assert [[len(found) for _, found in shards] for shards in steps] == [[2], [1]]
    assert inputs.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 25, 50, 75])
    assert targets.tolist() == [0, 1, 2, 3]
    assert prepared_embedding(tmp_path) is None


def test_process_without_a_shard_is_refused(prepared):
    recipe = Recipe(epochs=1, batch_size=16, shards=2, optimizer=Sgd(lr=0.1))

    with pytest.raises(ValueError, match="world_size must be at most the 2 shards of a batch, got 3"):
        training_loader(prepared, recipe, device="cpu", world_size=3)


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


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_mixed_samples_and_a_teacher_train_on_the_device(device, precision):
    images, targets = make_data()
    loader = TensorLoader(images, targets, batch_size=16, mean=[0.5], std=[0.25], shards=2, device=device)
    mixing = {"mixup": MixUp(alpha=0.2), "cutmix": CutMix()}
    optimizer = Sgd(lr=0.1)
    recipe = Recipe(
        epochs=8, batch_size=16, shards=2, optimizer=optimizer, **mixing, precision=precision, channels_last=True
    )
    settings = {"seed": 0, "device": device, "num_classes": 3, "log": lambda line: None}
    teacher = make_net(CifarResNet)

    train(teacher, make_loss("ls", 0.1), loader, recipe, **settings)
    result = train(make_net(CifarResNet), Distillation(0.5), loader, recipe, teacher=teacher, **settings)

    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert 0.5 < result.largest_target < 1


@pytest.mark.parametrize(("instructions", "used"), [(True, "bf16"), (False, "fp32")])
def test_fp16_trains_on_a_cpu_in_what_the_cpu_computes(monkeypatch, instructions, used):
    monkeypatch.setattr("unsmooth.training.precision._cpu_computes_bf16", lambda: instructions)
    recipe = RECIPE.model_copy(update={"precision": "fp16"})
    lines = []
    asked, given = make_net(), make_net()
    loss = make_loss("ls", 0.1)
    train(asked, loss, make_loader(), recipe, seed=0, log=lines.append)
    train(given, loss, make_loader(), recipe.model_copy(update={"precision": used}), seed=0, log=lambda line: None)

    assert usable_precision("fp16", "cuda") == "fp16"
    assert lines[0] == f"precision: {used} instead of the recipe's fp16, which a CPU computes far slower"
    assert all(torch.equal(one, other) for one, other in zip(asked.parameters(), given.parameters(), strict=True))


def test_steps_on_a_cpu_seed_no_other_device(monkeypatch):
    net = make_net()
    seeded = []
    for module in (torch.cuda, torch.xpu):
        monkeypatch.setattr(module, "manual_seed_all", seeded.append)
    run(net)

    assert seeded == []


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.1), Adam(lr=0.01)])
def test_one_kernel_updates_all_parameters(optimizer):
    recipe = RECIPE.model_copy(update={"optimizer": optimizer})

    assert make_optimizer([nn.Parameter(torch.zeros(1))], recipe).defaults["fused"]
