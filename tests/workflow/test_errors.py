"""Mistakes end in one clear message and a non-zero exit, before the first job wherever that is possible."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def failure(workspace, *arguments):
    done = workspace.snakemake(*arguments)
    output = done.stdout + done.stderr
    assert done.returncode != 0, output
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("config.yaml", "figures:", "figure:", "config: unknown key 'figure'; did you mean 'figures'?"),
        ("config.yaml", "ece_bins: 15", "ece_bins: many", "config: evaluation.ece_bins: must be a valid integer"),
        ("config.yaml", "  - max_logit\n", "  - msp_temp\n", "config: scores.3: must be 'msp', 'msp_temperature'"),
        ("config.yaml", "  - msp_temperature ", "  # ", "config: scores: must contain msp_temperature"),
        ("experiments/tiny_glyphs.yaml", "[0.1]", "[1.2]", "losses.ls.alpha.0: must be less than 1, got 1.2"),
        ("experiments/tiny_glyphs.yaml", "[0.1]", "[]", "losses.ls.alpha: must not be empty"),
        ("experiments/tiny_glyphs.yaml", "[0.1]", "[0.1, 0.10]", "alphas of loss 'ls' must differ, got [0.1, 0.1]"),
        ("experiments/tiny_glyphs.yaml", "seeds: [0]", "seeds: []", "tiny_glyphs.yaml: seeds: must not be empty"),
        (
            "experiments/tiny_glyphs.yaml",
            "kind: ls",
            "kind: sl",
            "losses.nls: unknown kind 'sl', expected one of 'ce', 'ls'",
        ),
        (
            "experiments/tiny_glyphs.yaml",
            "kind: ls, alpha: [-0.2]",
            "kind: distillation, alpha: [0.5], teacher: lss",
            "tiny_glyphs.yaml: losses.nls: there is no loss 'lss' of a teacher; did you mean 'ls'?",
        ),
        ("experiments/tiny_glyphs.yaml", "batch_size", "batchsize", "did you mean 'batch_size'?"),
        ("experiments/tiny_glyphs.yaml", "epochs: 3", "epochs: [3", "tiny_glyphs.yaml, line"),
        ("experiments/tiny_glyphs.yaml", "kind: glyphs", "kind: glyps", "unknown kind 'glyps'"),
        ("experiments/tiny_gaussians.yaml", "mlp: {hidden: [8]}", "mlp: {kind: cifar_resnet}", "takes images"),
        (
            "tiny.yaml",
            "tiny_glyphs.yaml",
            "tiny_glyph.yaml",
            "tiny_glyph.yaml does not exist; did you mean 'tiny_glyphs'?",
        ),
    ],
)
def test_wrong_configuration_ends_before_any_job(fresh, file, old, new, message):
    fresh.edit(file, old, new)

    output = failure(fresh)

    assert message in output
    assert not (fresh.folder / "results" / "logs").exists()


@pytest.mark.parametrize("name", ["all", "train", "table_main"])
def test_experiment_named_like_a_rule_ends_before_any_job(fresh, name):
    (fresh.folder / "experiments" / "tiny_glyphs.yaml").rename(fresh.folder / "experiments" / f"{name}.yaml")
    fresh.edit("tiny.yaml", "tiny_glyphs.yaml", f"{name}.yaml")
    done = fresh.snakemake("--dry-run")

    assert done.returncode != 0
    assert f"experiments/{name}.yaml: the name '{name}' is taken by a rule" in done.stdout


@pytest.mark.parametrize("folder", ["results", "resources"])
def test_unwritable_folder_ends_before_any_job(fresh, folder):
    (fresh.folder / folder).symlink_to("/proc/self")  # nobody can create files there, not even root

    assert "cannot be written" in failure(fresh)


def test_braces_in_the_path_of_the_project_end_before_any_job(fresh):
    fresh.folder = fresh.folder.rename(fresh.folder.with_name("a{b}"))

    assert "Snakemake reads braces in a path as wildcards; rename or move the folder" in failure(fresh)


def test_zero_cores_end_before_any_job(fresh):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "0"],
        cwd=fresh.folder,
        env=os.environ | {"PYTHONPATH": str(fresh.folder / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "--cores must be at least 1, or all; got 0" in done.stdout + done.stderr


def test_unknown_experiment_in_a_target_is_named(fresh):
    done = fresh.snakemake("results/tables/tiny_glyph/main.md", "--dry-run")

    assert done.returncode != 0
    assert "there is no experiment 'tiny_glyph'; did you mean 'tiny_glyphs'?" in done.stdout


def test_results_that_are_a_file_end_before_any_job(fresh):
    (fresh.folder / "results").write_text("")

    assert "cannot be written" in failure(fresh)


@pytest.mark.parametrize("targets", [[], ["results/cells/tiny_gaussians/mlp/ce_alpha-0/seed-0/metrics.csv"]])
def test_second_workflow_in_the_same_folder_is_refused(workspace, targets):
    """Whether it would make the same files or others, and again: a run that ends removes all locks of Snakemake."""
    workspace.edit("experiments/tiny_glyphs.yaml", "epochs: 3", "epochs: 3000")
    for target in targets:  # which the first run does not need
        (workspace.folder / target).unlink()
    first = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "1"],
        cwd=workspace.folder,
        env=os.environ | {"PYTHONPATH": str(workspace.folder / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        locks = workspace.folder / ".snakemake" / "locks"
        deadline = time.monotonic() + 60
        while not (locks.exists() and any(locks.iterdir())):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)

        outputs = [failure(workspace, *targets) for _ in range(2)]
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()

    for output in outputs:
        assert "cannot be locked" in output or "another snakemake is making results in" in output


CELL = "results/cells/tiny_glyphs/resnet8/ls_alpha-0.1/seed-0"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_one_bit, empty])
def test_damaged_logits_file_stops_the_job_and_is_named(workspace, damage):
    damage(workspace.folder / CELL / "logits" / "test.safetensors")

    output = failure(workspace, f"{CELL}/metrics.csv")

    assert f"error: {CELL}/logits/test.safetensors" in output


def use_as_it_is(workspace, path):
    """Delete the record of a file, so that another one is taken in its place."""
    (workspace.folder / "results" / "provenance" / f"{path}.json").unlink()


def write_foreign_logits(path, logits, targets):
    from unsmooth.logits.logits_file import write_logits

    write_logits(path, logits, targets, metadata={})


def test_logits_with_another_class_count_stop_the_job(workspace):
    use_as_it_is(workspace, f"{CELL}/logits/test.safetensors")
    write_foreign_logits(
        workspace.folder / CELL / "logits" / "test.safetensors", np.ones((300, 5), np.float32), np.zeros(300, np.int64)
    )

    output = failure(workspace, f"{CELL}/metrics.csv")

    assert "expected 62 classes, found 5" in output


def test_nan_logits_stop_the_job_and_name_the_row(workspace, monkeypatch):
    import torch

    from unsmooth.logits import logits_file

    use_as_it_is(workspace, f"{CELL}/logits/test.safetensors")
    path = workspace.folder / CELL / "logits" / "test.safetensors"
    file = logits_file.read_logits(path)
    broken = file.logits.copy()
    broken[17, 3] = np.nan
    # A writer that does not look.
    monkeypatch.setattr(logits_file, "validate", lambda *arguments, **settings: None)
    monkeypatch.setattr(torch.Tensor, "isfinite", lambda tensor: torch.ones_like(tensor, dtype=torch.bool))
    logits_file.write_logits(path, broken, file.targets, metadata=file.metadata)

    output = failure(workspace, f"{CELL}/metrics.csv")

    assert "row 17: logit of class 3 is nan, must be finite" in output


def test_changed_arrays_stop_training_with_both_digests(workspace):
    (arrays,) = workspace.folder.glob("resources/glyphs_*/data.safetensors")
    flip_one_bit(arrays)
    use_as_it_is(workspace, arrays.relative_to(workspace.folder))
    shutil.rmtree(workspace.folder / CELL)

    output = failure(workspace, f"{CELL}/model.safetensors")

    assert "data.safetensors has SHA-256" in output


def test_diverging_training_names_epoch_and_step(workspace):
    workspace.edit("experiments/tiny_glyphs.yaml", "lr: 0.1", "lr: 1.0e+38")

    output = failure(workspace, f"{CELL}/model.safetensors")

    assert "error: loss is" in output
    assert "at epoch 1, step" in output
