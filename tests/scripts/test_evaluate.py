"""Scoring and evaluating one cell, as the workflow calls them."""

import json

import numpy as np
import pandas as pd
import pytest
from evaluate import evaluate
from score import score

from unsmooth.config.settings import Evaluation
from unsmooth.evaluation import TARGET_RISKS, operating_frame, softmax_temperatures
from unsmooth.logits.logits_file import LogitsFileError, read_logits, write_logits
from unsmooth.metrics import aurc, certified_threshold, coverage_at_risk
from unsmooth.scores import fit_score, max_logit_pnorm, msp, usable_scores
from unsmooth.scores.splits import split_rows
from unsmooth.tables.collection import read_fitted

FILES = ("metrics.csv", "bootstrap.parquet", "curves.parquet", "reliability.parquet")


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """The folder of a cell whose softmax is three times too sharp."""
    folder, generator = tmp_path_factory.mktemp("cell"), np.random.default_rng(0)
    for split in ("val", "test"):
        logits = generator.normal(size=(500, 4))
        targets = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
        write_logits(folder / f"{split}.safetensors", (3 * logits).astype(np.float32), targets, metadata={})
    scores, fitted = folder / "scores.safetensors", folder / "fitted.json"
    names = ["msp", "msp_temperature", "max_logit_pnorm"]
    tables = (folder / "sweep.csv", folder / "operating_points.csv")
    score(folder / "val.safetensors", folder / "test.safetensors", names, scores, fitted, *tables)
    evaluate(
        scores,
        fitted,
        folder / "test.safetensors",
        Evaluation(bootstrap_replicates=100),
        *(folder / name for name in FILES),
    )
    return folder


def test_validation_of_one_sample_is_named(tmp_path):
    logits, targets = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), np.arange(20) % 3
    write_logits(tmp_path / "val.safetensors", logits[:1], targets[:1], metadata={"source": "dumps/ls-val.npz"})
    write_logits(tmp_path / "test.safetensors", logits[1:], targets[1:], metadata={"source": "dumps/ls-test.npz"})

    with pytest.raises(LogitsFileError, match=r"dumps/ls-val\.npz: expected at least 2 samples, .* got 1"):
        score(tmp_path / "val.safetensors", tmp_path / "test.safetensors", ["msp"], *[tmp_path / "unused"] * 4)


def test_temperature_fitted_by_likelihood_calibrates(cell):
    temperatures = softmax_temperatures(read_fitted(cell / "fitted.json"))
    metrics = pd.read_csv(cell / "metrics.csv").set_index(["score", "metric"])["value"]

    assert list(temperatures) == ["msp", "msp_temperature", "msp_temperature_nll"]
    assert temperatures["msp_temperature_nll"] == pytest.approx(3, rel=0.2)
    assert metrics["msp_temperature_nll", "ece"] < metrics["msp", "ece"] / 2
    assert metrics["msp_temperature_nll", "nll"] < metrics["msp", "nll"]


def test_reliability_diagrams_are_those_of_the_temperatures(cell):
    diagram = pd.read_parquet(cell / "reliability.parquet")

    assert diagram["score"].unique().tolist() == ["msp", "msp_temperature", "msp_temperature_nll"]
    assert (diagram.groupby("score")["count"].sum() == 500).all()
    assert diagram.groupby("score").size().unique().tolist() == [25]


def test_temperature_of_a_score_that_fell_back_is_one(tmp_path):
    sure = 9 * np.eye(3, dtype=np.float32)
    nothing = json.loads(fit_score("msp_temperature", sure, np.arange(3), objective="nll", fallback=False).to_json())

    (tmp_path / "fitted.json").write_text(json.dumps({"msp_temperature_nll": nothing}))

    temperatures = softmax_temperatures(read_fitted(tmp_path / "fitted.json"))

    assert temperatures == {"msp": 1.0, "msp_temperature_nll": 1.0}


def test_sweep_is_the_aurc_of_each_norm_order_and_of_msp_on_both_splits(cell):
    sweep = pd.read_csv(cell / "sweep.csv")
    test = read_logits(cell / "test.safetensors")
    errors = test.logits.argmax(axis=1) != test.targets

    assert list(zip(sweep["split"], sweep["p"].fillna(-1), strict=True)) == [
        (split, p) for split in ("val", "test") for p in (*range(11), -1)
    ]
    last, msp_area = sweep["aurc"].tolist()[-2:]
    assert last == pytest.approx(aurc(max_logit_pnorm(test.logits, p=10), errors), rel=1e-12)
    assert msp_area == pytest.approx(aurc(msp(test.logits), errors), rel=1e-12)


def test_scores_that_rank_nothing_are_not_usable():
    sure = 9 * np.eye(3, dtype=np.float32)
    found = {"nothing": fit_score("msp_temperature", sure, np.arange(3), objective="nll", fallback=False)}
    found["msp"] = fit_score("msp", sure + np.eye(3)[::-1], np.arange(3))

    assert usable_scores({name: json.loads(each.to_json()) for name, each in found.items()}) == {"msp": found["msp"]}


def test_operating_points_are_those_of_the_metrics():
    generator = np.random.default_rng(1)
    confidence = generator.normal(size=(2, 2000))
    errors = generator.random((2, 2000)) < 1 / (1 + np.exp(2 + 2 * confidence))
    found = operating_frame(
        confidence[0],
        errors[0],
        certifying=(confidence[1], errors[1]),
        certified=confidence[0],
        risks=[1e-6, 0.05],
        delta=0.1,
    )

    certificate = certified_threshold(confidence[1], errors[1], risk=0.05, delta=0.1)
    accepted = confidence[0] >= certificate.threshold
    assert found["coverage"][1] == coverage_at_risk(confidence[0], errors[0], risk=0.05)
    assert found["threshold"].tolist() == pytest.approx([np.nan, certificate.threshold], nan_ok=True)
    assert found["certified_coverage"].tolist() == [0, accepted.mean()]
    assert found["certified_risk"].tolist() == pytest.approx([np.nan, errors[0][accepted].mean()], nan_ok=True)


def test_samples_that_certify_did_not_fit(tmp_path):
    generator, names = np.random.default_rng(0), ["msp", "max_logit_pnorm"]
    for split in ("val", "test"):
        targets = generator.integers(0, 4, 1000)
        logits = generator.normal(size=(1000, 4)) + 3 * np.eye(4)[targets]
        write_logits(tmp_path / split, logits.astype(np.float32), targets, metadata={})
    written = [tmp_path / name for name in ("scores", "fitted", "sweep", "points")]
    score(tmp_path / "val", tmp_path / "test", names, *written)
    points = pd.read_csv(tmp_path / "points").set_index("score")

    val = read_logits(tmp_path / "val")
    fitting, certifying = split_rows(len(val.targets), fraction=0.5, seed=0)
    errors = val.logits[certifying].argmax(axis=1) != val.targets[certifying]
    for name in names:
        fitted = fit_score(name, val.logits[fitting], val.targets[fitting])
        expected = certified_threshold(fitted(val.logits[certifying]), errors, risk=0.05, delta=0.05)
        found = points.loc[name].set_index("risk")
        assert found.index.tolist() == pytest.approx(TARGET_RISKS)
        assert expected.feasible and found.loc[0.05, "threshold"] == pytest.approx(expected.threshold)
