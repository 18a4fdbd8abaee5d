"""A class that cannot occur has the logit -inf: dense targets behave as indices do, and nothing becomes nan."""

import pytest
import torch
from torch.nn import functional

from unsmooth.losses import Distillation, OnlineLabelSmoothing, make_loss

LOGITS = torch.tensor([[2.0, 1.0, -torch.inf], [0.5, 1.0, -torch.inf]], dtype=torch.float64)
TARGETS = torch.tensor([0, 1])
FINITE = [("ce", 0), ("ls", 0), ("focal", 2), ("focal", 0.5), ("flsd", 3), ("brier", 0), ("ecp", 0.1), ("l1", 0.1)]
FINITE += [("mbls", 0), ("maxsup", 0), ("logit_penalty", 0), ("mmce", 1)]
INFINITE = [("ls", 0.1), ("mbls", 0.1), ("maxsup", 0.1), ("logit_penalty", 0.1)]


def value_and_gradient(loss, targets):
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize(("kind", "alpha"), FINITE)
def test_dense_targets_have_value_and_gradient_of_indices(kind, alpha):
    loss = make_loss(kind, alpha)
    of_indices = value_and_gradient(loss, TARGETS)
    of_rows = value_and_gradient(loss, functional.one_hot(TARGETS, 3).double())

    for found, expected in zip(of_rows, of_indices, strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("kind", "alpha"), INFINITE)
def test_mass_on_a_masked_class_is_infinite_and_not_nan(kind, alpha):
    for targets in (TARGETS, functional.one_hot(TARGETS, 3).double()):
        assert make_loss(kind, alpha)(LOGITS, targets) == torch.inf


def test_masked_class_that_the_teacher_masks_too_costs_nothing():
    value, gradient = value_and_gradient(lambda z, t: Distillation(0.5)(z, t, LOGITS * 2), TARGETS)

    assert value.isfinite() and gradient.isfinite().all()


def test_learnt_soft_targets_leave_masked_classes_out():
    loss = OnlineLabelSmoothing(0.5, num_classes=3)
    loss.soft_targets = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
    value, gradient = value_and_gradient(loss, TARGETS)

    assert value.isfinite() and gradient.isfinite().all()
