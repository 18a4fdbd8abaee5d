"""Published numbers against ours: what counts as noise, and what is told where nothing was run."""

import math

import numpy as np
import pandas as pd
import pytest

from unsmooth.config.kinds import Published
from unsmooth.figures.scorecard import BLOCKS, scorecard_figure
from unsmooth.figures.style import save_figure
from unsmooth.registry.metrics import COMPARED
from unsmooth.tables.scorecard import published_table, scorecard, scorecard_table
from unsmooth.tables.summary import SUMMARY
from unsmooth.tables.writing import write_table

PUBLISHED = {"loss": "ls", "alpha": 0.2, "score": "msp", "error": 10.0, "aurc": 2.0, "source": "a paper"}
DEVIATION = {"what": "Three seeds.", "why": "One was published.", "switchable": False}
SWITCHABLE = {"what": "Clean statistics.", "why": "Test rows leaked.", "switchable": True}
LOSSES = [{"key": "ce", "kind": "ce"}, {"key": "ls", "kind": "ls"}]
EXPERIMENTS = {
    "cifar": {
        "published": [PUBLISHED],
        "deviations": [DEVIATION, SWITCHABLE],
        "as_released": False,
        "losses": LOSSES,
        "precision": "fp16",
        "data": ["cifar10"],
    },
    "unpublished": {"published": [], "deviations": [DEVIATION], "as_released": False, "losses": LOSSES},
}


def summary(error, std=0.001, seeds=3, sampling=0.0, **changes):
    row = {"experiment": "cifar", "architecture": "resnet", "loss": "ls", "alpha": 0.2, "score": "msp"}
    row |= {"std": std, "seeds": seeds} | changes
    means = {"error": error, "aurc_paper": error / 5}
    rows = [
        row | {"metric": metric, "mean": mean, "low": mean - sampling, "high": mean + sampling}
        for metric, mean in means.items()
    ]
    return pd.DataFrame(rows, columns=SUMMARY)


def error_row(frame):
    return frame[frame["metric"] == "error"].iloc[0]


def test_noise_is_the_prediction_interval_of_one_more_run():
    row = error_row(scorecard(EXPERIMENTS, summary(0.104)))

    # Student's t with 2 degrees of freedom at 97.5 %: 4.302653, from tables.
    assert row["noise"] == pytest.approx(4.302653 * 0.001 * math.sqrt(4 / 3) + 0.0005, rel=1e-6)  # 10.0 is rounded
    assert row["difference"] == pytest.approx(0.004)
    assert row["verdict"] == "within noise"


@pytest.mark.parametrize("error", [0.1056, 0.0944])
def test_a_number_beyond_the_interval_is_outside(error):
    assert error_row(scorecard(EXPERIMENTS, summary(error)))["verdict"] == "outside noise"


def test_noise_counts_the_sampling_of_both_test_sets():
    row = error_row(scorecard(EXPERIMENTS, summary(0.104, sampling=0.003)))

    training = 4.302653 * 0.001 * math.sqrt(4 / 3)
    assert row["noise"] == pytest.approx(math.sqrt(training**2 + 2 * 0.003**2) + 0.0005, rel=1e-6)


def test_the_interval_holds_95_percent_of_further_runs():
    runs = np.random.default_rng(0).normal(0.1, 0.002, size=(4000, 4))
    verdicts = [
        error_row(
            scorecard(
                {
                    "cifar": {
                        "published": [PUBLISHED | {"error": 100 * new}],
                        "deviations": [],
                        "as_released": False,
                        "losses": LOSSES,
                    }
                },
                summary(seen.mean(), std=seen.std(ddof=1)),
            )
        )["verdict"]
        for *seen, new in map(np.asarray, runs[:400])
        for seen in [np.array(seen)]
    ]

    assert 0.92 <= verdicts.count("within noise") / len(verdicts) <= 0.98


def test_one_seed_has_no_verdict_and_no_run_no_number():
    assert error_row(scorecard(EXPERIMENTS, summary(0.3, std=np.nan, seeds=1)))["verdict"] == "one seed"
    row = error_row(scorecard(EXPERIMENTS, summary(0.1, experiment="other")))
    assert row["verdict"] == "not run" and math.isnan(row["mean"]) and row["published"] == 0.1
    assert len(scorecard(EXPERIMENTS, pd.DataFrame(columns=SUMMARY))) == 2


def test_metric_without_an_interval_has_no_verdict():
    row = error_row(scorecard(EXPERIMENTS, summary(0.1, sampling=np.nan)))

    assert row["verdict"] == "no interval" and math.isnan(row["noise"])


def test_aurc_is_compared_in_the_convention_of_the_paper():
    rows = scorecard(EXPERIMENTS, summary(0.1).assign(metric=["error", "aurc"]))

    assert rows.set_index("metric")["verdict"].to_dict() == {"error": "within noise", "aurc": "not run"}


