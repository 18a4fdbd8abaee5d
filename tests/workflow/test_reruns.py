"""Which jobs run again after an edit: exactly these, no other."""

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GLYPHS = "tiny_glyphs"
FIGURES = {
    f"draw_risk_coverage {GLYPHS}/resnet8/msp",
    f"draw_risk_coverage {GLYPHS}/resnet8/max_logit_pnorm",
    f"draw_max_logit {GLYPHS}/resnet8",
    f"draw_degradation {GLYPHS}/resnet8",
    f"draw_pnorm_sweep {GLYPHS}/resnet8",
    f"draw_extra_gradient {GLYPHS}/resnet8",
    f"draw_reliability {GLYPHS}/resnet8",
    f"draw_logit_distances {GLYPHS}/resnet8",
}
TABLES = {f"write_{table} {GLYPHS}" for table in ("main", "scores", "calibration", "losses", "findings")}
COLLECTED = {f"collect {GLYPHS}", "merge_summaries"}
PAGE = {f"collect_page {GLYPHS}", "write_page"}
REDRAWN = FIGURES | TABLES | COLLECTED | PAGE | {f"write_cost {GLYPHS}"}
CELLS = [f"{GLYPHS}/resnet8/{cell}/seed-0" for cell in ("ce_alpha-0", "ls_alpha-0.1", "nls_alpha--0.2")]
GAUSSIAN_CELLS = [f"tiny_gaussians/mlp/{cell}/seed-0" for cell in ("ce_alpha-0", "ls_alpha-0.2")]


def chain(*cells, first="train"):
    rules = ["train", "dump_logits", "score", "evaluate"]
    return {f"{rule} {cell}" for rule in rules[rules.index(first) :] for cell in cells}


def gaussian(jobs):
    return {job.replace(GLYPHS, "tiny_gaussians").replace("resnet8", "mlp") for job in jobs}


def test_nothing_runs_when_nothing_changed(workspace):
    assert workspace.planned() == set()


def test_braces_in_a_description_are_no_wildcards(workspace):
    workspace.edit_experiment(GLYPHS, description="Glyphs {loss} by {seed} and {nobody}.")

    assert workspace.planned() == {"write_page"}


def test_new_alpha_trains_its_cells_and_redraws(workspace):
    workspace.edit_experiment(
        GLYPHS, losses={"ce": None, "ls": {"alpha": [0.1, 0.3]}, "nls": {"kind": "ls", "alpha": [-0.2]}}
    )
    planned = workspace.planned()

    assert planned == chain(f"{GLYPHS}/resnet8/ls_alpha-0.3/seed-0") | REDRAWN

    executed = workspace.run()
    assert executed.count("] train ") == 1
    assert workspace.planned() == set()


def test_new_seed_trains_its_cells_and_redraws(workspace):
    workspace.edit_experiment(GLYPHS, seeds=[0, 7])

    assert workspace.planned() == chain(*(f"{cell[:-1]}7" for cell in CELLS)) | REDRAWN


def test_student_is_trained_after_its_teacher_and_again_when_the_teacher_is(fresh):
    kd = {"kind": "distillation", "alpha": [0.9], "teacher": "ls"}
    fresh.edit_experiment(GLYPHS, losses={"ce": None, "ls": {"alpha": [0.1]}, "kd": kd})
    teacher, student = (f"{GLYPHS}/resnet8/{cell}/seed-0" for cell in ("ls_alpha-0.1", "kd_alpha-0.9"))
    weights = {cell: f"results/cells/{cell}/model.safetensors" for cell in (teacher, student)}

    planned = fresh.planned(weights[student])
    assert {job for job in planned if job.startswith("train")} == {f"train {teacher}", f"train {student}"}

    fresh.run(weights[student])
    assert fresh.planned(weights[student]) == set()

    with (fresh.folder / weights[teacher]).open("ab") as file:
        file.write(b"trained anew")
    assert fresh.planned(weights[student]) == {f"train {student}"}


