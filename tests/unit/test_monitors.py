import json
import pickle
import subprocess
import sys
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from unsmooth.metrics import UndefinedMetricWarning, augrc, aurc, coverage_at_risk
from unsmooth.monitors import AUGRC, AURC, CoverageAtRisk
from unsmooth.scores import FittedScore, energy, gen, max_logit_pnorm, msp

METRICS = [
    (AURC, {}, aurc, {}),
    (AUGRC, {}, augrc, {}),
    (CoverageAtRisk, {"risk": 0.1}, coverage_at_risk, {"risk": 0.1}),
]


def batches(count=4, size=50, classes=5):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        targets = torch.randint(classes, (size,), generator=generator)
        yield torch.randn(size, classes, generator=generator) + 2 * torch.eye(classes)[targets], targets


def whole():
    logits, targets = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    return logits, targets, (logits.argmax(1) != targets).numpy()


@pytest.mark.parametrize(("metric", "arguments", "function", "options"), METRICS)
def test_batches_give_the_metric_of_all_samples(metric, arguments, function, options):
    monitor = metric(**arguments)
    for logits, targets in batches():
        monitor.update(logits, targets)
    logits, _, errors = whole()

    assert float(monitor.compute()) == function(msp(logits), errors, **options)


@pytest.mark.parametrize(("metric", "arguments", "function", "options"), METRICS)
def test_confidences_and_errors_are_taken_as_they_are(metric, arguments, function, options):
    confidence, errors = np.random.default_rng(0).random(100), np.random.default_rng(1).random(100) < 0.2
    monitor = metric(**arguments)
    monitor.update(torch.from_numpy(confidence), torch.from_numpy(errors))

    assert float(monitor.compute()) == function(confidence, errors, **options)


def test_softmax_outputs_count_as_their_logits():
    logits, targets, errors = whole()
    monitor = AURC()
    monitor.update(logits.softmax(1), targets)

    assert float(monitor.compute()) == pytest.approx(aurc(msp(logits), errors), rel=1e-4)


@pytest.mark.parametrize("score", [msp, FittedScore("max_logit_pnorm", {"p": 4}), partial(gen, gamma=0.2)])
def test_softmax_outputs_in_batches_of_any_size_count_as_their_logits(score):
    logits, targets, errors = whole()
    values = []
    for size in (7, len(logits)):
        monitor = AURC(score=score)
        for rows, classes in zip(logits.softmax(1).split(size), targets.split(size), strict=True):
            monitor.update(rows, classes)
        values.append(float(monitor.compute()))

    assert values[0] == values[1] == pytest.approx(aurc(score(logits), errors), rel=1e-4)


def test_percent_count_as_their_logits():
    logits, targets, errors = whole()
    monitor = AURC()
    monitor.update(100 * logits.softmax(1), targets)

    assert float(monitor.compute()) == pytest.approx(aurc(msp(logits), errors), rel=1e-4)


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match="preds and target must be tensors, got ndarray and list"):
        AURC().update(np.zeros((2, 3)), [0, 1])


def test_saturated_softmax_outputs_are_ties_not_failures():
    monitor = AURC()
    monitor.update(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))

    assert float(monitor.compute()) == 0.5


@pytest.mark.parametrize("score", [FittedScore("max_logit_pnorm", {"p": 5}), FittedScore("negative_entropy"), gen])
def test_rounded_away_probabilities_are_refused_but_by_msp(score):
    probs, targets = torch.tensor([[0.5, 0.25, 0.25], [0.75, 0.25, 0.0]]), torch.tensor([0, 1])
    monitor = AURC(score=score)
    monitor.update(probs, targets)
    with pytest.raises(ValueError, match="1 rows with a probability of zero, the first is row 1"):
        monitor.compute()


