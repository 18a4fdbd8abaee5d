import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from unsmooth.cli import app
from unsmooth.config.loading import load_experiment
from unsmooth.runtime.code import PACKAGE, definitions
from unsmooth.runtime.provenance import canonical_json, git_commit
from unsmooth.runtime.records import (
    ChangedFileError,
    RecordError,
    checked_digests,
    read_record,
    record_path,
    write_records,
)
from unsmooth.runtime.verification import VerificationError, verify

SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "score.py"
MANIFEST = "resources/gaussians/manifest.json"
CE, LS = (f"results/cells/study/mlp/{loss}/seed-0" for loss in ("ce_alpha-0", "ls_alpha-0.2"))
SUMMARY = "results/tables/study/summary.csv"
FIGURE = "results/figures/study/mlp/degradation.png"
CONTENT, PAGE = "results/report/study.json", "results/report/index.html"
MERGED = "results/tables/summary.csv"


def done(rule, outputs, inputs, content, *, params=None):
    """Do what a job of the workflow does: write its outputs, then their records."""
    for path in map(Path, outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} {content}\n")
    write_records(
        outputs,
        rule=rule,
        inputs=checked_digests(inputs),
        params=params or {},
        code=definitions(SCRIPT),
        git_commit=git_commit(),
    )


def train(cell, content, experiment):
    (found,) = (found for found in experiment.cells("study") if found.folder == cell)
    params = {"training": canonical_json(experiment.training(found)), "checkpoint": f"{cell}/checkpoint.pt"}
    done("train", [f"{cell}/model.safetensors", f"{cell}/run.json"], [MANIFEST], content, params=params)


def report(names, told):
    """Make the summary of all experiments `names`, and the page, which is told `told` of them."""
    done("merge_summaries", [MERGED], [f"results/tables/{name}/summary.csv" for name in names], "merged")
    for name in names:
        done("collect_page", [f"results/report/{name}.json"], [f"results/tables/{name}/summary.csv"], f"of {name}")
    params = {"descriptions": canonical_json(dict.fromkeys(names, "A test.")), "compared": canonical_json(told)}
    inputs = [
        *(f"results/report/{name}.json" for name in names),
        *(f"results/tables/{name}/summary.csv" for name in told),
    ]
    done("write_page", [PAGE], inputs, "written", params=params)


def edit_yaml(path, **changes):
    path = Path(path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def dump_logits(cell):
    done("dump_logits", [f"{cell}/logits/test.safetensors"], [f"{cell}/model.safetensors"], f"of {cell}")


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A configuration with an experiment of two cells."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "description": "A test.",
        "dataset": {"kind": "gaussians"},
        "architectures": {"mlp": {"hidden": [8]}},
        "recipe": {"epochs": 2, "batch_size": 50, "optimizer": {"kind": "adamw", "lr": 0.01}},
        "losses": {"ce": None, "ls": {"alpha": [0.2]}},
        "seeds": [0],
    }
    Path("experiments").mkdir()
    Path("experiments/study.yaml").write_text(yaml.safe_dump(settings))
    scores = ["msp", "msp_temperature", "max_logit_pnorm"]
    Path("config.yaml").write_text(yaml.safe_dump({"experiments": ["study"], "scores": scores}))
    return load_experiment(Path("experiments/study.yaml"))


@pytest.fixture
def results(experiment):
    """The files and records of a finished workflow."""
    done("build_dataset", [MANIFEST], [], "of the data")
    for cell in (CE, LS):
        train(cell, f"of {cell}", experiment)
        dump_logits(cell)
    done("collect", [SUMMARY], [f"{cell}/logits/test.safetensors" for cell in (CE, LS)], "of both")
    done("draw_degradation", [FIGURE], [SUMMARY], "drawn", params={"settings": '{"figures.width": 7.0}'})
    return Path("results")


def reasons(results, *configs):
    return {(finding.path, finding.problem, finding.reason) for finding in verify(results, configs).findings}


