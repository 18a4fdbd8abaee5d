"""What the page shows, against the results that it is made from."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from unsmooth.page.content import scorecard_contents
from unsmooth.page.page import page
from unsmooth.page.run import risk_of_most_contrast
from unsmooth.tables.findings import findings, headline
from unsmooth.tables.summary import SUMMARY


def test_every_sentence_is_one_of_the_findings(run, content):
    tables = run / "results/tables/first"
    summary, differences = (pd.read_csv(tables / f"{name}.csv") for name in ("summary", "differences"))
    (shown,) = content["findings"]

    assert content["headline"] == headline(summary, differences).text
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


def test_operating_points_are_those_of_the_cells_at_every_target(run, content):
    for cell in content["cells"]:
        model = content["models"][cell["model"]]
        folder = run / f"results/cells/first/resnet8/{model['loss']}_alpha-{model['alpha']:g}/seed-{cell['seed']}"
        expected = pd.read_csv(folder / "scores/operating_points.csv").groupby("score")
        for score, points in cell["points"].items():
            rows = expected.get_group(score)
            assert points["risk"] == pytest.approx(content["risks"])
            assert points["coverage"] == pytest.approx(rows["coverage"].tolist(), rel=1e-5)
            assert points["coverage"] == sorted(points["coverage"]) and all(
                0 <= each <= 1 for each in points["coverage"]
            )


def test_page_opens_at_the_target_risk_that_tells_most():
    def cell(model, msp, repaired):
        return {"model": model, "points": {"msp": {"coverage": msp}, "max_logit_pnorm": {"coverage": repaired}}}

    cells = [cell(0, [0.5, 0.6, 0.7], [0.5, 0.6, 0.7]), cell(1, [0.4, 0.2, 0.6], [0.5, 0.6, 0.7])]
    assert risk_of_most_contrast(cells) == 0.002


def test_aurc_by_alpha_is_that_of_the_summary(run, content):
    summary = pd.read_csv(run / "results/tables/first/summary.csv").set_index(["loss", "alpha", "score", "metric"])
    for row in content["by_alpha"]:
        model = content["models"][row["model"]]
        expected = summary.loc[(model["loss"], model["alpha"], row["score"], "aurc")]
        assert [row["mean"], row["low"], row["high"]] == pytest.approx(expected[["mean", "low", "high"]], rel=1e-4)
    assert len(content["by_alpha"]) == 3 * len({row["score"] for row in content["by_alpha"]})


COMPARED = {"deviations": [], "as_released": False, "losses": [{"key": "ce", "kind": "ce"}]}


def published(loss):
    return {"loss": loss, "alpha": 0.0, "score": "msp", "error": 10.0, "source": "a paper"}


def test_scorecard_of_a_run_without_published_numbers_is_a_sentence_and_a_fold():
    experiments = {"other": {"published": [published("ce")], **COMPARED}}
    shown, left = scorecard_contents(experiments, pd.DataFrame(columns=SUMMARY))

    assert (shown["rows"], shown["notes"]) == ([], [])
    assert "fold" not in shown and left["fold"] == "Not run: 1 number of 1 experiment"
    assert [row[0] for row in left["rows"]] == ["other"]


def test_scorecard_that_was_run_whole_folds_nothing():
    experiments = {"mine": {"published": [published("ce")], **COMPARED}}
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
