"""Losses against cross-entropy: what is tested, corrected and claimed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from unsmooth.metrics import holm
from unsmooth.tables.losses import losses_summary, losses_table
from unsmooth.tables.summary import paired_differences, summarise

SCORES = ("msp", "msp_temperature", "max_logit_pnorm")
SHIFTS = {"ce": 0.0, "ls": 0.01, "focal": 0.012, "online_ls": -0.01, "mbls": 0.0001, "maxsup": 0.0024}


def results(shifts, std=0.001):
    """Values of one seed, and replicates around them with that spread (none for CE); LS is repaired by the p-norm."""
    generator = np.random.default_rng(0)
    values, replicates = [], []
    for loss, shift in shifts.items():
        for score in SCORES:
            aurc = 0.03 + (0.0 if (loss, score) == ("ls", "max_logit_pnorm") else shift)
            found = {"aurc": aurc, "risk_at_coverage_20": 0.01, "augrc": 0.02, "ece": 0.05, "accuracy": 0.9}
            for metric, value in found.items():
                cell = {"experiment": "glyphs", "architecture": "resnet8", "loss": loss, "seed": 0}
                key = cell | {"alpha": 0.0 if loss == "ce" else 0.5, "score": score, "metric": metric}
                noise = generator.normal(0, 0 if loss == "ce" else std, 200)
                values.append(key | {"value": value})
                replicates.append(pd.DataFrame(key | {"replicate": range(200), "value": value + noise}))
    return pd.DataFrame(values), pd.concat(replicates)


@pytest.fixture(scope="module")
def judged():
    """Summary and differences of losses that are worse, repaired, better, the same and worse before correction only."""
    found = results(SHIFTS)
    return summarise(*found), paired_differences(*found)


def test_p_value_of_a_difference_is_the_normal_one_of_its_replicates():
    values, replicates = results({"ce": 0.0, "maxsup": 0.002})
    differences = paired_differences(values, replicates)
    draws = replicates[(replicates["loss"] == "maxsup") & (replicates["score"] == "msp")]
    se = draws.loc[draws["metric"] == "aurc", "value"].std(ddof=0)
    row = differences[(differences["comparison"] == "loss") & (differences["metric"] == "aurc")].iloc[0]

    assert row["difference"] == pytest.approx(0.002)
    assert row["p_value"] == pytest.approx(2 * norm.sf(0.002 / se), rel=1e-9)


def test_no_difference_has_the_p_value_one():
    differences = paired_differences(*results({"ce": 0.0, "ls": 0.0}, std=0.0))

    assert (differences["p_value"] == 1).all()


def test_holm_corrects_the_comparisons_under_one_score(judged):
    data = losses_table(*judged).data
    tested = data.dropna(subset=["p_holm"])

    assert len(tested) == (len(SHIFTS) - 1) * 2 * len(SCORES)
    for _, family in tested.groupby("score"):
        np.testing.assert_allclose(family["p_holm"], holm(family["p_value"]))
    assert set(tested["metric"]) == {"aurc", "risk_at_coverage_20"}
    assert data.loc[data["loss"] == "ce", "p_holm"].isna().all()


def test_table_marks_what_is_worse_and_better_than_ce(judged):
    display = losses_table(*judged).display.set_index("Loss")

    assert display.loc["LS 0.5", "AURC, MSP"].endswith(" ↑")
    assert display.loc["LS 0.5", "AURC, p-norm"].endswith("]")
    assert display.loc["Online LS 0.5", "AURC, p-norm"].endswith(" ↓")
    assert display.loc["CE", "AURC, MSP"] == "3.00 [3.00, 3.00]"
    assert [column for column in display if "Accuracy" in column] == ["Accuracy"]


def test_summary_calls_only_what_the_correction_confirms(judged):
    text = "\n\n".join(losses_summary(judged[1]))
    under_msp, _, under_pnorm = text.split("\n\n## ")[1:]
    worse, undecided, same, better = under_msp.split("\n\n- ")[1:]

    assert worse.startswith("LS 0.5: AURC +1.00 [") and "\n- Focal 0.5: AURC +1.20 [" in worse
    assert undecided.startswith("MaxSup 0.5: AURC +0.24 [+0.0")
    assert same.startswith("MbLS 0.5: ")
    assert better.startswith("Online LS 0.5: AURC -1.00 [")
    assert "no longer measurably so here: LS 0.5; still worse: Focal 0.5." in under_pnorm


def test_summary_says_where_a_score_is_not_defined(judged):
    differences = judged[1]

    text = losses_summary(differences[differences["score"] != "max_logit_pnorm"])

    assert text[-1] == "p-norm is not defined for these logits."


def test_losses_need_ce_to_be_compared_with(judged):
    differences = judged[1]

    with pytest.raises(ValueError, match="against ce"):
        losses_summary(differences[differences["comparison"] == "score"])
