import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from snakemake.iocontainers import Wildcards

from unsmooth.config.errors import ConfigError
from unsmooth.config.loading import experiment_path
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.scores import MAIN_SCORES
from unsmooth.runtime.plan import Plan, one_of

LS = {"experiment": "drawn", "architecture": "mlp", "loss": "ls", "alpha": "0.2", "seed": "0"}
DRAWN = {
    "description": "A test.",
    "dataset": {"kind": "gaussians"},
    "architectures": {"mlp": {}},
    "recipe": {"batch_size": 10, "epochs": 1, "optimizer": {"kind": "sgd", "lr": 0.1}},
    "losses": {"ce": {}, "ls": {"alpha": [0.1, 0.2]}, "kd": {"kind": "distillation", "alpha": [0.5], "teacher": "ce"}},
    "seeds": [0, 1],
}


def wildcards(**values):
    return Wildcards(fromdict=values)


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "experiments").mkdir()
    for name, content in {"drawn": DRAWN, "other": DRAWN | {"losses": {"ls": {"alpha": [-0.1]}}}}.items():
        (tmp_path / "experiments" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return Plan.load({"experiments": ["drawn"], "scores": ["msp", "msp_temperature", "max_logit_pnorm"]}, tmp_path)


def test_experiments_with_the_same_name_are_refused(tmp_path, plan):
    with pytest.raises(ConfigError, match="must have different names"):
        Plan.load(
            {
                "experiments": ["drawn", "experiments/drawn.yaml"],
                "scores": ["msp", "msp_temperature", "max_logit_pnorm"],
            },
            tmp_path,
        )


def test_cells_are_found_by_the_one_spelling_of_their_path(plan):
    assert plan.cell(wildcards(**LS)).alpha == 0.2
    with pytest.raises(ConfigError, match="ls_alpha-0.20/seed-0 is not a cell of experiment drawn"):
        plan.cell(wildcards(**LS | {"alpha": "0.20"}))


@pytest.mark.parametrize("target", ["unsmooth.losses.smoothing:Smooth", "unsmooth.losses.smooth:LabelSmoothing", "LS"])
def test_a_loss_whose_class_is_missing_is_refused_before_any_job(tmp_path, monkeypatch, target):
    monkeypatch.setitem(LOSSES, "ls", replace(LOSSES["ls"], target=target))
    (tmp_path / "drawn.yaml").write_text(yaml.safe_dump(DRAWN))

    with pytest.raises(ConfigError, match=f"drawn.yaml: loss 'ls' is registered as '{target}', which is not defined"):
        Plan.load({"experiments": [str(tmp_path / "drawn.yaml")], "scores": MAIN_SCORES}, tmp_path)


def test_experiments_that_do_not_exist_are_refused_by_name(plan):
    with pytest.raises(ConfigError, match="there is no experiment 'drwan'; did you mean 'drawn'"):
        plan.cells_of(wildcards(experiment="drwan"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_cells_with_a_damaged_run_file_count_as_stale(tmp_path, monkeypatch, plan, content):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("unsmooth.runtime.plan.code_hash", lambda *targets: "present")
    damaged, whole = list(plan.cells)[:2]
    for folder, text in ((damaged, content), (whole, '{"code": "present"}')):
        Path(folder).mkdir(parents=True)
        Path(folder, "run.json").write_text(text)

    assert plan.stale_cells() == [damaged]


def test_experiments_are_found_in_the_home_folder_and_by_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert experiment_path("~/own.yaml", Path("experiments")) == tmp_path / "own.yaml"
    assert experiment_path("experiments/own", Path("experiments")) == Path("experiments/own")
    assert experiment_path("own", Path("experiments")) == Path("experiments/own.yaml")


def test_comparisons_read_cross_entropy_and_the_strongest_smoothing(plan):
    place = wildcards(experiment="drawn", architecture="mlp")
    folders = [cell.folder.split("/", 4)[-1] for cell in plan.extreme_cells(place)]

    assert folders == ["ce_alpha-0/seed-0", "ce_alpha-0/seed-1", "ls_alpha-0.2/seed-0", "ls_alpha-0.2/seed-1"]
    assert [cell.seed for cell in plan.mapped_cells(place)] == [0, 0]
    assert {cell.alpha for cell in plan.smoothed_cells(place)} == {0.1, 0.2}


def test_comparisons_read_the_cells_that_a_partial_grid_has(tmp_path):
    left_out = ["ls_alpha-0.2/seed-0", "ls_alpha-0.2/seed-1", "ce_alpha-0/seed-0"]
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "partial.yaml").write_text(yaml.safe_dump(DRAWN | {"without": left_out}))
    plan = Plan.load({"experiments": ["partial"], "scores": ["msp", "msp_temperature", "max_logit_pnorm"]}, tmp_path)
    place = wildcards(experiment="partial", architecture="mlp")

    assert [(cell.loss, cell.alpha, cell.seed) for cell in plan.mapped_cells(place)] == [("ce", 0.0, 1), ("ls", 0.1, 1)]


def test_student_waits_for_the_teacher_with_its_seed(plan):
    student = LS | {"loss": "kd", "alpha": "0.5", "seed": "1"}

    assert plan.teacher_weights(wildcards(**student)) == {
        "teacher": "results/cells/drawn/mlp/ce_alpha-0/seed-1/model.safetensors"
    }
    assert plan.teacher_weights(wildcards(**LS)) == {}


def test_figures_that_compare_need_cross_entropy_and_smoothing(plan):
    assert len(plan.figure_files("degradation", "drawn")) == 3
    assert plan.figure_files("degradation", "other") == []
    assert plan.figure_files("zoo", "drawn") == plan.figure_files("ranking_maps", "drawn") == []
    assert plan.table_files("losses", "other") == plan.table_files("segmentation", "drawn") == []


def test_outputs_are_of_one_experiment(plan):
    outputs = plan.outputs("drawn")

    assert "results/tables/drawn/findings.md" in outputs and "results/figures/drawn/mlp/max_logit.png" in outputs
    assert all("/drawn/" in file for file in outputs)


def test_constraint_of_no_names_matches_nothing():
    assert re.fullmatch(one_of(["a.b", "c"]), "a.b") and not re.fullmatch(one_of(["a.b", "c"]), "axb")
    assert not re.fullmatch(one_of([]), "")


def test_only_cells_whose_code_has_changed_are_stale(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan.scripts = Path(__file__).parents[3] / "workflow" / "scripts"
    cell = plan.cell(wildcards(**LS))
    Path(cell.folder).mkdir(parents=True)
    run = Path(cell.folder, "run.json")

    run.write_text('{"code": "old"}')
    assert plan.stale_cells() == [cell.folder]

    from unsmooth.runtime.targets import training_targets

    code = plan.code("train", *training_targets(plan.experiments["drawn"].training(cell)))(None)
    run.write_text(f'{{"code": "{code}"}}')
    assert plan.stale_cells() == []