def test_untouched_results_are_what_they_were(results):
    found = verify(results, [Path("config.yaml")])

    assert found.findings == [] and found.affected == []
    assert found.files == 9 and len(found.commits) == 1 and found.versions["python"]


def test_results_may_have_been_moved_and_renamed(results, tmp_path):
    shutil.move(tmp_path / "results", tmp_path / "kept")

    assert verify(tmp_path / "kept").findings == []


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("damage", [flip_one_bit, truncate])
@pytest.mark.parametrize(
    ("path", "affected"),
    [
        (f"{LS}/model.safetensors", [FIGURE, SUMMARY]),
        (f"{LS}/logits/test.safetensors", [FIGURE, SUMMARY]),
        (SUMMARY, [FIGURE, SUMMARY]),
        (FIGURE, [FIGURE]),
        (MANIFEST, [FIGURE, SUMMARY]),
    ],
)
def test_damage_is_found_with_the_tables_and_figures_that_rest_on_it(results, damage, path, affected):
    damage(Path(path))

    found = verify(results)

    (finding,) = found.findings
    assert (finding.path, finding.problem) == (path, "changed")
    assert finding.reason.startswith("has changed since ") and finding.reason.endswith(" wrote it")
    assert found.affected == affected


def test_file_of_another_cell_is_called_by_its_name(results):
    shutil.copy(f"{CE}/model.safetensors", f"{LS}/model.safetensors")

    assert reasons(results) == {
        (f"{LS}/model.safetensors", "changed", f"holds the content of {CE}/model.safetensors"),
    }


def test_missing_and_empty_files_are_named(results):
    Path(SUMMARY).unlink()
    Path(FIGURE).write_bytes(b"")

    assert reasons(results) == {(SUMMARY, "missing", "is missing"), (FIGURE, "changed", "is empty")}


def test_logits_of_an_earlier_model_are_stale(results, experiment):
    train(LS, "trained anew", experiment)

    assert reasons(results) == {
        (f"{LS}/logits/test.safetensors", "stale", f"was made from another {LS}/model.safetensors"),
    }
    assert verify(results).affected == [FIGURE, SUMMARY]


def test_model_of_an_earlier_dataset_is_stale(results):
    done("build_dataset", [MANIFEST], [], "of other data")

    assert reasons(results) == {
        (f"{cell}/{file}", "stale", f"was made from another {MANIFEST}")
        for cell in (CE, LS)
        for file in ("model.safetensors", "run.json")
    }


def test_changed_and_new_settings_are_named_by_key(results):
    edit_yaml("config.yaml", figures={"width": 6})
    study = yaml.safe_load(Path("experiments/study.yaml").read_text())
    study["recipe"]["epochs"], study["seeds"] = 3, [0, 1]
    Path("experiments/study.yaml").write_text(yaml.safe_dump(study))

    retrained = "was made with training.recipe.epochs 2, the configuration has 3"
    assert reasons(results, Path("config.yaml")) == {
        (FIGURE, "stale", "was made with figures.width 7.0, the configuration has 6.0"),
        *((f"{cell}/{file}", "stale", retrained) for cell in (CE, LS) for file in ("model.safetensors", "run.json")),
        *((f"{cell[:-1]}1", "missing", "is in the configuration, but was never made") for cell in (CE, LS)),
    }
    assert reasons(results) == set()


def test_page_is_compared_and_in_doubt_like_tables_and_figures(results):
    report(["study"], {})
    Path("results/report/report.html").write_text("exported by snakemake --report")
    assert reasons(results, Path("config.yaml")) == set()

    flip_one_bit(Path(f"{LS}/model.safetensors"))
    assert verify(results).affected == [FIGURE, PAGE, CONTENT, SUMMARY, MERGED]

    Path(PAGE).unlink()
    Path("results/report/by_hand.json").write_text("{}")
    assert reasons(results) >= {
        (PAGE, "missing", "is missing"),
        ("results/report/by_hand.json", "unrecorded", "has no record of where it comes from"),
    }


