import copy
import json
import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import unsmooth
from unsmooth.classifier import InfeasibleRiskWarning, SelectiveClassifier, SelectiveHead
from unsmooth.metrics import certified_threshold
from unsmooth.scores import SCORES, FittedScore, available_scores, fit_score
from unsmooth.scores.splits import split_rows

PARAMS = {
    "msp_temperature": {"temperature": 1.7},
    "max_logit_pnorm": {"p": 5, "centring": "mean"},
    "msp_pnorm": {"p": 3, "temperature": 0.1},
    "bk": {"alpha": 1.0, "beta": 0.5},
    "ets": {"temperature": 2.0, "weight": 0.3},
    "hts": {"weight": -0.4, "bias": 0.5},
}


def data(count, classes=6, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    return generator.normal(size=(count, classes)).astype(np.float32) + 3 * np.eye(classes, dtype="f4")[
        targets
    ], targets


class ReturnsMapping(torch.nn.Module):
    def forward(self, inputs):
        return {"logits": inputs}


@pytest.fixture(scope="module")
def classifier():
    return SelectiveClassifier(max_risk=0.05, delta=0.1).fit(*data(1500))


def test_import_of_the_package_loads_no_torch():
    code = "import sys, unsmooth; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert unsmooth.SelectiveClassifier is SelectiveClassifier
    assert not hasattr(unsmooth, "nonsense")


@given(count=st.integers(2, 200), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 5))
@settings(max_examples=50)
def test_split_is_a_partition_without_an_empty_part(count, fraction, seed):
    first, second = split_rows(count, fraction=fraction, seed=seed)

    assert len(first) and len(second)
    assert sorted([*first, *second]) == list(range(count))


def test_score_and_threshold_come_from_disjoint_samples(classifier):
    logits, targets = data(1500)
    fitting, certifying = split_rows(1500, fraction=0.5, seed=0)
    score = fit_score("max_logit_pnorm", logits[fitting], targets[fitting])
    errors = logits[certifying].argmax(1) != targets[certifying]

    assert classifier.score_ == score
    assert classifier.certificate_ == certified_threshold(score(logits[certifying]), errors, risk=0.05, delta=0.1)


def test_given_parameters_leave_every_sample_to_certify():
    fitted = SelectiveClassifier(params={"p": 5}).fit(*data(600))

    assert fitted.certificate_.n == 600


def test_true_risk_exceeds_the_target_no_more_often_than_delta():
    population, truth = data(50_000, seed=99)
    wrong = population.argmax(1) != truth
    misses = 0
    for seed in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InfeasibleRiskWarning)
            fitted = SelectiveClassifier(max_risk=0.02, delta=0.2).fit(*data(600, seed=seed))
        accepted = fitted.predict(population) != -1
        misses += bool(accepted.any()) and bool(wrong[accepted].mean() > 0.02)

    assert misses <= 19  # P(Binomial(60, 0.2) > 19) < 1 %


def test_predictions_are_the_argmax_or_minus_one(classifier):
    logits, _ = data(300, seed=1)
    predictions = classifier.predict(logits)
    accepted = classifier.confidence(logits) >= classifier.threshold_

    assert (predictions[accepted] == logits[accepted].argmax(1)).all()
    assert (predictions[~accepted] == -1).all()
    assert accepted.any() and not accepted.all()


def test_tensors_and_arrays_give_the_same_kind_and_values(classifier):
    logits, _ = data(50, seed=1)

    assert torch.equal(classifier.predict(torch.from_numpy(logits)), torch.from_numpy(classifier.predict(logits)))
    assert classifier.predict(logits).dtype == np.int64


