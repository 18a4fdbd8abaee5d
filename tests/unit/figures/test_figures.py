"""Figures: the data drawn, the texts, the layout and the bytes written."""

import hashlib
import os
import subprocess
import sys
from pkgutil import iter_modules

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from unsmooth import figures, tables
from unsmooth.figures.calibration import logit_distances, reliability
from unsmooth.figures.curves import risk_coverage
from unsmooth.figures.mechanism import extra_gradient, max_logit_given_probability
from unsmooth.figures.style import line_styles, save_figure
from unsmooth.figures.sweeps import degradation, pnorm_sweep
from unsmooth.registry.metrics import LOGIT_DISTANCES
from unsmooth.tables.collection import CellLogits
from unsmooth.tables.labels import Losses, LossName
from unsmooth.tables.summary import SUMMARY
from unsmooth.theory import peak

PLACE = {"experiment": "glyphs", "architecture": "resnet8"}
GRID = [("ce", 0.0), ("ls", 0.1), ("ls", 0.2), ("ls", 0.4), ("nls", -0.2)]
LOSSES = Losses([LossName("ce", "ce"), LossName("ls", "ls"), LossName("nls", "ls", "NLS"), LossName("mbls", "mbls")])
SCORES = ("msp", "max_logit_pnorm")
SEEDS = (0, 1)
COVERAGE = np.array([0.001, 0.1, 0.3, 0.6, 1.0])


def make_curves():
    """Risk 0.1 x coverage + 0.05 alpha (MSP only) + 0.002 seed, and a wild first point."""
    parts = []
    for loss, alpha in GRID:
        for seed in SEEDS:
            for score in SCORES:
                risk = 0.1 * COVERAGE + 0.05 * max(alpha, 0.0) * (score == "msp") + 0.002 * seed
                risk[0] = 1.0
                columns = {"score": score, "coverage": COVERAGE, "selective_risk": risk}
                parts.append(pd.DataFrame({**PLACE, "loss": loss, "alpha": alpha, "seed": seed, **columns}))
    return pd.concat(parts, ignore_index=True)


def make_summary():
    rows = []
    for loss, alpha in GRID:
        for score in SCORES:
            for metric, mean in (("error", 0.129), ("aurc", 0.0271 + alpha / 100), ("risk_at_coverage_20", 0.01)):
                spread = [mean, 0.001, mean - 0.002, mean + 0.003, 2]
                rows.append([*PLACE.values(), loss, alpha, score, metric, *spread])
    return pd.DataFrame(rows, columns=SUMMARY)


def make_sweep():
    """AURC per p and split, the p chosen by each seed (none for CE), and the AURC of MSP."""
    keys = [{**PLACE, "loss": loss, "alpha": alpha, "seed": seed} for loss, alpha in GRID for seed in SEEDS]
    splits = ("val", "test")
    sweep = [
        {**key, "split": split, "p": p, "aurc": 0.02 + 0.001 * abs(p - 4) + 0.001 * key["seed"]}
        for key in keys
        for split in splits
        for p in (1.0, 2.0, 4.0, 8.0)
    ]
    sweep += [{**key, "split": split, "p": np.inf, "aurc": 0.5} for key in keys for split in splits]
    chosen = [{**key, "p": np.nan if key["loss"] == "ce" else 4.0} for key in keys]
    reference = [{**key, "split": split, "aurc": 0.03} for key in keys for split in splits]
    return pd.DataFrame(sweep), pd.DataFrame(chosen), pd.DataFrame(reference)


def make_cells(n=600, num_classes=4):
    """Logits of every configuration, with a known posterior from which the targets are drawn."""
    cells = []
    for seed in SEEDS:
        for split in ("train", "val", "test"):
            generator = np.random.default_rng([seed, ("train", "val", "test").index(split)])
            logits = 2.0 * generator.normal(size=(n, num_classes))
            posterior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            targets = (generator.uniform(size=(n, 1)) > posterior.cumsum(axis=1)).sum(axis=1)
            for loss, alpha in GRID:
                scaled = (logits * (1.0 - max(alpha, 0.0))).astype(np.float32)
                cells.append(CellLogits(loss, alpha, seed, split, scaled, targets, posterior))
    return cells


