"""Facts about the results of a finished run."""

import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from unsmooth.config.loading import load_experiment
from unsmooth.logits.logits_file import read_logits
from unsmooth.registry.metrics import LOGIT_DISTANCES
from unsmooth.registry.scores import MAIN_SCORES
from unsmooth.tables.summary import SUMMARY

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

EXPERIMENTS = {"tiny_glyphs": "resnet8", "tiny_gaussians": "mlp"}
TEST_SIZES = {"tiny_glyphs": 300, "tiny_gaussians": 500}
FIGURES = [
    "risk_coverage_msp",
    "risk_coverage_max_logit_pnorm",
    "max_logit",
    "degradation",
    "pnorm_sweep",
    "extra_gradient",
    "reliability",
    "logit_distances",
]


def cells(finished, name):
    return load_experiment(finished.folder / "experiments" / f"{name}.yaml").cells(name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_has_every_file(finished, name):
    for cell in cells(finished, name):
        folder = finished.folder / cell.folder
        for file in (
            "model.safetensors",
            "history.csv",
            "run.json",
            "metrics.csv",
            "bootstrap.parquet",
            "curves.parquet",
            "reliability.parquet",
        ):
            assert (folder / file).stat().st_size > 0
        assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_logits_are_finite_and_belong_to_their_cell(finished, name):
    for cell in cells(finished, name):
        found = read_logits(finished.folder / cell.folder / "logits" / "test.safetensors")
        assert len(found.logits) == TEST_SIZES[name]
        assert np.isfinite(found.logits).all()
        assert found.metadata["cell"] == vars(cell)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_summary_has_every_cell_score_and_metric_in_range(finished, name):
    summary = pd.read_csv(finished.folder / "results" / "tables" / name / "summary.csv")
    groups = summary.groupby(["loss", "alpha"])

    assert set(groups.groups) == {(cell.loss, cell.alpha) for cell in cells(finished, name)}
    for _, group in groups:
        assert set(MAIN_SCORES) <= set(group["score"])
        assert {"error", "aurc", "aurc_paper", "eaurc", "augrc", "failure_auroc", "ece", "nll", "brier"} <= set(
            group["metric"]
        )
        calibrated = group[group["score"] == "msp_temperature_nll"]
        assert {"accuracy", "adaptive_ece", "classwise_ece", *LOGIT_DISTANCES} <= set(calibrated["metric"])
        assert {"coverage_at_risk_1", "coverage_at_risk_5", "risk_at_coverage_10", "risk_at_coverage_80"} <= set(
            group["metric"]
        )
    risks = summary[~summary["metric"].isin(["nll", "brier", "naurc", *LOGIT_DISTANCES])]
    assert risks[["mean", "low", "high"]].stack().dropna().between(0, 1).all()
    inside = summary.dropna(subset=["low", "high"])
    assert (inside["low"] <= inside["high"]).all()
    assert (summary["seeds"] == 1).all()


def test_merged_summary_holds_all_experiments(finished):
    merged = pd.read_csv(finished.folder / "results" / "tables" / "summary.csv")

    assert list(merged.columns) == SUMMARY
    assert set(merged["experiment"]) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_come_as_pdf_png_and_data(finished, name, figure):
    folder = finished.folder / "results" / "figures" / name / EXPERIMENTS[name]

    assert (folder / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(folder / f"{figure}.csv")) > 0


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("table", ["main", "main_all", "scores", "calibration", "losses", "cost"])
def test_tables_come_in_three_formats(finished, name, table):
    folder = finished.folder / "results" / "tables" / name

    assert len(pd.read_csv(folder / f"{table}.csv")) > 0
    assert "|" in (folder / f"{table}.md").read_text()
    assert r"\toprule" in (folder / f"{table}.tex").read_text()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_losses_are_compared_in_words(finished, name):
    text = (finished.folder / "results" / "tables" / name / "losses_summary.md").read_text()

    assert f"# {name}, {EXPERIMENTS[name]}: which losses keep" in text
    assert "## Ranked by MSP\n" in text and "## Ranked by p-norm\n" in text


def test_every_job_wrote_a_log_and_a_benchmark(finished):
    logs = {
        path.relative_to(finished.folder / "results/logs").with_suffix("")
        for path in (finished.folder / "results/logs").rglob("*.log")
    }
    benchmarks = {
        path.relative_to(finished.folder / "results/benchmarks").with_suffix("")
        for path in (finished.folder / "results/benchmarks").rglob("*.tsv")
    }

    assert logs == benchmarks
    assert {path.parts[0] for path in logs} >= {"build_dataset", "train", "dump_logits", "score", "evaluate", "collect"}


def test_training_log_shows_progress(finished):
    log = (finished.folder / "results/logs/train/tiny_glyphs/resnet8/ls_alpha-0.1/seed-0.log").read_text()

    for epoch in (1, 2, 3):
        assert f"epoch {epoch}/3  loss " in log
    assert "samples/s" in log and "accuracy" in log and "s left" in log


def test_run_json_says_where_the_weights_come_from(finished):
    run = json.loads((finished.folder / "results/cells/tiny_glyphs/resnet8/nls_alpha--0.2/seed-0/run.json").read_text())

    assert run["loss"] == {"kind": "ls", "alpha": -0.2}
    assert run["seed"] == 0 and run["recipe"]["epochs"] == 3 and run["device"]
    assert run["wall_time_s"] > 0 and run["images_per_s"] > 0 and run["peak_memory_mb"] > 0
    assert len(run["code"]) == 16 and run["git_commit"] and run["versions"]["torch"]


def test_run_writes_one_line_a_finished_job(finished):
    lines = [line for line in finished.log.splitlines() if "evaluate tiny_glyphs/resnet8/ls_alpha-0.1/seed-0" in line]

    assert len(lines) == 1
    assert re.fullmatch(r"\[\d+/\d+\] evaluate tiny_glyphs/resnet8/ls_alpha-0.1/seed-0 \(\d+ s\)", lines[0])
    assert "Finished jobid" not in finished.log and "pnorm_sweep.pdf" not in finished.log


def test_run_ends_with_results_and_costs(finished):
    assert "Tiny glyphs, ResNet-8 (percent" in finished.log
    assert "Cost by rule" in finished.log
    assert re.search(r"train \d+ s \(\d+\)", finished.log.split("Cost by rule")[1])


def test_run_writes_its_page(finished):
    page = (finished.folder / "results" / "report" / "index.html").read_text()

    assert all(name in page for name in EXPERIMENTS)


def test_named_targets_exist(finished):
    listed = set(finished.snakemake("--list-rules").stdout.split())

    assert {"all", "embedded", "tables", "figures", "tiny_glyphs", "tiny_gaussians"} <= listed
    assert {f"figure_{name}" for name in FIGURES} | {"table_main", "table_scores", "table_cost"} <= listed
    assert finished.planned("tiny_glyphs") == finished.planned("figure_degradation") == set()


def test_html_report_opens_on_the_headlines_and_has_captions(finished, tmp_path):
    report = tmp_path / "report.html"
    done = finished.snakemake("--report", str(report), "--report-metadata", "workflow/report/metadata.yaml")

    assert done.returncode == 0, done.stderr
    assert "System Message" not in done.stderr + done.stdout
    text = report.read_text()
    assert "tiny_glyphs" in text and "risk-coverage curves" in text
    opening = json.loads(re.search(r"var workflow_desc = (.*);", text)[1])
    for name in EXPERIMENTS:
        headline = (finished.folder / f"results/tables/{name}/findings.md").read_text().splitlines()[2]
        assert headline in unescape(opening)
    assert "System Message" not in opening


def test_results_do_not_depend_on_cores_or_folder(finished, fresh):
    cell = "results/cells/tiny_glyphs/resnet8/ls_alpha-0.1/seed-0"
    done = fresh.snakemake(f"{cell}/metrics.csv", "--cores", "1")

    assert done.returncode == 0, done.stderr
    for file in ("model.safetensors", "history.csv", "metrics.csv", "scores/fitted.json"):
        assert (fresh.folder / cell / file).read_bytes() == (finished.folder / cell / file).read_bytes()


def test_scheduler_looks_through_the_waiting_jobs_once_a_job(workspace):
    output = workspace.run("tables", "--forcerun", "collect", "--verbose")

    finished = len(re.findall(r"^\[\d+/\d+\]", output, re.MULTILINE))
    assert 5 < finished <= output.count("Ready jobs") + 1
    assert output.count("Ready jobs") <= finished + 1