def test_frames_and_lists_are_predicted_as_arrays(classifier):
    logits, _ = data(50, seed=1)
    expected = classifier.predict(logits)

    assert (classifier.predict(pd.DataFrame(logits)) == expected).all()
    assert (classifier.predict(logits.tolist()) == expected).all()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda values: pd.DataFrame(values).convert_dtypes(), id="nullable"),
        pytest.param(lambda values: pd.DataFrame(values).astype("float[pyarrow]"), id="pyarrow"),
        pytest.param(lambda values: pd.DataFrame(values).astype(object), id="object"),
        pytest.param(lambda values: values.astype(">f4"), id="big-endian"),
        pytest.param(lambda values: values[:, ::-1].copy()[:, ::-1], id="negative strides"),
    ],
)
def test_numbers_stored_otherwise_are_fitted_and_predicted_as_arrays(kind):
    logits, targets = data(400)
    expected = SelectiveClassifier(max_risk=0.2).fit(logits, targets)
    fitted = SelectiveClassifier(max_risk=0.2).fit(kind(logits), targets)

    assert fitted.threshold_ == pytest.approx(expected.threshold_, rel=1e-6)
    assert (fitted.predict(kind(logits)) == expected.predict(logits)).all()


def test_missing_number_of_a_frame_is_named_by_its_row(classifier):
    frame = pd.DataFrame(data(20)[0]).convert_dtypes()
    frame.iloc[3, 2] = pd.NA

    with pytest.raises(ValueError, match="logits must hold real numbers, got dtype object of DataFrame, <NA> at row 3"):
        classifier.predict(frame)


def test_frame_with_columns_in_another_order_is_refused():
    logits, targets = data(400, classes=3)
    frame = pd.DataFrame(logits, columns=["cat", "dog", "fox"])
    fitted = SelectiveClassifier(max_risk=0.2).fit(frame, targets)
    with pytest.raises(ValueError, match=r"columns \['cat', 'dog', 'fox'\], got \['fox', 'dog', 'cat'\]"):
        fitted.predict(frame[["fox", "dog", "cat"]])


def test_infeasible_risk_rejects_everything_with_a_warning():
    with pytest.warns(InfeasibleRiskWarning, match="everything is rejected"):
        fitted = SelectiveClassifier().fit(*data(20), max_risk=0.001)

    assert fitted.threshold_ == math.inf
    assert (fitted.predict(data(20)[0]) == -1).all()


def test_two_classes_fall_back_to_msp():
    fitted = SelectiveClassifier(max_risk=0.2).fit(*data(400, classes=2))

    assert fitted.score_.fell_back
    assert "K = 2" in fitted.score_.reason


def test_follows_scikit_learn_conventions(classifier):
    assert clone(classifier).get_params() == classifier.get_params()
    assert not hasattr(clone(classifier), "threshold_")
    assert classifier.set_params(delta=0.1) is classifier
    with pytest.raises(NotFittedError):
        clone(classifier).predict(data(5)[0])
    with pytest.raises(NotFittedError):
        clone(classifier).to_module()


def test_risk_given_to_fit_and_parameters_cannot_disagree(tmp_path):
    fitted = SelectiveClassifier(params={"p": 5}).fit(*data(500), max_risk=0.1, delta=0.2)
    fitted.save(tmp_path / "c.json")
    loaded = SelectiveClassifier.load(tmp_path / "c.json")

    for classifier in (fitted, loaded):
        assert (classifier.max_risk, classifier.delta) == (0.1, 0.2)
        assert (classifier.certificate_.risk, classifier.certificate_.delta) == (0.1, 0.2)


def test_repr_says_score_threshold_coverage_and_bound():
    fitted = SelectiveClassifier(score_name="msp", max_risk=0.1).fit(*data(800))
    found, text = fitted.certificate_, repr(fitted)

    assert "score msp, accept when the largest probability is at least 0." in text
    assert f"coverage {found.coverage:.3f}, risk bound {found.bound:.4f}, certified on 800 samples" in text
    assert "accept nothing; infeasible" in repr(infeasible())
    assert "certified" not in repr(SelectiveClassifier())


def infeasible():
    with pytest.warns(InfeasibleRiskWarning):
        return SelectiveClassifier(score_name="msp", max_risk=0.001).fit(*data(20))


def test_saved_classifier_holds_its_rule_in_words(tmp_path):
    SelectiveClassifier(score_name="msp", max_risk=0.1).fit(*data(800)).save(tmp_path / "c.json")

    assert json.loads((tmp_path / "c.json").read_text())["rule"].startswith("accept when the largest probability is")