def test_dropped_experiment_that_is_still_told_of_is_named(results):
    done("collect", ["results/tables/other/summary.csv"], [], "of another experiment")
    report(["other", "study"], {})

    assert reasons(results, Path("config.yaml")) == {
        (MERGED, "stale", 'was made with experiments ["other", "study"], the configuration has ["study"]'),
        (PAGE, "stale", 'was made with descriptions.other "A test.", the configuration has none'),
    }


def test_changed_published_numbers_are_named(results):
    published = [{"loss": "ce", "error": 23.0, "source": "a table"}]
    edit_yaml("experiments/study.yaml", published=published)
    told = {"study": load_experiment(Path("experiments/study.yaml")).compared}
    report(["study"], told)
    scorecard = "results/tables/scorecard.csv"
    done("write_scorecard", [scorecard], [SUMMARY], "compared", params={"experiments": canonical_json(told)})
    assert reasons(results, Path("config.yaml")) == set()

    edit_yaml("experiments/study.yaml", published=[published[0] | {"error": 24.0}], description="Another.")

    changed = "was made with study.published[0].error 23.0, the configuration has 24.0"
    assert reasons(results, Path("config.yaml")) == {
        (scorecard, "stale", changed),
        (PAGE, "stale", changed),
        (PAGE, "stale", 'was made with descriptions.study "A test.", the configuration has "Another."'),
    }


def test_changed_choice_of_pixels_is_named(results):
    logits = f"{CE}/logits/val.safetensors"
    params = {"pixels": canonical_json({"per_scene": 100, "seed": 0})}
    done("dump_logits", [logits], [f"{CE}/model.safetensors"], "of pixels", params=params)

    assert reasons(results, Path("config.yaml")) == {
        (logits, "stale", "was made with pixels.per_scene 100, the configuration has 200"),
    }