def make_diagrams():
    """Four bins with 0, 10, 30 and 60 samples; seed 1 is right half as often in the third."""
    keys = [{**PLACE, "loss": loss, "alpha": alpha, "seed": seed} for loss, alpha in GRID for seed in SEEDS]
    low, count = np.arange(4) / 4, np.array([0, 10, 30, 60])
    parts = []
    for key in keys:
        for score, shift in (("msp", 0.1), ("msp_temperature", 0.05), ("msp_temperature_nll", 0.0)):
            confidence = np.where(count > 0, low + 0.15, np.nan)
            accuracy = confidence - shift
            accuracy[2] /= 1 + key["seed"]
            columns = {"bin": range(4), "low": low, "high": low + 0.25, "count": count}
            columns |= {"confidence": confidence, "accuracy": accuracy}
            parts.append(pd.DataFrame({**key, "score": score, **columns}))
    return pd.concat(parts, ignore_index=True)


def make_calibration():
    rows = []
    for loss, alpha in GRID:
        for score, factor in (("msp", 1.0), ("msp_temperature_nll", 0.5)):
            for metric, mean in (("ece", 0.062), *((name, 8.0 + alpha) for name in LOGIT_DISTANCES)):
                value = factor * mean
                rows.append([*PLACE.values(), loss, alpha, score, metric, value, 0.1, 0.9 * value, 1.2 * value, 2])
    return pd.DataFrame(rows, columns=SUMMARY)


CELLS = make_cells()
FIGURES = {
    "risk_coverage": lambda: risk_coverage(make_curves(), make_summary(), losses=LOSSES),
    "risk_coverage_after": lambda: risk_coverage(
        make_curves(), make_summary(), score="max_logit_pnorm", band="minmax", losses=LOSSES
    ),
    "degradation": lambda: degradation(make_summary(), losses=LOSSES),
    "pnorm_sweep": lambda: pnorm_sweep(*make_sweep(), losses=LOSSES),
    "max_logit": lambda: max_logit_given_probability(CELLS, title="glyphs, resnet8", losses=LOSSES),
    "extra_gradient_exact": lambda: extra_gradient(CELLS, error="exact", title="gaussians, mlp", losses=LOSSES),
    "extra_gradient_estimated": lambda: extra_gradient(CELLS, title="glyphs, resnet8", losses=LOSSES),
    "reliability": lambda: reliability(make_diagrams(), make_calibration(), losses=LOSSES),
    "logit_distances": lambda: logit_distances(make_calibration(), losses=LOSSES),
}


@pytest.fixture(scope="module")
def drawn():
    """Every figure, laid out, with its data."""
    made = {name: make() for name, make in FIGURES.items()}
    for figure, _ in made.values():
        figure.canvas.draw()
    return made


def legend_texts(figure):
    """Entries of the legend in reading order: along rows, from the top."""
    entries = [(text.get_window_extent(), text.get_text()) for text in figure.legends[0].get_texts()]
    return [text for _, text in sorted(entries, key=lambda entry: (-round(entry[0].y0), entry[0].x0))]


def texts_of(figure):
    """All visible non-empty texts of a figure, those of tick labels included."""
    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", FIGURES)
def test_legend_never_covers_an_axes(drawn, name):
    figure, _ = drawn[name]
    legend = figure.legends[0].get_window_extent()

    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert all(axes.get_legend() is None for axes in figure.axes)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_clipped_and_every_font_is_at_least_seven_points(drawn, name):
    figure, _ = drawn[name]
    page = figure.bbox

    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0 and legend.x1 <= page.x1
    assert min(text.get_fontsize() for text in texts_of(figure)) >= 7.0


@pytest.mark.parametrize("name", FIGURES)
def test_titles_of_neighbours_do_not_touch(drawn, name):
    figure, _ = drawn[name]
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]

    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@pytest.mark.parametrize("name", FIGURES)