@pytest.mark.parametrize("score", [None, msp, FittedScore("msp"), FittedScore("hts", fell_back=True)])
def test_rounded_away_probabilities_are_the_surest_for_msp(score):
    monitor = AURC(score=score)
    monitor.update(torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.9, 0.1, 0.0]]), torch.tensor([1, 0, 0]))

    assert float(monitor.compute()) == aurc([0, 2, 1], [1, 0, 0])


@pytest.mark.parametrize("score", [energy, FittedScore("max_logit_pnorm", {"p": 5, "centring": "none"})])
def test_softmax_outputs_are_refused_by_what_depends_on_the_mean(score):
    logits, targets, _ = whole()
    monitor = AURC(score=score)
    monitor.update(logits.softmax(1), targets)
    with pytest.raises(ValueError, match="mean of the logits"):
        monitor.compute()


def test_confidence_that_is_not_finite_is_refused_for_any_score():
    with pytest.raises(ValueError, match="row 0 is not finite"):
        AURC(score=lambda logits: logits[:, 0] / 0).update(torch.ones(1, 2), torch.tensor([0]))


def test_another_score_ranks_the_samples():
    logits, targets, errors = whole()
    monitor = AURC(score=FittedScore("max_logit_pnorm", {"p": 4}))
    monitor.update(logits, targets)

    assert float(monitor.compute()) == aurc(max_logit_pnorm(logits, p=4), errors)


def test_ignored_targets_are_left_out():
    logits, targets, errors = whole()
    kept = torch.arange(len(targets)) % 3 > 0
    monitor = AURC(ignore_index=-100)
    monitor.update(logits, torch.where(kept, targets, -100))

    assert float(monitor.compute()) == aurc(msp(logits)[kept], errors[kept.numpy()])


@pytest.mark.parametrize("size", [1, 7])
def test_batch_that_looks_like_softmax_outputs_is_no_softmax_output_among_logits(size):
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(400, 2, generator=generator), torch.randint(2, (400,), generator=generator)
    logits[:2] = torch.tensor([[3.0, 1.0], [1.0, 0.0]])
    monitor = AURC()
    for rows, classes in zip(logits.split(size), targets.split(size), strict=True):
        monitor.update(rows, classes)

    assert float(monitor.compute()) == aurc(msp(logits), (logits.argmax(1) != targets).numpy())


@pytest.mark.parametrize("score", [None, energy])
def test_forward_takes_a_batch_after_logits_for_logits(score):
    logits, targets = torch.tensor([[3.0, 1.0], [1.0, 0.0], [0.2, 0.8]]), torch.tensor([0, 1, 0])
    forward, whole = AURC(score=score), AURC(score=score)
    values = [float(forward(logits[row : row + 1], targets[row : row + 1])) for row in range(3)]
    whole.update(logits, targets)

    assert values == [0.0, 1.0, 1.0]
    assert float(forward.compute()) == float(whole.compute())


def test_targets_of_two_classes_may_be_truth_values():
    logits, targets = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
    whole, truths = AURC(), AURC()
    whole.update(logits, targets)
    truths.update(logits, targets == 1)

    assert truths.compute() == whole.compute()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("ignored", [-100, 255, None])
def test_targets_of_any_integer_type_count_alike(dtype, ignored):
    logits = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(300) % 200
    targets[::7] = 156 if ignored != 255 else 255
    found = []
    for classes in (targets, targets.to(dtype)):
        monitor = AURC(ignore_index=ignored)
        monitor.update(logits, classes)
        found.append(float(monitor.compute()))

    assert found[0] == found[1]


def test_collection_keeps_metrics_of_other_settings_apart():
    logits, targets, errors = whole()
    pnorm = FittedScore("max_logit_pnorm", {"p": 4})
    collection = MetricCollection({"msp": AURC(), "too": AUGRC(), "pnorm": AURC(score=pnorm)})
    collection.update(logits[:0], targets[:0])
    collection.update(logits, targets)
    found = collection.compute()

    assert float(found["msp"]) == aurc(msp(logits), errors) != float(found["pnorm"])
    assert float(found["pnorm"]) == aurc(pnorm(logits), errors)
    assert sorted(map(len, collection.compute_groups.values())) == [1, 2]


