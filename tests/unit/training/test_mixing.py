import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from unsmooth.config.specs.recipes import CutMix, MixUp, Recipe, Sgd
from unsmooth.losses import effective_smoothing, make_loss, smooth_targets
from unsmooth.training.mixing import cutmix, mixed, mixup, random_box

K = 4
SGD = {"epochs": 1, "batch_size": 6, "optimizer": Sgd(lr=0.1)}
seeds = st.integers(0, 2**20)
shares = st.floats(0, 1)


def batch(*trailing, seed=0, count=6, size=5):
    """Images of which each pixel tells the sample it is from, targets and partners."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.arange(float(count))[:, None, None, None].expand(-1, 2, size, size + 2).contiguous()
    targets = torch.randint(K, (count, *trailing), generator=generator)
    return images, targets, torch.randperm(count, generator=generator)


@given(seeds, shares)
@settings(max_examples=30)
def test_mixup_blends_inputs_and_targets_by_the_same_share(seed, share):
    images, targets, partners = batch(seed=seed)

    blended, soft = mixup(images, targets, share=share, partners=partners, num_classes=K)

    torch.testing.assert_close(blended, share * images + (1 - share) * images[partners])
    torch.testing.assert_close(soft, share * one_hot(targets, K) + (1 - share) * one_hot(targets[partners], K).float())


@given(seeds, shares)
@settings(max_examples=50)
def test_cutmix_mixes_targets_by_the_area_that_is_left(seed, share):
    images, targets, partners = batch(seed=seed)
    torch.manual_seed(seed)
    box = random_box(*images.shape[2:], share=share)

    pasted, soft = cutmix(images, targets, box=box, partners=partners, num_classes=K)

    for row, partner in enumerate(partners.tolist()):
        own = (pasted[row, 0] == row).double().mean() if row != partner else 1.0
        expected = own * one_hot(targets[row], K) + (1 - own) * one_hot(targets[partner], K)
        torch.testing.assert_close(soft[row].double(), torch.as_tensor(expected).double(), rtol=1e-6, atol=1e-6)
        assert set(pasted[row].unique().tolist()) <= {row, partner}
    assert torch.equal(images, batch(seed=seed)[0])  # the arguments stay as they are


def test_boxes_have_the_share_of_the_area_where_they_are_not_cut_off():
    torch.manual_seed(0)
    boxes = [random_box(40, 60, share=0.25) for _ in range(300)]
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes]

    assert max(areas) == 20 * 30
    assert min(areas) < 20 * 30 / 3
    assert all(0 <= rows.start <= rows.stop <= 40 for rows, _ in boxes)
    assert all(0 <= columns.start <= columns.stop <= 60 for _, columns in boxes)


@pytest.mark.parametrize("dense", [False, True])
def test_cutmix_moves_pixel_labels_with_their_pixels_ignored_ones_too(dense):
    images, targets, partners = batch(5, 7)
    targets[0, 1] = targets[3, 2] = 255
    labels = one_hot(targets.where(targets != 255, 0), K).movedim(-1, 1).float() if dense else targets
    box = slice(1, 4), slice(2, 9)

    pasted, moved = cutmix(images, labels, box=box, partners=partners, num_classes=K, ignore_index=255)

    source = pasted[:, 0].long()  # the sample that each pixel is from
    rows, columns = torch.arange(5)[:, None], torch.arange(7)
    expected = labels.movedim(1, -1)[source, rows, columns].movedim(-1, 1) if dense else labels[source, rows, columns]
    assert moved.dtype == labels.dtype
    assert torch.equal(moved, expected)


def test_pixel_ignored_in_either_image_is_ignored_after_mixup():
    images, targets, _ = batch(5, 7, count=2)
    targets[0, 0, 0] = targets[1, 4, 4] = 255
    partners = torch.tensor([1, 0])

    _, soft = mixup(images, targets, share=0.3, partners=partners, num_classes=K, ignore_index=255)

    mass = soft.sum(dim=1)
    ignored = torch.zeros(5, 7, dtype=torch.bool)
    ignored[0, 0] = ignored[4, 4] = True
    assert soft.shape == (2, K, 5, 7)
    assert torch.equal(mass == 0, ignored.expand(2, 5, 7))
    torch.testing.assert_close(mass[~ignored.expand(2, 5, 7)], torch.ones(66))
    assert make_loss("ls", 0.1, reduction="none")(torch.zeros(2, K, 5, 7), soft)[0, 4, 4] == 0


@given(seeds, shares, st.floats(-1, 0.99))
@settings(max_examples=50)
def test_effective_smoothing_is_what_mixed_then_smoothed_targets_put_off_their_largest_class(seed, share, alpha):
    images, targets, partners = batch(seed=seed)
    soft = mixup(images, targets, share=share, partners=partners, num_classes=K)[1].double()

    actual = effective_smoothing(float(soft.amax(dim=1).mean()), num_classes=K, alpha=alpha)

    assert actual == pytest.approx(float((1 - smooth_targets(soft, K, alpha).amax(dim=1)).mean()), abs=1e-9)


def test_effective_smoothing_of_unmixed_targets_is_exact():
    assert effective_smoothing(1.0, num_classes=62, alpha=0.1) == 0.1 - 0.1 / 62
    assert effective_smoothing(1.0, num_classes=62, alpha=0.0) == 0.0


def test_smoothing_before_mixing_smooths_one_component_only_unless_both_are_distributions():
    images, first, partners = batch(seed=1)
    second, alpha, share = first[partners], 0.2, 0.7
    settings = {"share": share, "partners": partners, "num_classes": K}

    mixed_first = smooth_targets(mixup(images, first, **settings)[1], K, alpha)
    one_smoothed = share * smooth_targets(first, K, alpha) + (1 - share) * one_hot(second, K)
    both_smoothed = mixup(images, smooth_targets(first, K, alpha), **settings)[1]

    torch.testing.assert_close(mixed_first, both_smoothed)
    torch.testing.assert_close(one_smoothed - mixed_first, alpha * (1 - share) * (one_hot(second, K) - 1 / K))
    off = 1 - one_smoothed[first == second].amax(dim=1)
    torch.testing.assert_close(off, torch.full_like(off, share * (alpha - alpha / K)))


def test_loss_of_mixed_targets_smooths_them_after_mixing():
    images, targets, partners = batch()
    soft = mixup(images, targets, share=0.7, partners=partners, num_classes=K)[1]
    logits = torch.randn(6, K, generator=torch.Generator().manual_seed(0))

    actual = make_loss("ls", 0.2)(logits, soft)

    expected = torch.nn.functional.cross_entropy(logits, smooth_targets(soft, K, 0.2))
    torch.testing.assert_close(actual, expected)


def kinds_drawn(recipe, count=200):
    images, targets, _ = batch(size=30)
    kinds = []
    for seed in range(count):
        torch.manual_seed(seed)
        inputs, soft = mixed(images, targets, recipe, num_classes=K)
        whole = inputs == inputs.round()  # pixels of mixup are blends
        kinds.append("none" if soft is targets else "cutmix" if whole.all() else "mixup")
    return [kinds.count(kind) for kind in ("none", "mixup", "cutmix")]


def test_each_step_draws_one_of_the_methods_of_the_recipe():
    assert kinds_drawn(Recipe(**SGD)) == [200, 0, 0]
    assert kinds_drawn(Recipe(**SGD, mixup=MixUp(alpha=1.0))) == [0, 200, 0]
    none, blended, pasted = kinds_drawn(Recipe(**SGD, cutmix=CutMix(probability=0.25)))
    assert blended == 0 and 30 < pasted < 70
    none, blended, pasted = kinds_drawn(Recipe(**SGD, mixup=MixUp(alpha=1.0), cutmix=CutMix()))
    assert none == 0 and 70 < blended < 130


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 1000.0])
def test_shares_follow_the_beta_distribution(alpha):
    inputs, targets = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    recipe, found = Recipe(**SGD, mixup=MixUp(alpha=alpha)), []
    for seed in range(400):
        torch.manual_seed(seed)
        blended, _ = mixed(inputs, targets, recipe, num_classes=2)
        found.append(float(blended[1]))
    shares = torch.tensor(found, dtype=torch.float64)

    assert ((shares >= 0) & (shares <= 1)).all()
    # Every other time a sample is its own partner, and then its share is 1.
    variance = 1 / (4 * (2 * alpha + 1))
    assert float(shares.mean()) == pytest.approx((1 + 0.5) / 2, abs=0.08)
    assert float((shares * (1 - shares)).mean()) == pytest.approx((0.25 - variance) / 2, abs=0.015)


def test_nothing_is_drawn_where_nothing_is_mixed():
    images, targets, _ = batch()
    before = torch.get_rng_state()

    inputs, same = mixed(images, targets, Recipe(**SGD), num_classes=None)

    assert inputs is images and same is targets
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", [{"mixup": MixUp(alpha=1.0)}, {"cutmix": CutMix()}])
def test_memory_format_is_kept(method):
    images, targets, _ = batch()

    inputs, _ = mixed(images.to(memory_format=torch.channels_last), targets, Recipe(**SGD, **method), num_classes=K)

    assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("inputs", "targets", "method", "message"),
    [
        (
            torch.zeros(2, 3, dtype=torch.int32),
            torch.zeros(2).long(),
            "mixup",
            "floating-point inputs, got torch.int32",
        ),
        (torch.zeros(2, 3), torch.zeros(2).long(), "cutmix", r"needs images \(B, C, H, W\), got inputs \(2, 3\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 3).long(), "cutmix", "as large as images, 4 x 4, got"),
    ],
)
def test_what_cannot_be_mixed_is_refused(inputs, targets, method, message):
    recipe = Recipe(**SGD, **{method: {"alpha": 1.0}})
    with pytest.raises(ValueError, match=message):
        mixed(inputs, targets, recipe, num_classes=K)


def test_mixing_needs_the_number_of_classes():
    with pytest.raises(ValueError, match="num_classes must be given where samples are mixed"):
        mixed(*batch()[:2], Recipe(**SGD, mixup=MixUp(alpha=1.0)), num_classes=None)