def test_outer_axes_are_labelled(drawn, name):
    figure, _ = drawn[name]

    for axes in figure.axes:
        spec = axes.get_subplotspec()
        assert axes.get_xlabel() or not spec.is_last_row()
        assert axes.get_ylabel() or not spec.is_first_col()


def test_risk_coverage_draws_means_and_deviations_over_seeds(drawn):
    figure, data = drawn["risk_coverage"]
    row = data[(data["loss"] == "ls") & (data["alpha"] == 0.4) & (data["coverage"] == 0.3)].iloc[0]

    assert row["mean"] == pytest.approx(0.03 + 0.02 + 0.001)
    assert row["std"] == pytest.approx(np.std([0.0, 0.002], ddof=1))
    assert row[["min", "max"]].tolist() == pytest.approx([0.05, 0.052])
    line = figure.axes[0].get_lines()[3]
    np.testing.assert_allclose(line.get_xdata(), [10.0, 30.0, 60.0, 100.0])
    np.testing.assert_allclose(line.get_ydata(), [3.1, 5.1, 8.1, 12.1])
    assert len(data) == len(GRID) * len(COVERAGE)


def test_risk_coverage_without_a_point_in_the_zoomed_part_leaves_that_panel_empty():
    figure, _ = risk_coverage(make_curves(), make_summary(), zoom_coverage=1e-4, losses=LOSSES)

    assert [axes.get_ylim()[0] for axes in figure.axes[:2]] == [0.0, 0.0]
    assert np.isfinite(figure.axes[1].get_ylim()).all()


def test_risk_coverage_legend_gives_error_and_aurc_in_percent(drawn):
    figure, _ = drawn["risk_coverage"]

    assert legend_texts(figure) == [
        "CE (12.9, 2.71)",
        "LS 0.1 (12.9, 2.81)",
        "LS 0.2 (12.9, 2.91)",
        "LS 0.4 (12.9, 3.11)",
        "NLS -0.2 (12.9, 2.51)",
    ]
    assert "thin lines: the 2 seeds" in figure.legends[0].get_title().get_text()


def test_figures_before_and_after_share_their_axis_limits():
    limits = [
        [axes.get_ylim() for axes in risk_coverage(make_curves(), make_summary(), score=score, losses=LOSSES)[0].axes]
        for score in SCORES
    ]

    assert limits[0] == limits[1]
    # The upper seed of LS 0.4 under MSP at full coverage and at 60 %; the wild point below min_coverage does not count.
    assert limits[0][0][1] == pytest.approx(105 * 0.122)
    assert limits[0][1][1] == pytest.approx(105 * 0.082)


@pytest.mark.parametrize(("band", "text", "half"), [("std", "± 1 std", 0.2), ("minmax", "min to max", 0.2)])
def test_three_seeds_are_a_band_and_two_are_lines(band, text, half):
    two = make_curves()
    three = pd.concat(
        [two, two[two["seed"] == 1].assign(seed=2, selective_risk=lambda rows: rows["selective_risk"] + 0.002)]
    )

    few, many = (risk_coverage(curves, make_summary(), band=band, losses=LOSSES)[0] for curves in (two, three))

    assert not few.axes[0].collections and len(few.axes[0].get_lines()) == 3 * len(GRID)
    assert f"band: {text} over 3 seeds" in many.legends[0].get_title().get_text()
    corners = many.axes[0].collections[0].get_paths()[0].vertices
    at_ten = corners[corners[:, 0] == 10.0][:, 1]
    assert (at_ten.min(), at_ten.max()) == pytest.approx((1.2 - half, 1.2 + half))


def test_risk_at_low_coverage_is_logarithmic_where_it_spans_a_wide_range():
    curves = make_curves()
    curves.loc[curves["coverage"] == 0.1, "selective_risk"] /= 100

    figure, _ = risk_coverage(curves, make_summary(), losses=LOSSES)

    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log"]


