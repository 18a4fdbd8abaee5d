"""Summaries over seeds, paired differences and the tables made from them."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from unsmooth.tables.findings import TWO_CLASSES
from unsmooth.tables.labels import Losses, LossName
from unsmooth.tables.layouts import calibration_table, cost_table, scores_table, segmentation_table
from unsmooth.tables.main import all_metrics_table, main_table, short_table
from unsmooth.tables.summary import DIFFERENCES, SUMMARY, paired_differences, summarise
from unsmooth.tables.writing import write_table

PLACE = {"experiment": "glyphs", "architecture": "resnet8"}


def rows(values, **columns):
    """One row a key of `values`: (loss, alpha, seed, score, metric) -> value."""
    names = ["loss", "alpha", "seed", "score", "metric"]
    return pd.DataFrame(
        [{**PLACE, **dict(zip(names, key, strict=True)), **columns, "value": v} for key, v in values.items()]
    )


def draws(values, noise):
    """Replicates of `values`: replicate b adds noise[b] to every value, the same in every cell."""
    return pd.concat([rows({key: v + e for key, v in values.items()}, replicate=b) for b, e in enumerate(noise)])


AURC = {
    ("ce", 0.0, 0, "msp", "aurc"): 0.020,
    ("ce", 0.0, 1, "msp", "aurc"): 0.024,
    ("ls", 0.2, 0, "msp", "aurc"): 0.030,
    ("ls", 0.2, 1, "msp", "aurc"): 0.032,
    ("ls", 0.2, 0, "max_logit_pnorm", "aurc"): 0.019,
    ("ls", 0.2, 1, "max_logit_pnorm", "aurc"): 0.021,
}
NOISE = np.linspace(-0.004, 0.004, 201)
LOSSES = Losses([LossName("ce", "ce"), LossName("ls", "ls"), LossName("nls", "ls", "NLS")])


@pytest.fixture(scope="module")
def complete():
    """Two losses, three scores, two seeds, all metrics that the tables and findings use, and their replicates."""
    values = {}
    for loss, alpha, shift in (("ce", 0.0, 0.0), ("ls", 0.2, 0.01), ("ls", 0.4, 0.02), ("nls", -0.2, -0.001)):
        for seed in (0, 1):
            for score, factor in (("msp", 1.0), ("msp_temperature", 0.9), ("max_logit_pnorm", 0.5), ("energy", 1.1)):
                key = (loss, alpha, seed, score)
                values[*key, "error"] = 0.13 + 0.001 * seed - shift / 10
                values[*key, "aurc"] = (0.02 + shift) * factor + 0.001 * seed
                values[*key, "risk_at_coverage_20"] = (0.005 + shift) * factor
                values[*key, "coverage_at_risk_1"] = np.nan if loss == "ls" else 0.3
                if score in ("msp", "msp_temperature"):
                    values[*key, "nll"] = 0.5 + shift
    return rows(values), draws(values, np.linspace(-0.001, 0.001, 41))


def test_summary_has_the_mean_sample_deviation_and_interval_over_seeds():
    summary = summarise(rows(AURC), draws(AURC, NOISE))

    ce = summary.iloc[0]
    assert list(summary.columns) == SUMMARY
    assert (ce["loss"], ce["score"], ce["metric"], ce["seeds"]) == ("ce", "msp", "aurc", 2)
    assert ce["mean"] == pytest.approx(0.022)
    assert ce["std"] == pytest.approx(np.std([0.020, 0.024], ddof=1))
    assert ce["low"] == pytest.approx(0.022 + np.quantile(NOISE, 0.025))
    assert ce["high"] == pytest.approx(0.022 + np.quantile(NOISE, 0.975))


def test_interval_of_the_mean_pairs_the_replicates_of_seeds():
    noise = np.random.default_rng(0).normal(size=400)
    values = {("ce", 0.0, seed, "msp", "aurc"): 0.5 for seed in (0, 1)}
    opposite = pd.concat(
        [draws({key: v}, sign * noise) for (key, v), sign in zip(values.items(), (1, -1), strict=True)]
    )

    summary = summarise(rows(values), opposite).iloc[0]

    assert summary["low"] == pytest.approx(0.5)
    assert summary["high"] == pytest.approx(0.5)


def test_one_seed_has_no_deviation_but_an_interval():
    values = {("ce", 0.0, 0, "msp", "aurc"): 0.02}

    summary = summarise(rows(values), draws(values, NOISE)).iloc[0]

    assert np.isnan(summary["std"])
    assert summary["low"] < 0.02 < summary["high"]


def test_row_order_of_the_input_does_not_matter(complete):
    metrics, replicates = complete
    shuffled = (metrics.sample(frac=1, random_state=1), replicates.sample(frac=1, random_state=2))

    pd.testing.assert_frame_equal(summarise(*complete), summarise(*shuffled))
    pd.testing.assert_frame_equal(paired_differences(*complete), paired_differences(*shuffled))


def test_summary_reads_ce_first_then_by_alpha_then_other_losses(complete):
    summary = summarise(*complete)

    assert summary[["loss", "alpha"]].drop_duplicates().to_numpy().tolist() == [
        ["ce", 0.0],
        ["ls", 0.2],
        ["ls", 0.4],
        ["nls", -0.2],
    ]
    assert summary["score"].drop_duplicates().tolist() == ["msp", "msp_temperature", "max_logit_pnorm", "energy"]


def test_value_undefined_in_one_seed_is_undefined_in_the_mean():
    values = {("ce", 0.0, 0, "msp", "coverage_at_risk_1"): 0.3, ("ce", 0.0, 1, "msp", "coverage_at_risk_1"): np.nan}

    summary = summarise(rows(values), draws(values, NOISE)).iloc[0]

    assert summary[["mean", "std", "low", "high"]].isna().all()
    assert summary["seeds"] == 2


@pytest.mark.parametrize(("undefined", "defined"), [(2, True), (20, False)])
def test_interval_tolerates_few_undefined_replicates(undefined, defined):
    values = {("ce", 0.0, 0, "msp", "coverage_at_risk_1"): 0.3}
    noise = np.where(np.arange(100) < undefined, np.nan, 0.0)

    summary = summarise(rows(values), draws(values, noise)).iloc[0]

    assert np.isfinite(summary["low"]) == defined


def test_metric_without_replicates_has_no_interval():
    values = {("ce", 0.0, 0, "msp", "error"): 0.1}

    summary = summarise(rows(AURC | values), draws(AURC, NOISE))

    assert summary.loc[summary["metric"] == "error", ["low", "high"]].isna().all(axis=None)


def test_difference_against_ce_is_paired_by_seed():
    differences = paired_differences(rows(AURC), draws(AURC, NOISE))
    loss = differences[differences["comparison"] == "loss"].iloc[0]

    assert list(differences.columns) == DIFFERENCES
    assert (loss["loss"], loss["baseline_loss"], loss["score"], loss["baseline_score"]) == ("ls", "ce", "msp", "msp")
    assert loss["value"] == pytest.approx(0.031)
    assert loss["baseline"] == pytest.approx(0.022)
    assert loss["difference"] == pytest.approx(0.009)
    assert loss["std"] == pytest.approx(np.std([0.010, 0.008], ddof=1))
    # The noise is common to both cells, so it cancels: a wide marginal interval, an exact difference.
    assert loss["low"] == pytest.approx(0.009)
    assert loss["high"] == pytest.approx(0.009)
    assert loss["sign"] == 1


def test_difference_of_a_repaired_score_is_within_the_cell_and_repair_is_against_ce():
    differences = paired_differences(rows(AURC), draws(AURC, NOISE)).set_index("comparison")

    assert differences.loc["score", "difference"] == pytest.approx(-0.011)
    assert differences.loc["score", "sign"] == -1
    assert differences.loc["score", "baseline_loss"] == "ls"
    assert differences.loc["repair", "difference"] == pytest.approx(-0.002)
    assert differences.loc["repair", ["baseline_loss", "baseline_score"]].tolist() == ["ce", "msp"]


def test_sign_is_zero_where_the_interval_holds_zero():
    values = {("ce", 0.0, 0, "msp", "aurc"): 0.02, ("ls", 0.2, 0, "msp", "aurc"): 0.021}
    ce, ls = ({key: v} for key, v in values.items())

    differences = paired_differences(rows(values), pd.concat([draws(ce, NOISE), draws(ls, NOISE[::-1])]))

    assert differences["sign"].tolist() == [0]


def test_differences_use_common_seeds_only():
    values = AURC | {("ls", 0.2, 7, "msp", "aurc"): 0.9}

    differences = paired_differences(rows(values), draws(values, NOISE)).set_index("comparison")

    assert differences.loc["loss", "seeds"] == 2
    assert differences.loc["loss", "value"] == pytest.approx(0.031)


def test_without_ce_only_scores_are_compared():
    values = {key: v for key, v in AURC.items() if key[0] != "ce"}

    assert paired_differences(rows(values), draws(values, NOISE))["comparison"].unique().tolist() == ["score"]


def test_main_table_shows_percent_with_spread_and_dashes(complete):
    table = all_metrics_table(summarise(*complete))

    assert len(table.display) == 4 * 3
    first = table.display.iloc[0]
    assert first[["Loss", "Score"]].tolist() == ["CE", "MSP"]
    assert first["Error % ↓"] == "13.05 ± 0.07"
    assert first["AURC % ↓"] == "2.05 ± 0.07"
    assert first["NLL nats ↓"] == "0.500 ± 0.000"
    smoothed = table.display[(table.display["Loss"] == "LS 0.2") & (table.display["Score"] == "p-norm")].iloc[0]
    assert smoothed["Coverage at 1 % risk % ↑"] == "–"
    assert smoothed["NLL nats ↓"] == "–"
    assert table.data.loc[0, ["error_pct", "nll"]].tolist() == pytest.approx([13.05, 0.5])
    assert table.notes == ()


def test_fallback_is_marked_and_explained(complete):
    keys = [("ce", 0.0, 0, True), ("ce", 0.0, 1, False), ("ls", 0.2, 0, False)]
    fitted = pd.DataFrame(
        [{**PLACE, "loss": a, "alpha": b, "seed": c, "score": "max_logit_pnorm", "fell_back": d} for a, b, c, d in keys]
    )

    table = all_metrics_table(summarise(*complete), fitted)

    labels = table.display.set_index("Loss")["Score"]
    assert labels["CE"].tolist() == ["MSP", "MSP with temperature", "p-norm †"]
    assert "p-norm" in labels["LS 0.2"].tolist()
    assert table.data["fell_back"].sum() == 1
    assert "did not beat MSP" in table.notes[0]


def test_a_score_that_is_not_defined_is_a_row_of_dashes(complete):
    metrics, replicates = (frame[frame["score"] != "max_logit_pnorm"] for frame in complete)
    fitted = pd.DataFrame(
        [{**PLACE, "loss": "ce", "alpha": 0.0, "seed": 0, "score": "max_logit_pnorm", "fell_back": True}]
    )

    table = all_metrics_table(summarise(metrics, replicates), fitted)

    assert table.display.iloc[2, 1:].unique().tolist() == ["p-norm", "–"]
    assert table.data.loc[2, "aurc_pct":].isna().all()
    assert table.notes == ()


def test_unknown_scores_metrics_and_losses_are_shown_by_name():
    values = {("mine", 0.5, 0, "msp", "my_metric"): 0.25}

    table = all_metrics_table(summarise(rows(values), draws(values, NOISE)))

    assert table.display.iloc[0].tolist() == ["mine 0.5", "MSP", "0.2500"]


def test_experiments_get_a_column_only_when_there_are_several(complete):
    summary = summarise(*complete)
    both = pd.concat([summary, summary.assign(experiment="gaussians")])

    assert "Experiment" not in all_metrics_table(summary).display
    assert all_metrics_table(both).display["Experiment"].unique().tolist() == ["gaussians", "glyphs"]


def test_scores_table_has_a_row_a_score_and_two_columns_a_loss(complete):
    table = scores_table(summarise(*complete))

    assert table.display["Score"].tolist() == ["MSP", "MSP with temperature", "p-norm", "Energy"]
    assert list(table.display.columns)[:5] == ["Score", "CE AURC", "CE R@20", "LS 0.2 AURC", "LS 0.2 R@20"]
    assert table.display.loc[3, "CE R@20"] == "0.55 ± 0.00"
    assert table.data.loc[0, "aurc_pct"] == pytest.approx(2.05)


def test_calibration_table_shows_both_stages_and_distances_once(tmp_path):
    values = {}
    for seed in (0, 1):
        for score, ece in (("msp", 0.062), ("msp_temperature_nll", 0.01)):
            key = ("ls", 0.1, seed, score)
            values |= {(*key, "ece"): ece + 0.002 * seed, (*key, "accuracy"): 0.9, (*key, "classwise_ece"): 0.00137}
            values |= {(*key, "mean_logit_distance"): 8.0, (*key, "ece_mbls"): ece}
    summary = summarise(rows(values), draws(values, NOISE))

    table = calibration_table(summary)
    write_table(table, tmp_path / "calibration")

    first = table.display.iloc[0]
    assert first["ECE % ↓"] == "6.30 ± 0.14 → 1.10 ± 0.14"
    assert first["Classwise ECE % ↓"] == "0.137 ± 0.000 → 0.137 ± 0.000"
    assert first["Accuracy % ↑"] == "90.00 ± 0.00"
    assert first["Mean logit distance"] == "8.00 ± 0.00"
    assert not any("MbLS" in column for column in table.display)
    assert table.data.loc[0, ["ece_mbls_pct_before", "ece_mbls_pct_after"]].tolist() == pytest.approx([6.2, 1.0])
    assert r"$\to$" in (tmp_path / "calibration.tex").read_text()


def test_metrics_of_the_calibration_table_stay_out_of_the_all_metrics_table():
    values = {("ce", 0.0, 0, "msp", metric): 0.1 for metric in ("error", "ece", "adaptive_ece", "top_logit_margin")}

    assert list(all_metrics_table(summarise(rows(values), draws(values, NOISE))).display) == [
        "Loss",
        "Score",
        "Error % ↓",
        "ECE % ↓",
    ]


def test_cost_table_adds_times_and_takes_the_largest_memory():
    run = {**PLACE, "loss": "ls", "alpha": 0.1, "device": "cpu", "precision": "bf16", "epochs": 40}
    run["parameters"] = 78126
    runs = pd.DataFrame(
        [
            {**run, "seed": 1, "wall_time_s": 30.0, "images_per_s": 8000.4, "peak_memory_mb": 500.0},
            {**run, "seed": 0, "wall_time_s": 31.5, "images_per_s": 7000.0, "peak_memory_mb": 400.0},
        ]
    ).assign(peak_device_memory_mb=np.nan)

    table = cost_table(runs)

    assert table.display["Seed"].tolist() == ["0", "1", ""]
    assert table.display["Loss"].tolist() == ["LS 0.1", "LS 0.1", ""]
    assert table.display["Precision"].tolist() == ["bf16", "bf16", ""]
    assert table.display["Time (s)"].tolist() == ["31.5", "30.0", "61.5"]
    assert table.display["Images/s"].tolist() == ["7,000", "8,000", ""]
    assert table.display["Peak device memory (MB)"].tolist() == ["–", "–", "–"]
    assert table.data["peak_memory_mb"].tolist() == [400.0, 500.0, 500.0]


def test_short_table_fits_a_terminal(complete):
    text = short_table(summarise(*complete))

    lines = text.splitlines()
    assert lines[0] == "Glyphs, ResNet-8 (percent, mean of 2 seeds)"
    assert max(map(len, lines)) <= 80
    assert lines[-3].split() == ["LS", "0.2", "12.95", "3.05", "2.75", "1.55", "1.50", "0.75"]


def test_tables_are_written_in_three_forms_with_the_same_bytes(complete, tmp_path):
    table = all_metrics_table(summarise(*complete))

    for name in ("a", "b"):
        write_table(table, tmp_path / name)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.md", "a.tex", "b.csv", "b.md", "b.tex"]
    for suffix in ("csv", "md", "tex"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    numbers = pd.read_csv(tmp_path / "a.csv")
    np.testing.assert_allclose(numbers["aurc_pct"], table.data["aurc_pct"])
    assert "| CE       | MSP                  | 13.05 ± 0.07" in (tmp_path / "a.md").read_text()


def test_latex_escapes_what_it_must(complete, tmp_path):
    summary = summarise(*complete).assign(experiment="my_data & 100%")
    write_table(all_metrics_table(pd.concat([summary, summary.assign(experiment="b")])), tmp_path / "t")

    text = (tmp_path / "t.tex").read_text()

    assert r"my\_data \& 100\%" in text
    assert r"$\pm$" in text and r"$\downarrow$" in text
    assert text.isascii()
    assert [text.count(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")] == [3, 3, 3]


def test_markdown_keeps_a_cell_with_a_bar_or_several_lines_in_its_column(complete, tmp_path):
    table = all_metrics_table(summarise(*complete))
    display = table.display.assign(Loss="CE |\nours")
    write_table(replace(table, display=display), tmp_path / "t")

    rows = [line for line in (tmp_path / "t.md").read_text().splitlines() if line.startswith("|")]
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"CE \| ours" in rows[2]


def test_latex_breaks_many_metrics_into_panels_that_repeat_the_labels(complete, tmp_path):
    summary = summarise(*complete)
    more = [summary[summary["metric"] == "aurc"].assign(metric=name) for name in ("eaurc", "augrc", "ece")]
    write_table(all_metrics_table(pd.concat([summary, *more]), losses=LOSSES), tmp_path / "t")

    text = (tmp_path / "t.tex").read_text()

    assert text.count(r"\toprule") == 3  # eight metrics in panels of three
    assert text.count(r"\begin{tabular}{@{}lllll@{}}") == 2
    assert text.count("NLS -0.2 & p-norm &") == 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(complete, tmp_path):
    fitted = pd.DataFrame(
        [{**PLACE, "loss": "ce", "alpha": 0.0, "seed": 0, "score": "msp_temperature", "fell_back": True}]
    )
    summary = summarise(*complete)
    tables = {"main": main_table, "main_all": all_metrics_table}
    for name, make in tables.items():
        write_table(make(summary, fitted, losses=LOSSES), tmp_path / name)
    write_table(scores_table(summary), tmp_path / "scores")
    body = r"\input{main}\input{main_all}\input{scores}"
    (tmp_path / "all.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    )

    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"], cwd=tmp_path, capture_output=True
    )

    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Overfull" not in log, log[-2000:]


def test_main_table_has_five_numbers_with_intervals_before_and_after_normalisation(complete):
    fitted = pd.DataFrame(
        [{**PLACE, "loss": "ce", "alpha": 0.0, "seed": 0, "score": "max_logit_pnorm", "fell_back": True}]
    )

    table = main_table(summarise(*complete), fitted, losses=LOSSES)

    assert list(table.display) == [
        *["Loss", "Error, %", "AURC, MSP, %", "Risk at 20 %, MSP, %", "AURC, p-norm, %", "Risk at 20 %, p-norm, %"]
    ]
    assert table.display.iloc[1].tolist()[:3] == ["LS 0.2", "12.95 [12.86, 13.05]", "3.05 [2.96, 3.15]"]
    assert table.display["AURC, p-norm, %"][0].endswith(" †") and "†" not in table.display["AURC, p-norm, %"][1]
    assert table.data.loc[1, ["aurc_pct", "aurc_pnorm_pct", "seeds"]].tolist() == pytest.approx([3.05, 1.55, 2])
    assert table.notes == ("† did not beat MSP on the validation split in at least one seed and is MSP there.",)


def test_caption_of_one_seed_is_singular(complete):
    table = main_table(summarise(*complete).assign(seeds=1), losses=LOSSES)

    assert "after repair, one seed with its 95 % bootstrap interval" in table.caption


def test_two_classes_have_no_columns_of_normalisation_and_one_sentence_about_it(complete):
    metrics, replicates = (frame[frame["score"] == "msp"] for frame in complete)
    both = [pd.concat([frame, frame.assign(score="msp_temperature")]) for frame in (metrics, replicates)]
    summary = summarise(*both)

    table, text = main_table(summary), short_table(summary)

    assert list(table.display) == ["Loss", "Error, %", "AURC, MSP, %", "Risk at 20 %, MSP, %"]
    assert table.notes == (TWO_CLASSES,)
    assert text.count(TWO_CLASSES) == 1 and "p-norm" not in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, r: summarise(m.drop(columns="seed"), r), r"metrics must have the columns .* missing \['seed'\]"),
        (lambda m, r: summarise(m, r.iloc[:0]), "replicates must have at least one row, got none"),
        (
            lambda m, r: summarise(pd.concat([m, m]), r),
            "metrics must have one row a cell, score and metric, repeated: ",
        ),
        (lambda m, r: summarise(m, pd.concat([r, r])), "replicates must not repeat a row"),
        (
            lambda m, r: all_metrics_table(summarise(m[m["score"] == "energy"], r)),
            "summary restricted to score .* must have at least one row",
        ),
        (lambda m, r: cost_table(m), "runs must have the columns"),
    ],
)
def test_bad_tables_are_named(complete, call, message):
    with pytest.raises(ValueError, match=message):
        call(*complete)


def of_all_pixels():
    """A summary of a segmentation: one loss, two seeds, before and after repair."""
    values = {("ls", 0.2, seed, "msp", "mean_iou"): 0.7 + 0.02 * seed for seed in (0, 1)}
    for score, area in (("msp", 0.006), ("max_logit_pnorm", 0.004)):
        for seed in (0, 1):
            values[("ls", 0.2, seed, score, "error")] = 0.05
            for metric in ("aurc", "augrc"):
                name = f"all_pixels_{metric}"
                values |= {("ls", 0.2, seed, score, f"{name}{end}"): area for end in ("", "_lower", "_upper")}
    return summarise(rows(values), draws(values, NOISE))


def test_table_of_all_pixels_has_values_and_bounds_before_and_after_repair():
    table = segmentation_table(of_all_pixels())

    assert table.data["score"].tolist() == ["msp", "max_logit_pnorm"]
    assert table.data["all_pixels_aurc_pct"].tolist() == pytest.approx([0.6, 0.4])
    assert table.display["mIoU % ↑"].tolist() == ["71.000 ± 1.414", "–"]
    assert table.display["AURC, all pixels % ↓ bounds"].tolist() == ["0.600000 to 0.600000", "0.400000 to 0.400000"]


def test_main_table_says_that_its_pixels_are_a_sample():
    table = all_metrics_table(of_all_pixels())

    assert "a sample" in table.notes[0] and not any("all pixels" in column for column in table.display)
