from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from unsmooth.logits.collection import collect_logits

INPUTS, TARGETS = (
    torch.randn(10, 4, generator=torch.Generator().manual_seed(0)),
    torch.arange(10, dtype=torch.int32) % 3,
)


class Hub(nn.Module):
    """Takes keywords and returns an object with logits, as models of Hugging Face do."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, features):
        return SimpleNamespace(logits=self.head(features))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))


def test_logits_of_a_loader_are_those_of_the_model_in_evaluation(model):
    logits, targets = collect_logits(model, DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=4))

    assert model.training
    assert torch.equal(logits, model.eval()(INPUTS))
    assert targets.dtype == torch.int64 and targets.tolist() == TARGETS.tolist()


def test_collected_logits_can_be_differentiated_and_changed(model):
    logits, targets = collect_logits(model, [(INPUTS, TARGETS)])
    temperature = torch.ones(1, requires_grad=True)
    nn.functional.cross_entropy(logits / temperature, targets).backward()
    logits -= logits.mean(dim=1, keepdim=True)

    assert temperature.grad.isfinite()


def test_mappings_are_the_arguments_of_the_model_but_for_the_targets():
    hub = Hub()
    logits, targets = collect_logits(
        hub, [{"features": INPUTS[:6], "labels": TARGETS[:6]}, {"features": INPUTS[6:], "labels": TARGETS[6:]}]
    )

    assert torch.equal(logits, hub.head(INPUTS))
    assert targets.tolist() == TARGETS.tolist()


def test_each_module_gets_its_mode_back(model):
    model[1].eval()
    collect_logits(model, [(INPUTS, TARGETS)])

    assert [module.training for module in model.modules()] == [True, True, False]


def test_output_that_is_a_mapping_holds_its_logits():
    class Head(nn.Linear):
        def forward(self, inputs):
            return {"loss": None, "logits": super().forward(inputs)}

    head = Head(4, 3)

    assert torch.equal(collect_logits(head, [(INPUTS, TARGETS)])[0], head(INPUTS)["logits"])


def test_model_that_is_no_module_is_named():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got list"):
        collect_logits([(INPUTS, TARGETS)], nn.Linear(4, 3))


def test_output_that_is_no_tensor_is_named():
    class Head(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs), inputs

    with pytest.raises(ValueError, match=r"the model must return logits \(10, K\), got tuple"):
        collect_logits(Head(4, 3), [(INPUTS, TARGETS)])


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([(INPUTS, TARGETS, TARGETS)], r"a batch must be a pair \(inputs, targets\) or a mapping, got 3 entries"),
        ([INPUTS[:2]], r"a batch must be a pair \(inputs, targets\) or a mapping, got Tensor"),
        ([(INPUTS, TARGETS + 0.5)], r"targets must be \(B,\) class indices, got torch.float32 \(10,\)"),
        ([(INPUTS, TARGETS[:, None])], r"targets must be \(B,\) class indices, got torch.int32 \(10, 1\)"),
        ([], "the loader must have at least one batch, got none"),
        (
            [{"features": INPUTS}],
            "a batch must hold its targets as one of labels, label, targets, target, got features",
        ),
        ([(INPUTS, TARGETS[:9])], r"the model must return logits \(9, K\), got \(10, 3\)"),
    ],
)
def test_loader_that_cannot_be_collected_is_named(model, loader, message):
    with pytest.raises(ValueError, match=message):
        collect_logits(model, loader)

    assert model.training