def test_value_can_be_plotted():
    logits, targets, _ = whole()
    monitor = AURC()
    monitor.update(logits, targets)
    figure, axes = monitor.plot()

    assert axes.get_ylim()[0] <= float(monitor.compute())
    plt.close(figure)


def test_reset_forgets_and_forward_returns_the_batch():
    logits, targets, errors = whole()
    monitor = AURC()
    monitor.update(logits.flip(1), targets)
    monitor.reset()

    assert float(monitor(logits, targets)) == aurc(msp(logits), errors)
    assert float(monitor.compute()) == aurc(msp(logits), errors)


@pytest.mark.parametrize(
    ("mine", "other", "reason"),
    [
        (AURC(), AURC(score=FittedScore("energy")), "name='msp'.* got one with .*name='energy'"),
        (AUGRC(ignore_index=255), AUGRC(), "'ignore_index': 255.*'ignore_index': None"),
        (CoverageAtRisk(risk=0.1), CoverageAtRisk(risk=0.2), "'risk': 0.1.*'risk': 0.2"),
        (
            AURC(),
            AURC(score=energy).metric_state,
            "needs the state of a metric with the settings .*name='msp'.* another",
        ),
    ],
)
def test_metrics_of_other_settings_are_not_merged(mine, other, reason):
    with pytest.raises(ValueError, match=reason):
        mine.merge_state(other)


@pytest.mark.parametrize("as_state", [False, True])
def test_merged_metrics_give_the_metric_of_all_samples(as_state):
    logits, targets, errors = whole()
    mine, other = AURC(score=msp), AURC()  # the same score
    mine.update(logits[:70], targets[:70])
    other.update(logits[70:], targets[70:])
    mine.merge_state(other.metric_state if as_state else other)

    assert float(mine.compute()) == aurc(msp(logits), errors)


def test_no_samples_are_nan_with_a_warning():
    monitor = AURC()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``compute`` method of metric", UserWarning)
        with pytest.warns(UndefinedMetricWarning):
            value = monitor.compute()

    assert value.isnan()


def test_empty_batches_change_nothing():
    logits, targets, errors = whole()
    monitor = AURC()
    monitor.update(logits[:0], targets[:0])
    monitor.update(logits, targets)

    assert float(monitor.compute()) == aurc(msp(logits), errors)


@pytest.mark.parametrize(
    ("preds", "target", "reason"),
    [
        (torch.zeros(3, 2, 2), torch.zeros(3), "must be"),
        (torch.zeros(3, 2), torch.zeros(4), "must be"),
        (torch.tensor([0.1, torch.nan]), torch.tensor([0, 1]), "row 1 is not finite"),
        (torch.tensor([0.1, 0.2]), torch.tensor([0, 2]), "0 or 1"),
        (torch.tensor([[0.1, torch.nan]]), torch.tensor([0]), "row 0"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "class indices in 0..2, or ignore_index, got 3"),
        (torch.zeros(2, 3), torch.tensor([0.5, 0.0]), "class indices in 0..2, or ignore_index, got 0.5"),
        (torch.zeros(2, 3), torch.tensor([-100, 0]), "class indices in 0..2, or ignore_index, got -100"),
        (torch.zeros(2, 3), torch.tensor([True, False]), "class indices in 0..2, got truth values"),
        (torch.zeros(2, 1), torch.tensor([0, 1]), "at least 2 classes, got K = 1"),
    ],
)
def test_bad_batches_are_refused(preds, target, reason):
    with pytest.raises(ValueError, match=reason):
        AURC().update(preds, target)