def test_one_seed_has_a_line_without_a_band():
    curves = make_curves()

    figure, data = risk_coverage(curves[curves["seed"] == 0], make_summary(), losses=LOSSES)

    assert data["std"].isna().all()
    assert not figure.axes[0].collections
    assert figure.legends[0].get_title().get_text().endswith("one seed")


def test_losses_of_different_numbers_of_seeds_are_told_so():
    curves = make_curves()
    figure, _ = risk_coverage(curves[(curves["seed"] == 0) | (curves["loss"] == "ce")], make_summary(), losses=LOSSES)

    seeds = curves["seed"].nunique()
    assert f"mean of 1 to {seeds} seeds; " in figure.legends[0].get_title().get_text()


def test_degradation_draws_intervals_and_the_error_once(drawn):
    figure, data = drawn["degradation"]

    assert [axes.get_title() for axes in figure.axes] == ["AURC", "Error", "Risk at 20 % coverage", "", "", ""]
    assert [len(axes.containers) for axes in figure.axes] == [2, 1, 2] * 2
    line, _, (bars,) = figure.axes[0].containers[0]
    np.testing.assert_allclose(line.get_xdata().astype(float), [0.0, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(line.get_ydata().astype(float), [2.71, 2.81, 2.91, 3.11])
    np.testing.assert_allclose(bars.get_segments()[0], [[0.0, 2.51], [0.0, 3.01]])
    negative = figure.axes[3].containers[0][0]
    np.testing.assert_allclose(negative.get_xdata().astype(float), [-0.2, 0.0])
    assert data.loc[data["metric"] == "error", "score"].unique().tolist() == ["msp"]


def test_pnorm_sweep_counts_the_seeds_that_chose_p_and_keeps_the_reference(drawn):
    figure, data = drawn["pnorm_sweep"]
    smoothed = data[(data["loss"] == "ls") & (data["alpha"] == 0.1) & (data["split"] == "test")]

    assert smoothed["p"].tolist() == [1.0, 2.0, 4.0, 8.0, np.inf]
    assert smoothed["chosen"].tolist() == [0, 0, 2, 0, 0]
    assert smoothed["mean"].tolist() == pytest.approx([0.0235, 0.0225, 0.0205, 0.0245, 0.5])
    assert (data["msp"] == 0.03).all()
    assert data.loc[data["loss"] == "ce", "chosen"].sum() == 0
    assert [axes.get_title() for axes in figure.axes] == ["Validation (p is chosen here)", "Test"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2", "4", "8", "∞"]
    assert figure.axes[0].get_ylim()[1] < 4.0  # p = inf would reach 47 points
    line = figure.axes[1].get_lines()[2]
    np.testing.assert_allclose(line.get_ydata()[:4], [-0.65, -0.75, -0.95, -0.55])


def test_pnorm_sweep_leaves_out_a_split_without_a_reference():
    sweep, chosen, reference = make_sweep()

    figure, data = pnorm_sweep(sweep, chosen, reference[reference["split"] == "test"], losses=LOSSES)

    assert data.loc[data["split"] == "val", "msp"].isna().all()
    assert [axes.get_title() for axes in figure.axes] == ["Test"]


def test_max_logit_windows_hold_counts_of_both_outcomes(drawn):
    figure, data = drawn["max_logit"]
    ce_test = [cell for cell in CELLS if (cell.loss, cell.split) == ("ce", "test")]
    probability = np.concatenate([peak(cell.logits).probability for cell in ce_test])
    correct = np.concatenate([peak(cell.logits).prediction == cell.targets for cell in ce_test])
    max_logit = np.concatenate([peak(cell.logits).max_logit for cell in ce_test])
    mine = data[(data["loss"] == "ce") & (data["split"] == "test") & (data["outcome"] == "wrong")]
    row = mine.iloc[100]
    chosen = ~correct & (np.abs(probability - row["probability"]) < 0.025)

    assert data.groupby(["split", "loss", "outcome"]).size().tolist() == [191] * 8
    assert row["count"] == chosen.sum() > 10
    assert row["mean"] == pytest.approx(max_logit[chosen].mean())
    assert row["std"] == pytest.approx(max_logit[chosen].std(ddof=1))
    assert mine.iloc[0]["count"] == 0 and np.isnan(mine.iloc[0]["mean"])
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "LS 0.4, train: wrong minus correct",
        "CE, train",
        "LS 0.4, train",
    ]


def test_max_logit_difference_is_wrong_minus_correct(drawn):
    figure, data = drawn["max_logit"]
    smoothed = data[(data["loss"] == "ls") & (data["split"] == "test")].pivot(
        index="probability", columns="outcome", values=["mean", "count"]
    )
    kept = smoothed[(smoothed["count"] >= 10).all(axis=1)]["mean"]

    line = figure.axes[3].get_lines()[1]

    np.testing.assert_allclose(line.get_ydata(), kept["wrong"] - kept["correct"])


def test_max_logit_band_is_two_standard_errors_of_the_mean(drawn):
    figure, data = drawn["max_logit"]
    row = data[(data["loss"] == "ce") & (data["split"] == "test") & (data["outcome"] == "correct")].iloc[100]

    corners = figure.axes[4].collections[0].get_paths()[0].vertices
    limits = corners[np.isclose(corners[:, 0], row["probability"])][:, 1]

    error = 2 * row["std"] / np.sqrt(row["count"])
    assert (limits.min(), limits.max()) == pytest.approx((row["mean"] - error, row["mean"] + error))


@pytest.mark.parametrize("name", ["extra_gradient_exact", "extra_gradient_estimated"])
def test_extra_gradient_lies_on_the_line_within_its_errors(drawn, name):
    _, data = drawn[name]
    data = data[data["count"] >= 40]

    expected = data["alpha"] * (1 - data["error"] - 1 / 4)
    np.testing.assert_allclose(data["expected"], expected)
    z = (data["gradient"] - expected) / np.hypot(data["gradient_se"], data["alpha"] * data["error_se"])
    assert np.abs(z).max() < 3.5
    assert data["alpha"].unique().tolist() == [0.1, 0.2, 0.4, -0.2]
    assert (data["seeds"] == 2).all()


def test_error_of_a_bin_without_validation_samples_is_unknown():
    sure, unsure, between = [5.0, 0.0], [1.0, 0.0], [1.1, 0.0]
    splits = {"val": [sure, sure, unsure, unsure], "test": [sure, between, unsure] * 20}
    cells = [
        CellLogits("ls", 0.2, 0, split, np.array(rows, np.float32), np.zeros(len(rows), np.int64))
        for split, rows in splits.items()
    ]

    _, data = extra_gradient(cells, bins=4, losses=LOSSES)

    assert data["error"].isna().tolist() == [False, True, False]


def test_exact_error_has_no_error_of_its_own_and_counts_all_test_samples(drawn):
    _, data = drawn["extra_gradient_exact"]

    assert (data["error_se"] == 0).all()
    assert data.groupby(["loss", "alpha"])["count"].sum().tolist() == [1200] * 4


def test_reliability_pools_the_samples_of_all_seeds(drawn):
    figure, data = drawn["reliability"]
    bins = data[(data["loss"] == "ls") & (data["alpha"] == 0.2) & (data["score"] == "msp")]

    assert bins["count"].tolist() == [0, 20, 60, 120]
    assert bins["share"].tolist() == pytest.approx([0, 0.1, 0.3, 0.6])
    assert bins["confidence"].tolist()[1:] == pytest.approx([0.4, 0.65, 0.9])
    assert bins["accuracy"].tolist()[1:] == pytest.approx([0.3, 0.55 * 0.75, 0.8])
    assert bins.iloc[0][["confidence", "accuracy"]].isna().all()
    assert set(data["score"]) == {"msp", "msp_temperature_nll"}
    before = figure.axes[0].get_lines()[1]
    np.testing.assert_allclose(before.get_xdata(), [40, 65, 90])
    np.testing.assert_allclose(before.get_ydata(), [30, 55 * 0.75, 80])


def test_reliability_has_a_titled_panel_a_configuration(drawn):
    figure, _ = drawn["reliability"]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]

    assert len(titles) == len(GRID) and len(figure.axes) == 2 * len(GRID)
    assert titles[:2] == ["CE\nECE 6.2 → 3.1 %", "LS 0.1\nECE 6.2 → 3.1 %"]


def test_bins_of_few_samples_are_in_the_data_but_not_drawn():
    diagrams = make_diagrams()

    figure, data = reliability(diagrams[diagrams["seed"] == 0], make_calibration(), losses=LOSSES)

    assert 10 in data["count"].to_numpy()
    np.testing.assert_allclose(figure.axes[0].get_lines()[1].get_xdata(), [65, 90])


def test_logit_distances_draw_both_stages_with_their_intervals(drawn):
    figure, _ = drawn["logit_distances"]

    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == ["CE", "LS 0.1"]
    for (line, _, (bars,)), factor in zip(figure.axes[0].containers, (1.0, 0.5), strict=True):
        np.testing.assert_allclose(line.get_xdata().astype(float)[:2], [8.0 * factor, 8.1 * factor])
        np.testing.assert_allclose(bars.get_segments()[0][:, 0], [7.2 * factor, 9.6 * factor])


def test_repeating_a_seed_does_not_shrink_the_standard_errors():
    test = [cell for cell in CELLS if (cell.loss, cell.alpha, cell.split, cell.seed) == ("ls", 0.2, "test", 0)]

    once = extra_gradient(test, error="exact", losses=LOSSES)[1]
    twice = extra_gradient(test + [test[0]._replace(seed=1)], error="exact", losses=LOSSES)[1]

    np.testing.assert_allclose(once["gradient_se"], twice["gradient_se"])
    assert (twice["count"] == 2 * once["count"]).all()


def test_ce_is_black_and_smoothing_darkens_with_alpha():
    styles = line_styles([*GRID, ("mbls", 0.1)], LOSSES)
    lightness = [np.dot(to_rgb(styles["ls", alpha]["color"]), [0.2126, 0.7152, 0.0722]) for alpha in (0.1, 0.2, 0.4)]

    assert styles["ce", 0.0]["color"] == "black"
    assert lightness[0] - lightness[1] > 0.1 and lightness[1] - lightness[2] > 0.1 and lightness[2] > 0.1
    dashes = [str(styles[key]["linestyle"]) for key in (("ls", 0.1), ("nls", -0.2), ("mbls", 0.1))]
    assert len(set(dashes)) == 3


def test_drawing_leaves_the_callers_settings_alone():
    before = dict(matplotlib.rcParams)

    degradation(make_summary(), losses=LOSSES)

    assert dict(matplotlib.rcParams) == before


def test_figure_is_saved_in_three_forms_with_embedded_truetype_fonts(tmp_path):
    figure, data = degradation(make_summary(), losses=LOSSES)

    save_figure(figure, data, tmp_path / "new" / "degradation")

    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "degradation.csv",
        "degradation.pdf",
        "degradation.png",
    ]
    pdf = (tmp_path / "new" / "degradation.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "degradation.csv"), data)


def test_failed_save_leaves_the_old_files(tmp_path):
    figure, data = degradation(make_summary(), losses=LOSSES)
    for suffix in ("pdf", "png", "csv"):
        (tmp_path / f"f.{suffix}").write_text("old")

    with pytest.raises(AttributeError):
        save_figure(figure, None, tmp_path / "f")

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "f.csv": "old",
        "f.pdf": "old",
        "f.png": "old",
    }


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(tmp_path):
    code = (
        "import sys, pandas as pd\n"
        "from unsmooth.figures.style import save_figure\n"
        "from unsmooth.figures.sweeps import degradation\n"
        "save_figure(*degradation(pd.read_csv(sys.argv[1])), sys.argv[2])\n"
    )
    make_summary().to_csv(tmp_path / "summary.csv", index=False)
    digests = []
    for seed in ("1", "2"):
        stem = tmp_path / seed / "figure"
        command = [sys.executable, "-c", code, str(tmp_path / "summary.csv"), str(stem)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        files = sorted(stem.parent.iterdir())
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])

    assert digests[0] == digests[1]