@pytest.mark.parametrize("settings", [{}, {"params": {"p": math.inf}}, {"score_name": "logit_margin", "seed": 3}])
def test_saved_classifier_comes_back_exactly(tmp_path, settings):
    fitted = SelectiveClassifier(**settings, max_risk=0.1).fit(*data(800))
    fitted.save(tmp_path / "c.json")
    loaded = SelectiveClassifier.load(tmp_path / "c.json")
    logits, _ = data(100, seed=2)

    assert loaded.get_params() == fitted.get_params()
    assert (loaded.score_, loaded.certificate_) == (fitted.score_, fitted.certificate_)
    assert (loaded.predict(logits) == fitted.predict(logits)).all()


def test_parameters_that_are_numbers_of_numpy_are_saved(tmp_path):
    settings = {"params": {"p": np.int64(5)}, "max_risk": np.float32(0.1), "seed": np.int64(3)}
    SelectiveClassifier(**settings).fit(*data(800)).save(tmp_path / "c.json")
    loaded = SelectiveClassifier.load(tmp_path / "c.json")

    assert (loaded.params["p"], loaded.seed) == (5, 3)
    assert loaded.max_risk == np.float32(0.1)


def test_infeasible_classifier_survives_saving(tmp_path):
    with pytest.warns(InfeasibleRiskWarning):
        fitted = SelectiveClassifier().fit(*data(20))
    fitted.save(tmp_path / "c.json")
    loaded = SelectiveClassifier.load(tmp_path / "c.json")

    assert loaded.threshold_ == math.inf
    assert math.isnan(loaded.certificate_.bound)


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", "null", '{"format": "unsmooth.SelectiveClassifier"}'])
def test_foreign_json_is_refused_naming_the_file(tmp_path, text):
    (tmp_path / "foreign.json").write_text(text)

    with pytest.raises(ValueError, match=r"foreign\.json: not a saved SelectiveClassifier"):
        SelectiveClassifier.load(tmp_path / "foreign.json")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("version", 2),
        ("score", {"name": "nope"}),
        ("certificate", {}),
        ("num_classes", "six"),
        ("params", {"params": None, "surprise": 1}),
    ],
)
def test_corrupt_json_is_refused(tmp_path, classifier, entry, value):
    classifier.save(tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text()) | {entry: value}
    (tmp_path / "c.json").write_text(json.dumps(content))

    with pytest.raises(ValueError, match="not a saved SelectiveClassifier"):
        SelectiveClassifier.load(tmp_path / "c.json")


def test_bad_input_is_refused(classifier):
    logits, targets = data(50)
    with pytest.raises(ValueError, match="val_targets has .* rows but the predictions has 50"):
        SelectiveClassifier().fit(logits, targets[:-1])
    with pytest.raises(ValueError, match=r"val_targets must be class indices in 0..5, got 9 at row 3"):
        SelectiveClassifier(params={"p": 5}).fit(logits, np.where(np.arange(50) == 3, 9, targets))
    with pytest.raises(ValueError, match=r"logits must have shape \(N, K\), got \(50,\)"):
        SelectiveClassifier().fit(logits[:, 0], targets)
    with pytest.raises(ValueError, match=r"logits must have shape \(N, 6\)"):
        classifier.predict(logits[:, :5])
    with pytest.raises(ValueError, match="unknown score"):
        SelectiveClassifier(score_name="nope").fit(logits, targets)
    with pytest.raises(ValueError, match="risk must be in"):
        SelectiveClassifier(params={"p": 5}).fit(logits, targets, max_risk=2)


def test_pickled_classifier_predicts_the_same(classifier):
    logits, _ = data(30, seed=4)

    assert (pickle.loads(pickle.dumps(classifier)).predict(logits) == classifier.predict(logits)).all()


def head_of(name, logits):
    score = FittedScore(name, PARAMS.get(name, dict(SCORES[name].defaults)))
    return SelectiveHead(score, float(score(logits).median())), score


