"""Values and gradients of the peers' own code, in float64."""

import json
from pathlib import Path

import pytest
import torch

from unsmooth.losses import LabelSmoothing, MarginLabelSmoothing, make_loss, smooth_targets

PEERS = json.loads((Path(__file__).parents[1] / "reference_values" / "losses" / "peers.json").read_text())
KINDS = {
    "CE": "ce",
    "LabelSmoothingCrossEntropy": "ls",
    "FocalLoss": "focal",
    "FocalLossAdaptive": "flsd",
    "PenaltyEntropy": "ecp",
    "LogitMarginL1": "mbls",
    "PenaltyL1": "l1",
    "MMCE": "mmce",
    "MMCE_weighted": "mmce_weighted",
    "BrierScore": "brier",
}
STRENGTHS = ("alpha", "gamma", "lamda")


def named(entry):
    return f"{entry['name']}-{entry.get('input')}-{sorted(entry['params'].items())}"


def ours(entry):
    """The loss with an entry's settings."""
    params = entry["params"]
    alpha = next((params[name] for name in STRENGTHS if name in params), 0.0)
    settings = {name: params[name] for name in ("margin", "ignore_index", "reduction") if name in params}
    if "size_average" in params:
        settings["reduction"] = "mean" if params["size_average"] else "sum"
    return make_loss(KINDS[entry["name"]], alpha, **settings)


def batch(entry):
    found = PEERS["inputs"][entry["input"]]
    return torch.tensor(found["logits"], dtype=torch.float64, requires_grad=True), torch.tensor(found["targets"])


WITH_VALUES = [entry for entry in PEERS["entries"] if entry["name"] in KINDS and entry["value"] is not None]


@pytest.mark.parametrize("entry", WITH_VALUES, ids=named)
def test_value_and_gradient_equal_the_peers(entry):
    logits, targets = batch(entry)
    tolerance = 1e-8 if entry["name"] == "MMCE_weighted" else 1e-12

    value = ours(entry)(logits, targets)
    value.sum().backward()

    gradient = torch.tensor(entry["grad"], dtype=torch.float64)
    kept = value[targets != entry["params"].get("ignore_index", -100)] if value.ndim else value
    torch.testing.assert_close(kept, torch.tensor(entry["value"], dtype=torch.float64), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(logits.grad, gradient, rtol=tolerance, atol=tolerance)


def test_every_loss_of_the_peers_is_compared():
    assert {entry["name"] for entry in WITH_VALUES} == set(KINDS) and len(WITH_VALUES) == 64


FAILING = [entry for entry in PEERS["entries"] if entry["name"] in KINDS and entry["value"] is None]


@pytest.mark.parametrize("entry", FAILING, ids=named)
def test_ignored_pixels_are_left_out_where_the_peers_fail(entry):
    logits, targets = batch(entry)
    loss = ours(entry)
    loss.ignore_index = 255
    kept = targets != 255

    value = loss(logits, targets)

    alone = ours(entry)(logits.movedim(1, -1)[kept], targets[kept])
    torch.testing.assert_close(value, alone)


SCHEDULES = [entry for entry in PEERS["entries"] if entry["name"] == "LogitMarginL1.schedule_alpha"]


@pytest.mark.parametrize("entry", SCHEDULES, ids=named)
def test_margin_schedule_equals_the_peers(entry):
    params = dict(entry["params"])
    alpha = params.pop("alpha0")
    params["schedule"] = params["schedule"] or "none"
    loss = MarginLabelSmoothing(alpha, **params)

    found = []
    for epoch in range(1, 9):  # the peers change alpha after an epoch, ours before the next
        loss.start_epoch(epoch, 9)
        found.append(loss.alpha)

    assert found == entry["value"]


COMPOSER = [entry for entry in PEERS["entries"] if entry["name"].startswith("smooth_labels+soft") and entry["value"]]


@pytest.mark.parametrize("entry", COMPOSER, ids=named)
def test_composers_smoothed_targets_and_loss(entry):
    logits, targets = batch(entry)
    reduction = {"_sum": "sum", "_none": "none"}.get(
        entry["name"].removeprefix("smooth_labels+soft_cross_entropy"), "mean"
    )
    alpha = entry["params"]["smoothing"]
    if entry["params"]["target_kind"] == "dense":
        targets = torch.nn.functional.one_hot(targets, logits.shape[1]).double()

    value = LabelSmoothing(alpha, reduction=reduction)(logits, targets)
    value.sum().backward()

    # Composer's targets are float32.
    torch.testing.assert_close(value, torch.tensor(entry["value"], dtype=torch.float64), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(logits.grad, torch.tensor(entry["grad"], dtype=torch.float64), rtol=1e-6, atol=1e-7)
    smoothed = smooth_targets(targets, logits.shape[1], alpha)
    torch.testing.assert_close(smoothed.float(), torch.tensor(entry["smoothed_targets"]), rtol=1e-6, atol=1e-7)
