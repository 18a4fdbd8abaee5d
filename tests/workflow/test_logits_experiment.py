"""An experiment on logits from elsewhere gets the tables and figures of one that trains."""

import numpy as np
import pandas as pd
import pytest
import yaml

from unsmooth.logits.logits_file import read_logits

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

EXPERIMENT = {
    "description": "Logits from elsewhere.",
    "logits": "dumps/{loss}-{alpha}-{split}.npz",
    "losses": {"ce": None, "ls": {"alpha": [0.1]}},
    "seeds": [0],
}


def test_imported_logits_give_the_same_tables_and_figures(workspace):
    (workspace.folder / "dumps").mkdir()
    for cell in ("ce_alpha-0", "ls_alpha-0.1"):
        for split in ("val", "test"):
            file = read_logits(
                workspace.folder / f"results/cells/tiny_glyphs/resnet8/{cell}/seed-0/logits/{split}.safetensors"
            )
            np.savez(
                workspace.folder / "dumps" / f"{cell.replace('_alpha', '')}-{split}.npz",
                logits=file.logits,
                targets=file.targets,
            )
    (workspace.folder / "experiments" / "foreign.yaml").write_text(yaml.safe_dump(EXPERIMENT))

    output = workspace.run("foreign")

    assert "] train " not in output
    tables = workspace.folder / "results" / "tables"
    keys = ["loss", "alpha", "score", "metric"]
    trained, imported = (
        pd.read_csv(tables / name / "summary.csv").set_index(keys) for name in ("tiny_glyphs", "foreign")
    )
    pd.testing.assert_series_equal(imported["mean"], trained.loc[imported.index, "mean"])
    figures = {path.name for path in (workspace.folder / "results" / "figures" / "foreign" / "imported").glob("*.png")}
    assert figures == {path.name for path in (workspace.folder / "results/figures/tiny_glyphs/resnet8").glob("*.png")}
    assert (tables / "foreign" / "main.tex").exists() and not (tables / "foreign" / "cost.csv").exists()


def test_cells_with_other_targets_are_refused_naming_both_files(fresh):
    (fresh.folder / "dumps").mkdir()
    targets = np.arange(40) % 4
    for cell, shift in (("ce-0", 0), ("ls-0.1", 1)):
        for split in ("val", "test"):
            moved = np.roll(targets, shift)
            np.savez(fresh.folder / f"dumps/{cell}-{split}.npz", logits=2.0 * np.eye(4)[moved] - 1, targets=moved)
    (fresh.folder / "experiments" / "foreign.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    done = fresh.snakemake("results/tables/foreign/summary.csv")

    assert done.returncode != 0
    assert "dumps/ls-0.1-test.npz: row 0: target 3, but 0 in dumps/ce-0-test.npz" in done.stdout


def test_missing_logits_are_named_before_any_job(workspace):
    (workspace.folder / "experiments" / "foreign.yaml").write_text(yaml.safe_dump(EXPERIMENT))

    done = workspace.snakemake("foreign")

    assert done.returncode != 0
    assert "dumps/ce-0-val.npz" in done.stdout + done.stderr