@pytest.mark.parametrize("num_classes", [6, 40])
@pytest.mark.parametrize("name", available_scores())
def test_head_equals_the_score(name, num_classes):
    logits = 3 * torch.randn(64, num_classes, generator=torch.Generator().manual_seed(0))
    logits[3, 2] = -torch.inf
    head, score = head_of(name, logits)
    predictions, confidence = head(logits)

    assert confidence.numpy() == pytest.approx(score(logits).numpy(), rel=1e-6, abs=1e-6)
    assert torch.equal(predictions, torch.where(confidence >= head.threshold, logits.argmax(1), -1))


def test_head_rejects_rows_with_nan():
    inf = torch.inf
    logits = torch.tensor([[3.0, 1.0, 0.0], [torch.nan, 1.0, 0.0], [inf, 1.0, 0.0], [2.0, -inf, -inf]])
    predictions, confidence = SelectiveHead(FittedScore("msp"), threshold=0.0)(logits)

    assert predictions.tolist() == [0, -1, -1, -1]
    assert confidence.isnan().tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [*((name, 6) for name in ("msp", "max_logit_pnorm", "negative_entropy", "hts")), ("softmax_k", 40), ("gen", 40)],
)
def test_exported_program_equals_the_head(name, num_classes):
    generator = torch.Generator().manual_seed(0)
    logits, fresh = (3 * torch.randn(rows, num_classes, generator=generator) for rows in (32, 7))
    head, _ = head_of(name, logits)
    program = torch.export.export(head, (logits,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False)

    for batch in (fresh, fresh[:1]):
        for exported, direct in zip(program.module()(batch), head(batch), strict=True):
            assert torch.equal(exported, direct)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["msp_temperature", "max_logit_pnorm"])
@pytest.mark.filterwarnings("ignore:::torch.onnx", "ignore:::onnxscript", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_model_equals_the_head(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    logits = torch.from_numpy(data(32)[0])
    head, _ = head_of(name, logits)
    program = torch.onnx.export(
        head,
        (logits,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1 << 31)},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    fresh = data(200, seed=5)[0]

    for batch in (fresh, fresh[:1]):
        predictions, confidence = session.run(None, {session.get_inputs()[0].name: batch})
        expected = head(torch.from_numpy(batch))
        assert (predictions == expected[0].numpy()).all()
        assert confidence == pytest.approx(expected[1].numpy(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::torch.onnx", "ignore:::onnxscript", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_file_has_named_outputs_and_any_batch(classifier, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = torch.nn.Linear(4, 6)
    classifier.to_onnx(tmp_path / "model.onnx", network=network, example=torch.zeros(2, 4))
    inputs = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    predictions, confidence = session.run(["prediction", "confidence"], {"inputs": inputs.numpy()})

    expected = classifier.to_module()(network(inputs))
    assert predictions.tolist() == expected[0].tolist()
    assert confidence == pytest.approx(expected[1].numpy(), rel=1e-5)
    assert network.training
    with pytest.raises(ValueError, match="example must be a batch of inputs of the network"):
        classifier.to_onnx(tmp_path / "none.onnx", network=network)
    with pytest.raises(ValueError, match=r"network must return logits \(2, 6\), got \(2, 5\)"):
        classifier.to_onnx(tmp_path / "none.onnx", network=torch.nn.Linear(4, 5), example=torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"network must return logits \(2, 6\), got dict"):
        classifier.to_onnx(tmp_path / "none.onnx", network=ReturnsMapping(), example=torch.zeros(2, 4))


def test_head_works_behind_a_network(classifier):
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), classifier.to_module())
    predictions, confidence = network(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))

    assert predictions.shape == confidence.shape == (5,)
    assert predictions.dtype == torch.int64
    assert "1.threshold" in network.state_dict()


def test_pickled_head_equals_the_head(classifier):
    head = classifier.to_module()
    logits = torch.from_numpy(data(50)[0])

    for copied in (pickle.loads(pickle.dumps(head)), copy.deepcopy(head)):
        assert all(map(torch.equal, copied(logits), head(logits)))


@pytest.mark.parametrize("convert", [torch.nn.Module.half, torch.nn.Module.bfloat16, torch.nn.Module.float])
def test_certified_threshold_survives_a_network_of_lower_precision(classifier, convert):
    network = convert(torch.nn.Sequential(torch.nn.Linear(4, 6), classifier.to_module()))

    assert network[0].weight.dtype != torch.float64
    assert float(network[1].threshold) == classifier.threshold_


def test_softmax_outputs_given_to_predict_are_refused():
    logits = np.random.default_rng(0).normal(size=(400, 4)) + 3 * np.eye(4)[np.arange(400) % 4]
    classifier = SelectiveClassifier(max_risk=0.2).fit(logits, np.arange(400) % 4)

    with pytest.raises(ValueError, match="as softmax outputs and predict_proba do"):
        classifier.predict(softmax(logits, axis=1))


@pytest.mark.parametrize("rows", [1, 5, 1000])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (lambda logits: softmax(logits, axis=1), "sums to one, as softmax outputs"),
        (lambda logits: softmax(logits, axis=1).astype(np.float16), r"sums to one|lies in \[0, 1\]"),
        (lambda logits: softmax(logits, axis=1).round(2), r"sums to one|lies in \[0, 1\]"),
        (lambda logits: 100 * softmax(logits, axis=1), "sums to 100, as percent do"),
    ],
)
def test_rows_of_another_kind_than_the_fitted_are_refused_be_they_one_or_a_thousand(classifier, kind, message, rows):
    with pytest.raises(ValueError, match=message):
        classifier.predict(kind(data(1000, seed=1)[0])[:rows])