def test_alpha_written_otherwise_is_the_same_cell(workspace):
    workspace.edit("experiments/tiny_glyphs.yaml", "alpha: [0.1]", "alpha: [0.10]")
    workspace.edit("experiments/tiny_glyphs.yaml", "alpha: [-0.2]", "alpha: [-2.0e-1]")

    assert workspace.planned() == set()


def test_path_with_another_spelling_of_alpha_is_refused(workspace):
    done = workspace.snakemake("results/cells/tiny_glyphs/resnet8/ls_alpha-0.10/seed-0/model.safetensors", "--dry-run")

    assert done.returncode != 0
    assert "ls_alpha-0.10/seed-0 is not a cell of experiment tiny_glyphs" in done.stdout + done.stderr


def test_new_score_rescores_without_training(workspace):
    workspace.edit("config.yaml", "  - logit_margin", "  - logit_margin\n  - gen")
    changed = chain(*CELLS, *GAUSSIAN_CELLS, first="score")

    assert workspace.planned() == changed | (REDRAWN | gaussian(REDRAWN)) - {
        f"write_cost {GLYPHS}",
        "write_cost tiny_gaussians",
        f"draw_max_logit {GLYPHS}/resnet8",
        "draw_max_logit tiny_gaussians/mlp",
        f"draw_extra_gradient {GLYPHS}/resnet8",
        "draw_extra_gradient tiny_gaussians/mlp",
    }


def test_figure_setting_redraws_that_figure_only(workspace):
    workspace.edit("config.yaml", "zoom_coverage: 0.6", "zoom_coverage: 0.5")
    curves = {job for job in FIGURES if "risk_coverage" in job}

    assert workspace.planned() == curves | gaussian(curves)


def test_other_experiment_touches_nothing_here(workspace):
    workspace.edit("experiments/tiny_gaussians.yaml", "epochs: 2", "epochs: 3")

    assert workspace.planned() == chain(*GAUSSIAN_CELLS) | gaussian(REDRAWN)


def test_training_hyperparameter_retrains_the_experiment(workspace):
    workspace.edit("experiments/tiny_glyphs.yaml", "lr: 0.1", "lr: 0.2")

    assert workspace.planned() == chain(*CELLS) | REDRAWN


def test_label_of_a_loss_redraws_the_tables_and_figures_of_its_experiment_only(workspace):
    workspace.edit("experiments/tiny_glyphs.yaml", "nls: {kind: ls, ", "nls: {kind: ls, label: Sharpened, ")

    assert workspace.planned() == FIGURES | TABLES | PAGE | {f"write_cost {GLYPHS}"}


def test_description_rewrites_the_page_only(workspace):
    workspace.edit_experiment(GLYPHS, description="Other words.")

    assert workspace.planned() == {"write_page"}


def test_comment_or_code_in_training_retrains_nothing_and_code_is_reported(workspace):
    workspace.edit("src/unsmooth/training/loop.py", "LOG_INTERVAL_S = 30.0", "LOG_INTERVAL_S = 30.0  # seconds")
    assert workspace.planned() == set()
    assert "older than the training code" not in workspace.snakemake("--dry-run").stdout

    workspace.edit("src/unsmooth/training/loop.py", "LOG_INTERVAL_S = 30.0", "LOG_INTERVAL_S = 31.0")
    assert workspace.planned() == set()
    warning = workspace.snakemake("--dry-run").stdout
    assert "older than the training code" in warning
    assert "results/cells/tiny_glyphs/resnet8/nls_alpha--0.2/seed-0" in warning


def test_metrics_code_reruns_what_uses_it_but_not_training(workspace):
    workspace.edit("src/unsmooth/metrics/sums.py", "_SHIFT = 16", "_SHIFT = 17")
    used = chain(*CELLS, *GAUSSIAN_CELLS, first="score") | REDRAWN | gaussian(REDRAWN)

    assert workspace.planned() == {
        job for job in used if not job.startswith(("write_cost", "draw_max_logit", "draw_extra_gradient"))
    }