def test_figures_and_tables_do_not_import_torch():
    modules = [name for room in (figures, tables) for _, name, _ in iter_modules(room.__path__, f"{room.__name__}.")]
    modules.remove("unsmooth.figures.maps")  # it reads scenes, which need torch
    code = f"import sys, {', '.join(modules)}; print({{'torch'}} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "set()"


def without(frame, **columns):
    mask = np.logical_and.reduce([frame[name] == value for name, value in columns.items()])
    return frame[~mask]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: risk_coverage(make_curves(), make_summary(), score="energy", losses=LOSSES),
            "curves restricted to the score 'energy'",
        ),
        (
            lambda: risk_coverage(
                make_curves(), without(make_summary(), loss="ls", alpha=0.2, metric="aurc"), losses=LOSSES
            ),
            r"summary must have \['aurc'\] of LS 0.2 under 'msp' in Glyphs, ResNet-8",
        ),
        (
            lambda: risk_coverage(make_curves().iloc[1:], make_summary(), losses=LOSSES),
            "the same coverage grid in every cell",
        ),
        (
            lambda: risk_coverage(make_curves(), make_summary(), zoom_coverage=60, losses=LOSSES),
            r"zoom_coverage must be in \(0, 1\], got 60",
        ),
        (
            lambda: risk_coverage(
                pd.concat([make_curves(), make_curves().assign(experiment="b")]), make_summary(), losses=LOSSES
            ),
            "curves must hold one experiment and architecture",
        ),
        (lambda: degradation(make_summary(), losses=Losses([LossName("focal", "ls")])), "summary restricted to"),
        (
            lambda: degradation(without(make_summary(), metric="aurc", score="max_logit_pnorm"), losses=LOSSES),
            "summary must have 'aurc' under 'max_logit_pnorm'",
        ),
        (
            lambda: pnorm_sweep(
                without(make_sweep()[0], loss="ls", alpha=0.1, split="val"), *make_sweep()[1:], losses=LOSSES
            ),
            "sweep must have LS 0.1 on 'val'",
        ),
        (
            lambda: max_logit_given_probability([cell for cell in CELLS if cell.split != "train"], losses=LOSSES),
            "cells must include CE on 'train'",
        ),
        (lambda: max_logit_given_probability(CELLS, alpha=0.3, losses=LOSSES), "cells must include LS 0.3 on 'train'"),
        (lambda: max_logit_given_probability(CELLS, loss="mbls", losses=LOSSES), "cells must include the loss 'mbls'"),
        (
            lambda: extra_gradient([cell for cell in CELLS if cell.loss == "ce"], losses=LOSSES),
            "cells must include test logits of a loss",
        ),
        (
            lambda: extra_gradient([cell for cell in CELLS if cell.split == "test"], losses=LOSSES),
            "cells must include validation logits to estimate the error, LS 0.1, seed 0 has none",
        ),
        (
            lambda: extra_gradient([cell._replace(posterior=None) for cell in CELLS], error="exact", losses=LOSSES),
            "LS 0.1, seed 0 has none",
        ),
    ],
)
def test_missing_rows_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_classes_have_no_p_norm_and_the_figures_say_so(tmp_path):
    curves, summary = (without(frame, score="max_logit_pnorm") for frame in (make_curves(), make_summary()))
    sweep, chosen, reference = make_sweep()

    made = {
        "curves": risk_coverage(curves, summary, score="max_logit_pnorm", losses=LOSSES),
        "sweep": pnorm_sweep(sweep[:0], chosen, reference, losses=LOSSES),
    }

    for name, (figure, data) in made.items():
        assert "p-norm is not defined for these logits" in figure.axes[0].texts[0].get_text()
        assert figure.get_suptitle() == "Glyphs, ResNet-8, p-norm"
        assert data.empty
        save_figure(figure, data, tmp_path / name)
    figure, data = degradation(summary, losses=LOSSES)
    assert set(data["score"]) == {"msp"}
