"""Losses and monitors inside what `torch.compile` compiles."""

import pytest
import torch

from unsmooth.losses import make_loss
from unsmooth.monitors import AUGRC, AURC, CoverageAtRisk
from unsmooth.registry.losses import LOSSES


@pytest.mark.filterwarnings("ignore:(Dynamo does not know how|The .grad attribute of a Tensor):UserWarning")
@pytest.mark.parametrize("kind", LOSSES)
def test_compiled_loss_has_the_value_and_gradient_of_the_plain_one(kind):
    generator = torch.Generator().manual_seed(0)
    logits, teacher = torch.randn(2, 32, 5, generator=generator)
    targets = torch.randint(5, (32,), generator=generator)
    targets[3] = -100
    inputs = (targets, teacher) if kind == "distillation" else (targets,)
    found = []
    for compiled in (False, True):
        loss = make_loss(kind, 0.3 if LOSSES[kind].alpha else 0.0, num_classes=5)
        loss.start_epoch(0, 2)
        call = torch.compile(loss, backend="aot_eager") if compiled else loss
        point = logits.clone().requires_grad_()
        value = call(point, *inputs)
        value.backward()
        found.append((value.detach(), point.grad))
    torch._dynamo.reset()

    torch.testing.assert_close(found[1], found[0])


@pytest.mark.filterwarnings("ignore:Dynamo :UserWarning")
@pytest.mark.parametrize("make", [AURC, AUGRC, lambda: CoverageAtRisk(risk=0.1)])
def test_metric_inside_a_compiled_step_equals_the_plain_one(make):
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(64, 5, generator=generator), torch.randint(5, (64,), generator=generator)
    plain, compiled = make(), make()
    step = torch.compile(compiled.update, backend="eager")
    for rows, classes in zip(logits.split(16), targets.split(16), strict=True):
        plain.update(rows, classes)
        step(rows, classes)
    torch._dynamo.reset()

    assert float(compiled.compute()) == float(plain.compute())