def test_architecture_code_dumps_logits_again_and_warns_of_old_weights(workspace):
    workspace.edit(
        "src/unsmooth/models/mlp.py", "class Mlp(nn.Sequential):", "class Mlp(nn.Sequential):\n    changed = 1\n"
    )
    printed = workspace.snakemake("--dry-run").stdout

    assert workspace.planned() == chain(*GAUSSIAN_CELLS, first="dump_logits") | gaussian(REDRAWN) - {
        "write_cost tiny_gaussians"
    }
    assert "results/cells/tiny_gaussians/mlp/ce_alpha-0/seed-0" in printed.split("Building DAG")[0]
    assert "results/cells/tiny_glyphs" not in printed.split("Building DAG")[0]


def test_code_of_the_runtime_decides_no_result(workspace):
    workspace.edit("src/unsmooth/runtime/jobs.py", "yield\n", "yield\n        print('done')\n")
    workspace.edit("src/unsmooth/atomic_files.py", "_sync(path.parent)", "_sync(path.parent.resolve())")

    assert workspace.planned() == set()
    assert "older than the training code" not in workspace.snakemake("--dry-run").stdout


ADDED = {
    "loss": {
        "losses/smoothing": "class New(LabelSmoothing):\n    pass",
        "registry/losses": (
            "from dataclasses import replace\n\nLOSSES = {**LOSSES, 'new': replace(LOSSES['ls'], name='new')}"
        ),
    },
    "score": {
        "scores/logit_scores": "def new(logits):\n    return -msp(logits)",
        "registry/scores": (
            "from dataclasses import replace\n\nSCORES = {**SCORES, 'new': replace(SCORES['msp'], name='new')}"
        ),
    },
    "dataset": {
        "data/gaussians": "def build_new(*arguments):\n    return build(*arguments)",
        "config/specs/datasets": "class New(Kind):\n    pass",
    },
    "architecture": {
        "models/mlp": "class New(Mlp):\n    pass",
        "config/specs/architectures": "class New(Kind):\n    pass",
    },
}


@pytest.mark.parametrize("kind", ADDED)
def test_new_entry_that_no_experiment_uses_reruns_nothing(workspace, kind):
    for module, text in ADDED[kind].items():
        with (workspace.folder / f"src/unsmooth/{module}.py").open("a") as file:
            file.write(f"\n\n{text}\n")

    assert workspace.planned() == set()
    assert "older than the training code" not in workspace.snakemake("--dry-run").stdout


def test_code_of_a_figure_redraws_that_figure_only(workspace):
    workspace.edit("src/unsmooth/figures/calibration.py", "FEWEST = 20", "FEWEST = 21")
    drawn = {f"draw_reliability {GLYPHS}/resnet8"}

    assert workspace.planned() == drawn | gaussian(drawn)


def test_comment_in_metrics_code_reruns_nothing(workspace):
    workspace.edit("src/unsmooth/metrics/sums.py", "_SHIFT = 16", "# a comment\n_SHIFT = 16")

    assert workspace.planned() == set()


@pytest.mark.parametrize(
    ("output", "jobs"),
    [
        ("results/figures/tiny_glyphs/resnet8/degradation.png", {f"draw_degradation {GLYPHS}/resnet8"}),
        ("results/tables/tiny_glyphs/scores.tex", {f"write_scores {GLYPHS}"}),
        ("results/tables/summary.csv", {"merge_summaries"}),
    ],
)
def test_deleted_output_is_made_again_alone(workspace, output, jobs):
    (workspace.folder / output).unlink()

    assert workspace.planned() == jobs


def test_deleted_result_of_a_cell_is_made_again_alone_when_asked_for(workspace):
    metrics = f"results/cells/{CELLS[1]}/metrics.csv"
    (workspace.folder / metrics).unlink()

    assert workspace.planned(metrics) == {f"evaluate {CELLS[1]}"}
    assert workspace.planned() == set()  # what was drawn from it is still true


def test_touched_arrays_retrain_nothing(workspace):
    (arrays,) = workspace.folder.glob("resources/glyphs_*/data.safetensors")
    arrays.touch()

    assert workspace.planned() == set()
