"""What the page shows, against the results that it is made from."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from unsmooth.metrics import certified_threshold, coverage_at_risk, risk_coverage_curve
from unsmooth.page.content import scorecard_contents
from unsmooth.page.curves import RESOLUTION, operating_points, thinned, thinned_curve
from unsmooth.page.page import page
from unsmooth.tables import SUMMARY, findings, headline


@given(arrays(float, st.integers(1, 60), elements=st.floats(0, 1)), st.sampled_from([0.0, 0.01, 0.3]))
def test_thinning_keeps_its_tolerance(y, tolerance):
    x = np.arange(1.0, len(y) + 1)
    kept = thinned(x, y, tolerance)

    assert kept[0] == 0 and kept[-1] == len(y) - 1
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() <= tolerance + 1e-12


def test_thinned_curve_has_exact_counts_and_its_true_error():
    generator = np.random.default_rng(0)
    confidence = generator.normal(size=5000).round(2)  # with ties
    errors = generator.random(5000) < 1 / (1 + np.exp(2 * confidence))
    points, error = thinned_curve(confidence, errors)

    whole = risk_coverage_curve(confidence, errors)
    accepted, wrong = np.array(points["accepted"]), np.array(points["errors"])
    drawn = np.interp(whole.coverage, accepted / 5000, wrong / accepted)
    assert (
        error == pytest.approx(np.abs(drawn - whole.selective_risk).max(), abs=1e-12)
        and 0 < error <= errors.mean() / RESOLUTION
    )
    assert len(accepted) < len(whole.coverage)
    for threshold, count, failed in zip(points["threshold"], accepted, wrong, strict=True):
        assert (confidence >= threshold).sum() == count and errors[confidence >= threshold].sum() == failed


def test_operating_points_are_those_of_the_metrics():
    generator = np.random.default_rng(1)
    confidence = generator.normal(size=(2, 2000))
    errors = generator.random((2, 2000)) < 1 / (1 + np.exp(2 + 2 * confidence))
    found = operating_points(
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
    assert found["threshold"] == [None, pytest.approx(certificate.threshold, rel=1e-5)]
    assert found["certified_coverage"] == [0, accepted.mean()]
    assert found["certified_risk"] == [None, errors[0][accepted].mean()]


def test_every_sentence_is_one_of_the_findings(run, content):
    tables = run / "results/tables/first"
    summary, differences = (pd.read_csv(tables / f"{name}.csv") for name in ("summary", "differences"))
    (shown,) = content["findings"]

    assert shown["heading"] == headline(summary, differences)
    assert [sentence["text"] for sentence in shown["sentences"]] == [
        finding.text for finding in findings(summary, differences)
    ]
    labels = [model["label"] for model in content["models"]]
    for part in content["findings"]:
        for sentence in part["sentences"]:
            assert sentence["model"] is None or sentence["text"].startswith(labels[sentence["model"]])


def test_confident_errors_are_errors_in_order_of_msp(run, content):
    for cell in content["cells"]:
        model = content["models"][cell["model"]]
        folder = run / f"results/cells/first/resnet8/{model['loss']}_alpha-{model['alpha']:g}/seed-{cell['seed']}"
        scores = load_file(folder / "scores/test.safetensors")
        rows = [error["row"] for error in cell["errors"]]
        order = np.argsort(-scores["msp"], kind="stable")

        assert rows == [row for row in order if scores["errors"][row]][: len(rows)]
        assert [error["before"] for error in cell["errors"]] == [1 + np.flatnonzero(order == row)[0] for row in rows]
        assert all(error["target"] != error["prediction"] for error in cell["errors"])
    assert content["pictures"].keys() == {str(error["row"]) for cell in content["cells"] for error in cell["errors"]}


def test_certifying_samples_did_not_fit_and_all_targets_are_there(content):
    for cell in content["cells"]:
        for points in cell["points"].values():
            assert {len(values) for values in points.values()} == {len(content["risks"])}
            known = [value for value in points["coverage"] if value is not None]
            assert known == sorted(known) and all(0 <= value <= 1 for value in known)


def test_aurc_by_alpha_is_that_of_the_summary(run, content):
    summary = pd.read_csv(run / "results/tables/first/summary.csv").set_index(["loss", "alpha", "score", "metric"])
    for row in content["by_alpha"]:
        model = content["models"][row["model"]]
        expected = summary.loc[(model["loss"], model["alpha"], row["score"], "aurc")]
        assert [row["mean"], row["low"], row["high"]] == pytest.approx(expected[["mean", "low", "high"]], rel=1e-4)
    assert len(content["by_alpha"]) == 3 * len({row["score"] for row in content["by_alpha"]})


def published(loss):
    return {"loss": loss, "alpha": 0.0, "score": "msp", "error": 10.0, "source": "a paper"}


def test_scorecard_of_a_run_without_published_numbers_is_a_sentence_and_a_fold():
    experiments = {"other": {"published": [published("ce")], "deviations": [], "as_released": False}}
    shown, left = scorecard_contents(experiments, pd.DataFrame(columns=SUMMARY))

    assert (shown["rows"], shown["notes"]) == ([], [])
    assert "fold" not in shown and left["fold"] == "Not run: 1 number of 1 experiment"
    assert [row[0] for row in left["rows"]] == ["other"]


def test_scorecard_that_was_run_whole_folds_nothing():
    experiments = {"mine": {"published": [published("ce")], "deviations": [], "as_released": False}}
    measured = published("ce") | {
        "experiment": "mine",
        "architecture": "mlp",
        "metric": "error",
        "mean": 0.1,
        "seeds": 1,
    }
    (shown,) = scorecard_contents(experiments, pd.DataFrame([measured], columns=SUMMARY))

    assert len(shown["rows"]) == 1 and "fold" not in shown


def test_data_cannot_end_their_script():
    text = page([{"name": "</script><script>alert(1)</script>"}], title="a & b", lead="<i>")

    assert "</script><script>alert" not in text
    assert "<title>a &amp; b</title>" in text and "&lt;i&gt;" in text
    start = text.index('id="data">') + len('id="data">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert data["groups"][0]["name"] == "</script><script>alert(1)</script>"


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        page([{"value": float("nan")}], title="", lead="")