def test_paths_of_experiments_are_relative_to_the_folder_of_the_run(results, tmp_path, monkeypatch):
    edit_yaml("config.yaml", experiments=["experiments/study.yaml"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert reasons(Path("../results"), Path("../config.yaml")) == set()


def test_record_tells_of_the_code_with_which_the_job_began(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "src" / "unsmooth")
    script = tmp_path / "edited.py"
    script.write_text(
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "from unsmooth.metrics import sums\n"
        "from unsmooth.runtime import jobs\n"
        "parts = {'input': [], 'output': ['out.txt'], 'log': ['results/logs/edited.log'], 'params': {}}\n"
        "with jobs.job(SimpleNamespace(**parts, rule='edited'), __file__):\n"
        "    Path('out.txt').write_text(str(sums.log_span(0, 1)))\n"
        "    for edited in (sums.__file__, __file__):\n"
        "        with open(edited, 'a') as file:\n"
        "            file.write('_SHIFT = 17\\n')\n"
    )
    began = definitions(script)
    environment = {"PYTHONPATH": str(tmp_path / "src")}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, (tmp_path / "results/logs/edited.log").read_text()

    assert read_record(tmp_path / record_path("out.txt")).code == began
    assert set(began) == {"unsmooth/metrics/sums.py", "workflow/scripts/edited.py"}


def test_file_without_a_record_is_named(results):
    Path("results/tables/study/by_hand.csv").write_text("1\n")

    assert reasons(results) == {
        ("results/tables/study/by_hand.csv", "unrecorded", "has no record of where it comes from")
    }


def test_cell_that_was_deleted_and_is_in_no_table_is_not_missed(results, experiment):
    done("collect", [SUMMARY], [f"{CE}/logits/test.safetensors"], "of one")
    done("draw_degradation", [FIGURE], [SUMMARY], "drawn")
    shutil.rmtree(LS)

    assert reasons(results) == set()


@pytest.mark.parametrize("damage", [flip_one_bit, truncate, lambda path: path.write_text("{}")])
def test_damaged_record_is_named(results, damage):
    damage(record_path(SUMMARY))

    assert reasons(results) == {(SUMMARY, "changed", "has a damaged record")}
    with pytest.raises(RecordError, match=r"results/tables/study/summary\.csv\.json"):
        checked_digests([SUMMARY])


def test_job_refuses_a_changed_input_and_says_what_to_do(results):
    flip_one_bit(Path(SUMMARY))

    with pytest.raises(ChangedFileError, match=f"^{SUMMARY} has changed since collect wrote it: delete it to have it"):
        checked_digests([MANIFEST, SUMMARY])


def test_job_takes_what_no_job_made(tmp_path):
    (tmp_path / "logits.npz").write_bytes(b"abc")

    assert checked_digests([str(tmp_path / "logits.npz")]) == {
        str(tmp_path / "logits.npz"): "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }


def test_folder_without_records_is_refused(tmp_path):
    (tmp_path / "provenance" / "results").mkdir(parents=True)

    with pytest.raises(VerificationError, match="has no records of jobs"):
        verify(tmp_path)


def run(*arguments):
    return CliRunner().invoke(app, ["verify", *arguments])


def test_command_says_what_is_wrong_and_exits_with_1(results):
    assert run("results").exit_code == 0
    assert "9 files compared with their records, 0 not as they should be." in run("results").stdout
    done("draw_degradation", [FIGURE, FIGURE.replace("png", "csv")], [SUMMARY], "drawn", params={"settings": "{}"})
    done("build_dataset", [MANIFEST], [], "of other data")
    flip_one_bit(Path(f"{LS}/model.safetensors"))
    shutil.move("config.yaml", "settings.yaml")

    found = run("results")

    assert found.exit_code == 1
    assert found.stdout.splitlines()[:-1] == [
        "10 files compared with their records, 4 not as they should be.",
        "Settings not compared: no configuration given.",
        f"{LS}/model.safetensors has changed since train wrote it.",
        f"{CE}/model.safetensors, {CE}/run.json, {LS}/model.safetensors and 1 more: each was made from another "
        f"{MANIFEST}.",
        f"In doubt: {FIGURE.replace('png', '{csv,png}')}",
        f"In doubt: {SUMMARY}",
    ]


def test_command_lays_configurations_over_that_beside_the_results(results):
    Path("wide.yaml").write_text("figures: {width: 8.0}")

    assert run("results").exit_code == 0
    assert "figures.width 7.0, the configuration has 8.0" in run("results", "--config", "wide.yaml").stdout


def test_command_finds_the_configuration_beside_a_link_to_results_elsewhere(results, tmp_path):
    (tmp_path / "disk").mkdir()
    shutil.move("results", tmp_path / "disk")
    Path("results").symlink_to(tmp_path / "disk" / "results")
    edit_yaml("config.yaml", figures={"width": 8.0})

    assert "figures.width 7.0, the configuration has 8.0" in run("results").stdout


def test_command_names_the_configuration_that_lacks_a_key(results):
    shutil.move("config.yaml", "settings.yaml")
    Path("wide.yaml").write_text("experiments: [study]")

    assert run("results", "--config", "wide.yaml").stderr == "error: configuration wide.yaml: key 'scores' is missing\n"


def test_command_prints_json(results):
    Path(FIGURE).unlink()

    found = run("results", "--json")

    assert found.exit_code == 1
    assert json.loads(found.stdout)["findings"] == [{"problem": "missing", "reason": "is missing", "path": FIGURE}]


@pytest.mark.parametrize("arguments", [["nowhere"], ["results", "--config", "nowhere.yaml"]])
def test_command_refuses_what_is_not_there_in_one_line(results, arguments):
    found = run(*arguments)

    assert found.exit_code == 1
    assert found.stderr.startswith("error: ") and len(found.stderr.splitlines()) == 1
