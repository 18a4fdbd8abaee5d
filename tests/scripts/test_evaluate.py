"""Scoring and evaluating one cell, as the workflow calls them."""

import json

import numpy as np
import pandas as pd
import pytest
from evaluate import evaluate
from score import score

from unsmooth.config.settings import Evaluation
from unsmooth.evaluation import softmax_temperatures
from unsmooth.logits.logits_file import write_logits
from unsmooth.scores import fit_score
from unsmooth.tables.collection import read_fitted_scores

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
    score(folder / "val.safetensors", folder / "test.safetensors", names, scores, fitted, folder / "sweep.csv")
    evaluate(
        scores,
        fitted,
        folder / "test.safetensors",
        Evaluation(bootstrap_replicates=100),
        *(folder / name for name in FILES),
    )
    return folder


def test_temperature_fitted_by_likelihood_calibrates(cell):
    temperatures = softmax_temperatures(read_fitted_scores(cell / "fitted.json"))
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
    sure = np.eye(3, dtype=np.float32)
    nothing = json.loads(fit_score("msp_temperature", sure, np.arange(3), objective="nll", fallback=False).to_json())

    (tmp_path / "fitted.json").write_text(json.dumps({"msp_temperature_nll": nothing}))

    temperatures = softmax_temperatures(read_fitted_scores(tmp_path / "fitted.json"))

    assert temperatures == {"msp": 1.0, "msp_temperature_nll": 1.0}