@pytest.mark.parametrize("score", ["energy", "max_logit"])
def test_log_probabilities_are_refused_by_scores_that_see_the_mean_in_fit_and_predict(score):
    logits, targets = data(400)
    log_probs = np.log(softmax(logits, axis=1))
    classifier = SelectiveClassifier(score_name=score, max_risk=0.3).fit(logits, targets)
    for call in (lambda: classifier.predict(log_probs[:1]), lambda: classifier.fit(log_probs, targets)):
        with pytest.raises(
            ValueError, match=f"{score} depends on the mean of the logits, which log-probabilities do not"
        ):
            call()


def test_sigmoid_outputs_are_refused_but_for_a_lone_row_that_logits_of_few_classes_may_have(classifier):
    unsure = expit(data(1000, seed=1)[0])

    for rows in (2, 1000):
        with pytest.raises(ValueError, match=r"lies in \[0, 1\], as outputs of softmax and sigmoid do"):
            classifier.predict(unsure[:rows])
    assert len(classifier.predict(unsure[:1])) == 1


def test_rows_that_look_like_softmax_outputs_pass_where_the_fitted_ones_often_did():
    right = np.random.default_rng(0).normal(0.8, 0.3, size=2000)
    logits = np.stack([right, 1 - right], axis=1)  # as of a regression on 0 and 1
    classifier = SelectiveClassifier(score_name="msp", max_risk=0.3).fit(logits, np.zeros(2000, int))
    alike = logits[(logits >= 0).all(axis=1)]

    assert len(classifier.predict(alike[:1])) == 1
    with pytest.raises(ValueError, match="sums to one"):
        classifier.predict(alike)


def test_saved_classifier_refuses_columns_in_another_order(tmp_path):
    logits, targets = data(400, classes=3)
    frame = pd.DataFrame(logits, columns=["cat", "dog", 3])
    SelectiveClassifier(max_risk=0.2).fit(frame, targets).save(tmp_path / "c.json")
    loaded = SelectiveClassifier.load(tmp_path / "c.json")

    assert loaded.columns_ == ["cat", "dog", "3"]
    with pytest.raises(ValueError, match=r"columns \['cat', 'dog', '3'\], got \['3', 'dog', 'cat'\]"):
        loaded.predict(frame[[3, "dog", "cat"]])


def test_fit_looks_for_a_column_of_targets_once(monkeypatch):
    calls = []
    for module in ("classifier", "scores.fitting"):
        monkeypatch.setattr(f"unsmooth.{module}.refuse_target_column", lambda *arguments: calls.append(arguments))
    SelectiveClassifier(max_risk=0.2).fit(*data(400))

    assert len(calls) == 1


def test_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0, got None"):
        split_rows(10, fraction=0.5, seed=None)