@pytest.mark.parametrize("preds", [torch.tensor([[torch.nan, 1.0]]), torch.tensor([[2.0, torch.nan]])])
@pytest.mark.parametrize("score", [None, lambda logits: logits.max(dim=1).values])
def test_refused_batch_changes_nothing(preds, score):
    probs, targets = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).softmax(1), torch.arange(60) % 2
    whole, monitor = AURC(score=score), AURC(score=score)
    whole.update(probs, targets)
    monitor.update(probs[:30], targets[:30])
    with pytest.raises(ValueError, match="row 0"):
        monitor.update(preds, torch.tensor([0]))
    monitor.update(probs[30:], targets[30:])

    assert monitor.compute() == whole.compute()


@pytest.mark.parametrize(
    ("score", "got"),
    [
        (lambda logits: logits.max(dim=1, keepdim=True).values, r"Tensor \(60, 1\)"),
        (lambda logits: logits.max(dim=1), "max"),
        (lambda logits: logits.numpy().max(axis=1), r"ndarray \(60,\)"),
    ],
)
def test_score_that_is_no_tensor_of_one_confidence_a_row_is_named(score, got):
    logits, targets = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 4

    with pytest.raises(ValueError, match=rf"score must return a tensor of shape \(60,\), got {got}"):
        AURC(score=score).update(logits, targets)


def test_sigmoid_outputs_are_refused_whatever_the_batches():
    metric = AURC()
    for row in torch.rand(40, 4, generator=torch.Generator().manual_seed(0)).split(1):
        metric.update(row, torch.tensor([0]))

    with pytest.raises(ValueError, match="sigmoid outputs, or softmax outputs that were rounded or cut"):
        metric.compute()


def test_few_logits_between_zero_and_one_are_logits():
    metric = AURC()

    assert float(metric(torch.tensor([[0.2, 0.9]]), torch.tensor([0]))) == 1.0


def test_name_of_a_score_is_refused_for_what_computes_it():
    with pytest.raises(ValueError, match=r"such as fit_score\('max_logit'\), got 'max_logit'"):
        AURC(score="max_logit")


def test_metric_can_be_moved_copied_and_stored_between_batches():
    logits, targets = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 4
    whole, moved = AURC(), AURC()
    whole.update(logits, targets)
    for part in (slice(0, 20), slice(20, 60)):
        moved.update(logits[part], targets[part])
        moved = pickle.loads(pickle.dumps(moved.to("cpu"))).clone()  # noqa: S301 - our own bytes

    assert moved.compute() == whole.compute()
    moved.reset()
    moved.update(logits, targets)
    assert moved.compute() == whole.compute()


def test_risk_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match="risk must be in"):
        CoverageAtRisk(risk=5)


def report_of_one_process(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    found = []
    # The first process has one batch and the second the others; the first has none; neither has any.
    for mine in ([0], [1, 2, 3])[rank], ([], [0, 1, 2, 3])[rank], []:
        monitors = [metric(**arguments) for metric, arguments, _, _ in METRICS]
        for number, (logits, targets) in enumerate(batches()):
            for monitor in monitors:
                if number in mine:
                    monitor.update(logits, targets)
        found.append([float(monitor.compute()) for monitor in monitors])
    print(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_two_processes_agree_with_one(tmp_path):
    from miniatures.warm_python import warm_python  # which the processes do not find

    commands = [[*warm_python(), sys.executable, __file__, str(rank), str(tmp_path)] for rank in (0, 1)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for command in commands
    ]
    printed = [run.communicate(timeout=120)[0].splitlines()[-1] for run in processes]  # gloo of torch 2.10 prints too
    uneven, lonely, nothing = zip(*map(json.loads, printed), strict=True)
    logits, _, errors = whole()
    expected = [function(msp(logits), errors, **options) for _, _, function, options in METRICS]

    assert uneven == (expected, expected)
    assert lonely == (expected, expected)
    assert np.isnan(nothing).all()


if __name__ == "__main__":
    report_of_one_process(int(sys.argv[1]), sys.argv[2])