def test_table_tells_the_deviations_and_what_was_switched_back(tmp_path):
    table = scorecard_table(EXPERIMENTS, summary(0.104))
    write_table(table, tmp_path / "scorecard")
    text = (tmp_path / "scorecard.md").read_text()

    assert table.display["Metric"].tolist() == ["Error % ↓", "AURC % ↓", ""]
    assert table.display["Published"].tolist() == ["10.0", "2.00", ""]
    assert table.display["Here"].tolist() == ["10.40 ± 0.10 (3)", "2.08 ± 0.10 (3)", ""]
    assert table.display["Difference"].tolist() == ["+0.40, within noise (± 0.55)", "+0.08, within noise (± 0.50)", ""]
    assert table.display["Model"].tolist() == ["LS 0.2", "LS 0.2", "nothing published"]
    assert "cifar: Clean statistics (as_released: true switches it back). Test rows leaked." in text
    switched = scorecard_table({"cifar": EXPERIMENTS["cifar"] | {"as_released": True}}, summary(0.104))
    assert "cifar: As released. Test rows leaked." in switched.notes
    assert "cifar: Three seeds. One was published." in switched.notes


CALIBRATION = {"loss": "ce", "alpha": 0.0, "score": "msp", "source": "a poster"}
CALIBRATION |= {"accuracy": 65.02, "ece_mbls": 3.73, "nll": 1.40984}


def test_published_calibration_is_compared_in_its_own_units():
    experiments = {"tiny": {"published": [CALIBRATION], "deviations": [], "as_released": False, "losses": LOSSES}}
    base = {"experiment": "tiny", "architecture": "resnet", "loss": "ce", "alpha": 0.0, "score": "msp", "seeds": 1}
    means = {"accuracy": 0.66, "ece_mbls": 0.04, "nll": 1.5, "ece": 0.9}
    found = pd.DataFrame([base | {"metric": metric, "mean": mean} for metric, mean in means.items()], columns=SUMMARY)

    rows = scorecard(experiments, found).set_index("metric")
    display = scorecard_table(experiments, found).display.set_index("Metric")

    assert rows["difference"].to_dict() == pytest.approx({"accuracy": 0.0098, "ece_mbls": 0.0027, "nll": 0.09016})
    assert display["Published"].tolist() == ["65.02", "3.73", "1.40984"]
    assert display["Here"].tolist() == ["66.00 (1)", "4.00 (1)", "1.500 (1)"]
    assert display["Difference"].tolist() == ["+0.98, one seed", "+0.27, one seed", "+0.090, one seed"]


def test_every_published_key_is_compared_and_drawn():
    described = {"loss", "alpha", "score", "source"}

    assert set(COMPARED) == Published.model_fields.keys() - described
    assert {metric for block in BLOCKS for metric in block} == set(COMPARED)


def test_figure_puts_models_beside_the_metrics_they_have():
    entry = {"published": [PUBLISHED, CALIBRATION], "deviations": [], "as_released": False, "losses": LOSSES}
    figure, _ = scorecard_figure(scorecard({"cifar": entry}, summary(0.104)))

    titles = ["Error ↓", "AURC ↓", "Accuracy ↑", "ECE (MbLS) ↓", "NLL ↓"]
    assert [axes.get_title() for axes in figure.axes] == titles
    names = [[label.get_text() for label in axes.get_yticklabels() if label.get_text()] for axes in figure.axes]
    assert names == [["cifar, LS 0.2"], [], ["cifar, CE"], [], ["cifar, CE"]]


def test_figure_draws_the_differences_and_says_what_was_not_run(tmp_path):
    entry = EXPERIMENTS["cifar"] | {"published": [PUBLISHED, PUBLISHED | {"alpha": 0.3}]}
    data = scorecard({"cifar": entry, "other": EXPERIMENTS["cifar"]}, summary(0.104))
    figure, drawn = scorecard_figure(data)
    save_figure(figure, drawn, tmp_path / "scorecard")

    error = figure.axes[0]
    texts = [text.get_text() for text in error.texts]
    points = np.concatenate([line.get_xdata() for line in error.lines if line.get_marker() in ("o", "s")])
    assert texts == ["10.0", "10.0, not run"]
    assert points == pytest.approx([0.4])
    assert [label.get_text() for label in error.get_yticklabels()] == ["cifar, LS 0.2", "cifar, LS 0.3"]
    assert (tmp_path / "scorecard.pdf").stat().st_size > 0


def test_figure_of_nothing_run_is_refused():
    data = scorecard(EXPERIMENTS, pd.DataFrame(columns=SUMMARY))

    with pytest.raises(ValueError, match="no experiment with published numbers was run"):
        scorecard_figure(data)


def test_another_precision_than_the_recipe_s_is_told_by_itself():
    costs = pd.DataFrame({"experiment": ["cifar", "cifar", "other"], "precision": ["bf16", "bf16", "fp32"]})
    told = "cifar: Precision bf16 instead of fp16. Half precision (fp16) needs a GPU."

    assert scorecard_table(EXPERIMENTS, summary(0.104), costs).notes.count(told) == 1
    as_asked = scorecard_table(EXPERIMENTS, summary(0.104), costs.assign(precision="fp16"))
    assert not [note for note in as_asked.notes if "Precision" in note]


def test_every_published_experiment_is_listed_with_its_data_and_command():
    behind_login = EXPERIMENTS["cifar"] | {"data": ["imagenet"]}
    table = published_table({**EXPERIMENTS, "photographs": behind_login})

    assert table.display["Experiment"].tolist() == ["cifar", "photographs"]
    assert table.display["Published numbers"].tolist() == ["2", "2"]
    assert table.display["Data"].tolist() == ["cifar10 (downloaded)", "imagenet (behind a login)"]
    assert table.display["Command"].tolist() == ["snakemake --cores all cifar", "snakemake --cores all photographs"]
