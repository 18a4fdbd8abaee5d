"""The gradient that smoothing adds to the largest logit, and the statistics that show it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from unsmooth.theory import (
    expected_extra_gradient,
    extra_gradient,
    gradient_by_estimated_error,
    gradient_by_exact_error,
    loss_gradient,
    peak,
    window_statistics,
)

RELEASED = json.loads((Path(__file__).parent / "reference_values" / "data" / "window_average.json").read_text())


def autograd_gradient(logits, targets, alpha):
    """Per-sample gradient of (1 - alpha) (-log pi_y) - alpha / K sum_k log pi_k, any alpha."""
    v = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    log_probs = torch.log_softmax(v, dim=1)
    picked = log_probs.gather(1, torch.tensor(targets)[:, None]).sum()
    (-(1.0 - alpha) * picked - alpha * log_probs.mean(dim=1).sum()).backward()
    return v.grad.numpy()


def random_logits(n=64, k=7, scale=3.0, seed=0):
    generator = np.random.default_rng(seed)
    return scale * generator.normal(size=(n, k)), generator.integers(0, k, n)


@pytest.mark.parametrize("alpha", [-0.4, 0.0, 0.1, 0.5, 0.9])
def test_loss_gradient_equals_autograd(alpha):
    logits, targets = random_logits()

    np.testing.assert_allclose(
        loss_gradient(logits, targets, alpha=alpha), autograd_gradient(logits, targets, alpha), atol=1e-14
    )


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.6])
def test_loss_gradient_equals_that_of_torch_cross_entropy(alpha):
    logits, targets = random_logits()
    v = torch.tensor(logits, requires_grad=True)
    torch.nn.functional.cross_entropy(v, torch.tensor(targets), label_smoothing=alpha, reduction="sum").backward()

    np.testing.assert_allclose(loss_gradient(logits, targets, alpha=alpha), v.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize(
    ("name", "alpha"),
    [("CE", 0.0), ("torch_CE_LS_0.2", 0.2), ("torch_CE_LS_0.6", 0.6), ("official_CrossEntropyLossGLS_-0.4", -0.4)],
)
def test_loss_gradient_equals_the_released_values(name, alpha):
    logits, targets = np.float32(RELEASED["logits"][:16]), np.array(RELEASED["targets"][:16])

    gradient = loss_gradient(logits, targets, alpha=alpha)[0] / 16

    np.testing.assert_allclose(gradient, RELEASED["gradients"][name]["grad_row0"], rtol=1e-4, atol=1e-8)


def test_rows_of_the_loss_gradient_sum_to_zero_even_for_huge_logits():
    gradient = loss_gradient([[1e4, -1e4, 0.0]], [1], alpha=0.3)

    np.testing.assert_allclose(gradient, [[1.0 - 0.1, -0.7 - 0.1, -0.1]], atol=1e-15)
    assert gradient.sum() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("alpha", [-0.2, 0.1, 0.4])
def test_extra_gradient_is_the_difference_of_the_loss_gradients_at_the_largest_logit(alpha):
    logits, targets = random_logits()
    prediction = logits.argmax(axis=1)
    difference = loss_gradient(logits, targets, alpha=alpha) - loss_gradient(logits, targets)

    extra = extra_gradient(prediction == targets, alpha=alpha, num_classes=7)

    np.testing.assert_allclose(extra, difference[np.arange(64), prediction], atol=1e-14)


def test_expected_extra_gradient_is_the_mean_over_targets_drawn_from_the_posterior():
    posterior = np.array([0.6, 0.3, 0.1])
    predicted = 1
    mean = sum(p * extra_gradient([predicted == y], alpha=0.4, num_classes=3)[0] for y, p in enumerate(posterior))

    assert expected_extra_gradient(1 - 0.3, alpha=0.4, num_classes=3) == pytest.approx(mean)


def test_expected_extra_gradient_vanishes_where_the_prediction_is_a_guess():
    assert expected_extra_gradient(1 - 1 / 4, alpha=0.3, num_classes=4) == pytest.approx(0.0)


def test_smoothing_pushes_sure_predictions_down_harder_and_negative_smoothing_pushes_them_up():
    error = np.linspace(0.0, 0.7, 8)

    smoothed = expected_extra_gradient(error, alpha=0.2, num_classes=10)
    negative = expected_extra_gradient(error, alpha=-0.2, num_classes=10)

    assert (smoothed > 0).all() and (np.diff(smoothed) < 0).all()
    np.testing.assert_allclose(negative, -smoothed)


def test_peak_on_a_hand_computed_case():
    top = peak([[0.0, np.log(3.0)], [np.log(4.0), 0.0]])

    assert top.prediction.tolist() == [1, 0]
    np.testing.assert_allclose(top.max_logit, np.log([3.0, 4.0]))
    np.testing.assert_allclose(top.probability, [0.75, 0.8])
    np.testing.assert_allclose(top.odds, [1 / 3, 1 / 4])


def test_peak_ranks_confidences_whose_probability_rounds_to_one():
    top = peak([[50.0, 0.0], [60.0, 0.0], [700.0, 0.0]])

    assert (top.probability == 1.0).all()
    assert (np.diff(top.odds) < 0).all()


@pytest.mark.parametrize("outcome", ["correct", "wrong"])
def test_windows_equal_the_released_values(outcome):
    top = peak(np.float32(RELEASED["logits"]))
    mask = (top.prediction == np.array(RELEASED["targets"])) == (outcome == "correct")
    expected = {name: np.array(RELEASED["window"][outcome][name], dtype=float) for name in ("mean", "std")}

    found = window_statistics(top.probability[mask], top.max_logit[mask], width=0.05, step=0.005)

    # The released code drifts to 190 windows and loses the last one.
    assert len(found.centre) == len(expected["mean"]) + 1
    np.testing.assert_allclose(found.mean[:-1], expected["mean"], rtol=1e-6)
    np.testing.assert_allclose(found.std[:-1], expected["std"], rtol=1e-5)
    assert (found.samples[:-1] > 0).tolist() == np.isfinite(expected["mean"]).tolist()


def test_windows_equal_a_direct_selection():
    generator = np.random.default_rng(1)
    position, value = generator.uniform(size=500), 1e6 + generator.normal(size=500)

    found = window_statistics(position, value, width=0.1, step=0.03)

    assert len(found.centre) == 31
    for centre, mean, std, samples in zip(*found, strict=True):
        chosen = value[(position > centre - 0.05) & (position < centre + 0.05)]
        assert samples == len(chosen)
        assert mean == pytest.approx(chosen.mean(), rel=1e-14)
        assert std == pytest.approx(chosen.std(ddof=1), rel=1e-9)


def test_windows_are_open_at_both_ends_and_empty_ones_are_nan():
    found = window_statistics([0.0, 0.25, 0.5], [1.0, 2.0, 3.0], width=0.5, step=0.5)

    assert found.samples.tolist() == [1, 0]
    assert found.mean[0] == 2.0
    assert np.isnan(found.mean[1]) and np.isnan(found.std).all()


def gaussian_mixture(n, seed):
    """Three overlapping classes on a line, logits that are the true log posterior plus noise, and sampled targets."""
    generator = np.random.default_rng(seed)
    means = np.array([-1.0, 0.0, 1.5])
    x = means[generator.integers(0, 3, n)] + generator.normal(size=n)
    log_joint = -((x[:, None] - means) ** 2) / 2
    posterior = np.exp(log_joint) / np.exp(log_joint).sum(axis=1, keepdims=True)
    targets = (generator.uniform(size=(n, 1)) > posterior.cumsum(axis=1)).sum(axis=1)
    return log_joint + generator.normal(scale=0.5, size=(n, 3)), targets, posterior


def test_binned_gradient_follows_the_line_within_its_standard_errors():
    binned = gradient_by_exact_error(*gaussian_mixture(20000, seed=2), alpha=0.3, bins=10)
    used = binned.samples > 50

    expected = expected_extra_gradient(binned.error[used], alpha=0.3, num_classes=3)
    z = (binned.gradient[used] - expected) / binned.gradient_se[used]

    assert used.sum() >= 7
    assert np.mean(z**2) < 2.5
    assert np.abs(z).max() < 3.5


def test_binned_gradient_of_a_deterministic_posterior_is_exact():
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    posterior = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])

    binned = gradient_by_exact_error(logits, [0, 1, 1], posterior, alpha=0.2, bins=4)

    assert binned.samples.tolist() == [2, 0, 0, 1]
    np.testing.assert_allclose(binned.error[[0, 3]], [0.0, 1.0])
    np.testing.assert_allclose(binned.gradient[[0, 3]], [0.2 * 0.5, -0.2 * 0.5])
    assert np.isnan(binned.gradient[1:3]).all()


def test_estimated_error_comes_from_validation_and_the_gradient_from_test():
    val_logits = np.array([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    test_logits = np.array([[5.0, 0.0], [3.5, 0.0], [0.5, 0.0]])

    binned = gradient_by_estimated_error(val_logits, [0, 0, 1, 0], test_logits, [0, 1, 0], alpha=0.2, bins=2)

    np.testing.assert_allclose(binned.error, [0.0, 0.5])
    np.testing.assert_allclose(binned.gradient, [0.0, 0.1], atol=1e-15)  # half and all of the test samples are right
    assert binned.samples.tolist() == [2, 1]
    assert binned.error_se[0] == pytest.approx(np.sqrt(3 / 4 * 1 / 4 / 2))  # two of two right is not certainty


def test_estimated_error_follows_the_line_within_its_standard_errors():
    val_logits, val_targets, _ = gaussian_mixture(8000, seed=3)
    test_logits, test_targets, _ = gaussian_mixture(8000, seed=4)

    binned = gradient_by_estimated_error(val_logits, val_targets, test_logits, test_targets, alpha=-0.2, bins=8)

    expected = expected_extra_gradient(binned.error, alpha=-0.2, num_classes=3)
    z = (binned.gradient - expected) / np.hypot(binned.gradient_se, 0.2 * binned.error_se)
    assert np.abs(z).max() < 3.5
    assert binned.samples.sum() == 8000


def test_tensors_with_gradients_or_in_half_precision_count_as_their_values():
    logits, targets = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([1, 1])
    posterior = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.bfloat16, requires_grad=True)
    expected = gradient_by_exact_error(logits.numpy(), [1, 1], [[0.25, 0.75], [0.5, 0.5]], alpha=0.1, bins=2)

    for found, wanted in zip(
        gradient_by_exact_error(logits, targets, posterior, alpha=0.1, bins=2), expected, strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert expected_extra_gradient(posterior[1], alpha=0.2, num_classes=4) == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loss_gradient([[0.0, 1.0]], [2]), r"targets must be class indices in 0\.\.1, got 2 at row 0"),
        (lambda: loss_gradient([[0.0, 1.0]], [0, 1]), "targets has 2 rows but the predictions has 1"),
        (lambda: loss_gradient([[0.0, 1.0]], [0.5]), r"targets must be class indices in 0\.\.1, got 0\.5 at row 0"),
        (lambda: loss_gradient([[0.0, 1.0]], [0], alpha=1.2), "alpha must be below 1, got 1.2"),
        (lambda: peak([[0.0, 1.0], [np.nan, 1.0]]), r"logits must be finite, got \[nan  1\.\] at row 1"),
        (lambda: peak([[0.0]]), r"K at least 2, got \(1, 1\)"),
        (lambda: window_statistics([0.1], [1.0, 2.0]), "position and value must both have shape"),
        (lambda: window_statistics([0.1], [1.0], width=0.0), r"width must be in \(0, 1\]"),
        (lambda: window_statistics([0.1, 95.0], [1.0, 2.0]), r"position must be in \[0, 1\], got 95.0 at row 1"),
        (lambda: extra_gradient([1, 3], alpha=0.1, num_classes=4), r"correct must be in \[0, 1\], got 3.0 at row 1"),
        (lambda: extra_gradient([True], alpha=0.1, num_classes=1), "num_classes must be at least 2, got 1"),
        (
            lambda: expected_extra_gradient(20, alpha=0.1, num_classes=4),
            r"error_probability must be in \[0, 1\], got 20.0 at row 0",
        ),
        (lambda: gradient_by_exact_error([[0.0, 1.0]], [0], [[1.0]], alpha=0.1), "posterior must have the shape"),
        (
            lambda: gradient_by_exact_error([[0.0, 1.0]], [0], [[10.0, 90.0]], alpha=0.1),
            r"posterior must be probabilities, with rows that sum to 1, got \[10\. 90\.\] at row 0",
        ),
        (lambda: gradient_by_exact_error([[0.0, 1.0]], [0], [[0.1, 0.9]], alpha=0.1, bins=0), "bins must be at least"),
        (
            lambda: gradient_by_estimated_error([[0.0, 1.0]], [0], [[0.0, 1.0]], [0], alpha=0.1),
            "bins must be at most the number of validation samples, 1, got 10",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
