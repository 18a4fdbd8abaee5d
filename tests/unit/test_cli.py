import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from unsmooth.classifier import SelectiveClassifier
from unsmooth.cli import app
from unsmooth.metrics import aurc
from unsmooth.scores import SCORES, max_logit_pnorm, msp

QUICK = ["--score", "max_logit_pnorm", "--replicates", "20"]


def logits_of(count, classes=5, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    return (generator.normal(size=(count, classes)) + 2 * np.eye(classes)[targets]).astype(np.float32), targets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logits, targets = logits_of(400)
    np.savez("good.npz", logits=logits, targets=targets)
    np.save("l.npy", logits)
    np.save("t.npy", targets)
    torch.save({"logits": torch.from_numpy(logits), "labels": torch.from_numpy(targets)}, "good.pt")
    table = pd.DataFrame(logits, columns=list("abcde")).assign(label=targets)
    table.to_csv("good.csv", index=False)
    table.to_parquet("good.parquet")
    logits, targets = logits_of(400, seed=1)
    np.save("val_l.npy", logits)
    np.save("val_t.npy", targets)
    pd.DataFrame(logits, columns=list("abcde")).assign(label=targets).to_csv("val.csv", index=False)
    return tmp_path


def run(*arguments, **options):
    result = CliRunner().invoke(app, [*map(str, arguments)], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("name", ["good.npz", "good.pt", "good.csv", "good.parquet"])
def test_every_format_gives_the_same_diagnosis(folder, name):
    found = json.loads(run("diagnose", name, *QUICK, "--json", "-").stdout)["diagnoses"][0]
    expected = json.loads(run("diagnose", "l.npy", "--targets", "t.npy", *QUICK, "--json", "-").stdout)["diagnoses"][0]

    assert found["aurc"] == expected["aurc"]
    assert found["findings"] == expected["findings"]


def test_diagnose_writes_every_report(folder):
    outputs = ["--json", "o/r.json", "--html", "o/r.html", "--save", "o/c.json", "--plot", "o/r.png"]
    result = run("diagnose", "good.npz", *QUICK, *outputs)

    assert result.exit_code == 0
    assert sorted(os.listdir("o")) == ["c.json", "r.html", "r.json", "r.png"]
    assert SelectiveClassifier.load("o/c.json").n_features_in_ == 5
    assert "Recommended score" in result.stdout


def test_several_files_are_compared(folder):
    result = run("diagnose", "good.npz", "good.csv", *QUICK)

    assert result.exit_code == 0
    assert "Comparison" in result.stdout
    assert result.stdout.count("The classifier errs") == 2


def test_validation_file_among_the_files_is_noted(folder):
    result = run("diagnose", "good.npz", "val.csv", *QUICK)

    assert "val.csv: is diagnosed as a classifier of its own; validation samples belong to --val" in result.stderr


def test_array_without_targets_is_told_the_option_that_gives_them(folder):
    assert "give their file with --targets" in run("diagnose", "l.npy", "t.npy").stderr
    assert "or are they the logits?" in run("diagnose", "t.npy", "--targets", "l.npy").stderr
    assert run("diagnose", "good").stderr == "error: good: no such file\n"


def test_validation_file_leaves_all_of_the_file_to_test(folder):
    result = run("diagnose", "good.npz", "--val", "val.csv", *QUICK, "--json", "-")

    assert json.loads(result.stdout)["diagnoses"][0]["rows"] == {"fit": 200, "certify": 200, "test": 400}


def test_keys_choose_among_the_arrays_of_a_file(folder):
    logits, targets = logits_of(400)
    np.savez("keys.npz", ours=logits, theirs=-logits, truth=targets)
    keys = ["--logits-key", "ours", "--targets-key", "truth"]
    found, expected = (
        json.loads(run("diagnose", *arguments, *QUICK, "--json", "-").stdout)["diagnoses"][0]
        for arguments in (["keys.npz", *keys], ["good.npz"])
    )

    assert found["aurc"] == expected["aurc"]
    assert "names no array; the file holds" in run("diagnose", "keys.npz", "--logits-key", "z").stderr


def test_validation_file_with_the_same_samples_is_refused_and_a_few_are_noted(folder):
    logits, targets = logits_of(400)
    np.savez("most.npz", logits=logits[:300], targets=targets[:300])
    others, their_targets = logits_of(400, seed=1)
    few = {"logits": np.r_[others, logits[:8]], "targets": np.r_[their_targets, targets[:8]]}
    np.savez("few.npz", **few)

    for val in ("good.npz", "most.npz"):
        refused = run("diagnose", "good.npz", "--val", val, *QUICK)
        assert refused.exit_code == 1
        assert "good.npz: " in refused.stderr and f"of its rows are also in --val {val}" in refused.stderr
    noted = run("diagnose", "good.npz", "--val", "few.npz", *QUICK)
    assert noted.exit_code == 0 and "2 % of its rows are also in --val few.npz" in noted.stderr


def test_probabilities_of_zero_are_diagnosed_by_msp_alone(folder):
    logits, targets = logits_of(400)
    probs = torch.from_numpy(20 * logits).softmax(1).numpy()
    probs[probs < 1e-6] = 0
    np.savez("zeros.npz", probs=probs / probs.sum(1, keepdims=True), targets=targets)
    result = run("diagnose", "zeros.npz", "--replicates", "20", "--json", "-")
    found = json.loads(result.stdout)["diagnoses"][0]

    assert result.exit_code == 0
    assert "only MSP can be had" in result.stderr
    assert [row["score"] for row in found["scores"]] == ["msp"]


def test_validation_rows_that_are_softmax_of_the_test_rows_are_refused(folder):
    save_probabilities("probs.npz")
    refused = run("diagnose", "good.npz", "--val", "probs.npz", *QUICK)

    assert refused.exit_code == 1 and "% of its rows are also in --val probs.npz" in refused.stderr


def test_softmax_outputs_give_the_diagnosis_of_the_logits(folder):
    logits, targets = logits_of(400)
    np.savez("probs.npz", probs=torch.from_numpy(logits).double().softmax(1).numpy(), targets=targets)
    result = run("diagnose", "probs.npz", *QUICK, "--json", "-")
    logits_result = run("diagnose", "good.npz", *QUICK, "--json", "-")
    found, expected = (json.loads(r.stdout)["diagnoses"][0] for r in (result, logits_result))

    assert "softmax outputs" in result.stderr
    assert found["from_probabilities"]
    assert found["aurc"]["point"] == pytest.approx(expected["aurc"]["point"], rel=1e-6)


def bad_files():
    logits, targets = logits_of(20)
    nan = logits.copy()
    nan[7, 1] = np.nan
    return {
        "nan.npz": ({"logits": nan, "targets": targets}, "row 7"),
        "range.npz": ({"logits": logits, "targets": targets + 1}, "outside"),
        "short.npz": ({"logits": logits, "targets": targets[1:]}, "20 rows of logits but 19"),
        "lone.npz": ({"logits": logits}, "no targets"),
        "cube.npz": ({"logits": logits.reshape(4, 5, 5), "targets": targets[:4]}, r"\(N, K\)|shape"),
        "tiny.npz": ({"logits": logits[:2], "targets": targets[:2]}, "at least 4 samples"),
        "rounded.npz": ({"probs": np.full((20, 5), 0.2).round(1), "targets": targets}, "rounded to 1 decimals"),
        "zeros.npz": ({"probs": np.eye(5)[targets], "targets": targets}, "probability of zero"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_bad_input_is_one_line_naming_the_file(folder, name):
    arrays, reason = bad_files()[name]
    np.savez(name, **arrays)
    result = run("diagnose", name, *QUICK)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert name in result.stderr
    assert pytest.raises(AssertionError, match=reason).matches(AssertionError(result.stderr))


@pytest.mark.parametrize(
    ("name", "content"), [("junk.npz", b"hello"), ("empty.csv", b""), ("x.txt", b"1"), ("z.pt", b"PK")]
)
def test_foreign_files_are_one_line(folder, name, content):
    (folder / name).write_bytes(content)
    result = run("diagnose", name)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith(f"error: {name}: ")


@pytest.mark.parametrize("path", ["missing.npz", ".", "/"])
def test_missing_files_and_folders_are_one_line(folder, path):
    result = run("diagnose", path)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_error_names_the_validation_file(folder):
    logits, targets = logits_of(20, classes=4)
    np.savez("four.npz", logits=logits, targets=targets)

    assert run("diagnose", "good.npz", "--val", "four.npz").stderr.startswith("error: four.npz: expected 5 classes")


@pytest.mark.parametrize(
    "arguments",
    [
        ["diagnose"],
        ["nonsense"],
        ["diagnose", "good.npz", "--target-risk", "2"],
        ["diagnose", "good.npz", "--delta", "0"],
        ["diagnose", "good.npz", "--score", "nope"],
        ["diagnose", "good.npz", "good.csv", "--val", "good.npz"],
        ["diagnose", "good.npz", "good.csv", "--save", "c.json"],
        ["diagnose", "good.npz", "--plot", "c.doc"],
        ["diagnose", "good.npz", "--json", "."],
        ["score", "good.npz", "--score", "nope"],
        ["score", "good.npz", "--score", "knn"],
        ["score", "good.npz", "--score", "knn", "--train", "good.npz", "--val", "good.npz"],
        ["diagnose", "good.npz", "--train", "good.npz", "--train", "good.npz"],
        ["score", "good.npz", "--score", "msp", "--train", "good.npz"],
        ["score", "good.npz", "--score", "msp", "--p", "5"],
        ["score", "good.npz", "--p", "five"],
        ["score", "good.npz", "--p", "5", "--val", "good.csv"],
        ["score", "good.npz", "-o", "c.doc"],
        ["score", "good.npz", "--score", "hts", "--param", "weight=-1"],
        ["score", "good.npz", "--score", "ets", "--param", "temperature=2"],
        ["score", "good.npz", "--param", "logits=1"],
        ["score", "good.npz", "--score", "softmax_k", "--param", "k=2.5"],
        ["score", "good.npz", "--score", "doctor_alpha", "--param", "variant=1"],
        ["score", "good.npz", "--p", "3", "--param", "centring=median"],
        ["score", "good.npz", "--val-targets", "t.npy"],
        ["diagnose", "good.npz", "--val-targets", "t.npy"],
        ["metrics", "good.csv", "--coverage", "0"],
    ],
)
def test_wrong_usage_exits_with_2(folder, arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_score_writes_what_metrics_reads(folder, suffix):
    assert run("score", "good.npz", "--p", "3", "-o", f"s.{suffix}").exit_code == 0
    found = json.loads(run("metrics", f"s.{suffix}", "--json", "--replicates", "10").stdout)
    logits, targets = logits_of(400)

    expected = aurc(max_logit_pnorm(logits, p=3), logits.argmax(1) != targets)
    assert found["metrics"]["aurc"]["value"] == expected
    assert found["metrics"]["aurc"]["low"] < expected < found["metrics"]["aurc"]["high"]


def test_score_and_metrics_work_in_a_pipe(folder):
    scored = run("score", "good.npz", "--score", "msp")
    metrics = run("metrics", "-", "--json", "--replicates", "0", input=scored.stdout)
    logits, targets = logits_of(400)

    found = json.loads(metrics.stdout)["metrics"]["aurc"]["value"]
    assert found == aurc(msp(logits), logits.argmax(1) != targets)


def save_with_features(path, count, seed):
    """Features of which the logits are the last layer."""
    generator = np.random.default_rng(7)
    weight, bias = generator.normal(size=(4, 8)), generator.normal(size=4)
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, 8))
    logits = features @ weight.T + bias
    targets = (logits + generator.normal(scale=2, size=logits.shape)).argmax(axis=1)
    layer = {"fc.weight": weight, "fc.bias": bias}
    np.savez(path, logits=logits, targets=targets, features=features, **layer)


OF_FEATURES = sorted(name for name, entry in SCORES.items() if not entry.of_logits)


def test_column_of_targets_is_named_in_the_validation_file(folder):
    logits, targets = logits_of(400, seed=1)
    np.savez("val.npz", logits=np.c_[logits[:, :-1], targets], targets=targets)

    for command in ("diagnose", "score"):
        result = run(command, "good.npz", "--val", "val.npz")
        assert (result.exit_code, result.stderr) == (
            1,
            f"error: val.npz: logits: column {logits.shape[1] - 1} holds the targets; leave it out\n",
        )


def test_bad_training_features_are_named_in_their_file(folder):
    logits, targets = logits_of(400)
    features = np.ones((400, 3))
    np.savez("test.npz", logits=logits, targets=targets, features=features)
    features[7, 1] = np.nan
    np.savez("train.npz", logits=logits, targets=targets, features=features)
    result = run("score", "test.npz", "--train", "train.npz", "--score", "knn")

    assert result.stderr == "error: train.npz: features: row 7 is not finite\n"


@pytest.mark.parametrize("name", OF_FEATURES)
def test_scores_of_features_are_written(folder, name):
    save_with_features("train.npz", 300, 0)
    save_with_features("test.npz", 50, 1)
    result = run("score", "test.npz", "--score", name, "--train", "train.npz", "-o", "c.npz")

    assert result.exit_code == 0, result.stderr
    with np.load("c.npz") as columns:
        assert len(np.unique(columns["confidence"])) > 40 and 0 < columns["error"].mean() < 1


def test_diagnose_compares_scores_of_features(folder):
    save_with_features("train.npz", 300, 0)
    save_with_features("test.npz", 400, 1)
    arguments = ["diagnose", "test.npz", "--train", "train.npz", "--replicates", 50, "--json", "-"]
    found = json.loads(run(*arguments).stdout)["diagnoses"][0]

    assert set(OF_FEATURES) <= {entry["score"] for entry in found["scores"]}
    assert found["recommended"]["name"] not in OF_FEATURES


def test_file_of_tensors_with_features_is_opened_once(folder, monkeypatch):
    save_with_features("test.npz", 100, 1)
    with np.load("test.npz") as arrays:
        torch.save({name: torch.from_numpy(arrays[name]) for name in arrays}, "test.pt")
    loaded, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: loaded.append(path) or load(path, **options))
    run("diagnose", "test.pt", *QUICK, "--json", "-")

    assert loaded == [Path("test.pt")]


def test_validation_rows_of_a_split_column_fit(folder):
    table = pd.read_csv("good.csv").assign(split=["test", "val"] * 200)
    table.to_csv("both.csv", index=False)
    rows = json.loads(run("diagnose", "both.csv", *QUICK, "--json", "-").stdout)["diagnoses"][0]["rows"]

    assert rows == {"fit": 100, "certify": 100, "test": 200}


def test_training_data_that_do_not_suffice_leave_scores_of_features_out_with_the_reason(folder):
    save_with_features("train.npz", 40, 0)
    save_with_features("test.npz", 400, 1)
    arguments = ["diagnose", "test.npz", "--train", "train.npz", "--replicates", 50, "--json", "-"]
    found = json.loads(run(*arguments).stdout)["diagnoses"][0]

    assert found["left_out"]["knn"] == "k must be in [1, 40], the number of training features, got 50"
    assert "mahalanobis" in {entry["score"] for entry in found["scores"]}


def test_missing_features_are_named(folder):
    save_with_features("train.npz", 60, 0)
    result = run("score", "good.npz", "--score", "mahalanobis", "--train", "good.npz")

    assert result.stderr.startswith("error: good.npz: mahalanobis needs features of training samples, got logits, targ")


def test_saved_classifier_scores_new_logits(folder):
    run("diagnose", "good.npz", *QUICK, "--target-risk", "0.2", "--save", "c.json")
    assert run("score", "good.npz", "--classifier", "c.json", "-o", "s.csv").exit_code == 0
    written = pd.read_csv("s.csv")

    assert (written["prediction"] == SelectiveClassifier.load("c.json").predict(logits_of(400)[0])).all()
    assert (written["prediction"] == -1).any()


def test_score_fits_on_the_validation_file(folder):
    result = run("score", "good.npz", "--val", "val.csv", "-o", "s.csv")

    assert result.exit_code == 0
    assert "max_logit_pnorm" in result.stderr


def test_score_refuses_what_softmax_forgot(folder):
    logits, targets = logits_of(50)
    np.savez("probs.npz", probs=torch.from_numpy(logits).double().softmax(1).numpy(), targets=targets)
    result = run("score", "probs.npz", "--score", "max_logit")

    assert result.exit_code == 1
    assert "mean of the logits" in result.stderr


def test_pnorm_of_two_classes_is_refused_with_the_reason(folder):
    logits, targets = logits_of(50, classes=2)
    np.savez("two.npz", logits=logits, targets=targets)
    result = run("score", "two.npz")

    assert result.exit_code == 1
    assert "K = 2" in result.stderr


def test_metrics_of_all_correct_are_nan_without_a_warning(folder):
    pd.DataFrame({"confidence": [0.1, 0.2], "error": [0, 0]}).to_csv("right.csv", index=False)
    found = json.loads(run("metrics", "right.csv", "--json").stdout)["metrics"]

    assert found["aurc"]["value"] == 0
    assert found["failure_auroc"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "'confidence' and 'error'"),
        ("confidence,error\n", "no rows"),
        ("confidence,error\n0.1,2\n", "errors must be"),
        ("confidence,error\nnan,1\n", "confidence must be finite"),
        ("confidence,error\n0.5,1\n,1\n", "column 'confidence' must hold one number a sample, got '' in row 1"),
        ("confidence,error\n0.5,wrong\n", "column 'error' must hold one number a sample, got 'wrong' in row 0"),
    ],
)
def test_bad_confidences_are_one_line(text, reason):
    result = run("metrics", "-", input=text)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert reason in result.stderr


def test_suffixes_in_capitals_are_read_and_written(folder):
    assert run("score", "good.npz", "-o", "S.CSV").exit_code == 0
    assert run("metrics", "S.CSV", "--replicates", "0").exit_code == 0


def test_text_parameters_reach_the_score(folder):
    assert run("score", "good.npz", "--p", "3", "--param", "centring=none", "-o", "s.csv").exit_code == 0
    expected = max_logit_pnorm(logits_of(400)[0], p=3, centring="none")

    assert pd.read_csv("s.csv")["confidence"].to_numpy() == pytest.approx(expected, rel=1e-12)


def test_npy_pair_is_a_validation_set(folder):
    pair = ["--val", "val_l.npy", "--val-targets", "val_t.npy"]
    result = run("diagnose", "good.npz", *pair, *QUICK, "--json", "-")

    assert json.loads(result.stdout)["diagnoses"][0]["rows"] == {"fit": 200, "certify": 200, "test": 400}
    assert run("score", "good.npz", *pair, "-o", "s.csv").exit_code == 0


def save_probabilities(path, seed=0):
    logits, targets = logits_of(400, seed=seed)
    np.savez(path, probs=torch.from_numpy(logits).double().softmax(1).numpy(), targets=targets)


def test_classifier_on_the_mean_refuses_softmax_outputs(folder):
    logits, targets = logits_of(400)
    SelectiveClassifier(score_name="energy", max_risk=0.3).fit(logits, targets).save("c.json")
    save_probabilities("probs.npz")
    result = run("score", "probs.npz", "--classifier", "c.json")

    assert (result.exit_code, "mean of the logits" in result.stderr) == (1, True)


def test_softmax_outputs_for_validation_leave_out_what_depends_on_the_mean(folder):
    save_probabilities("probs.npz", seed=1)
    arguments = ["--val", "probs.npz", "--score", "max_logit", "--replicates", "5", "--json", "-"]
    found = json.loads(run("diagnose", "good.npz", *arguments).stdout)["diagnoses"][0]

    assert set(found["left_out"]) == {"max_logit"}


def save_renamed(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def save_truncated(path):
    np.savez(path, confidence=np.zeros(9), error=np.zeros(9))
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("empty.npz", lambda path: path.write_bytes(b"")),
        ("truncated.npz", save_truncated),
        ("renamed.npz", save_renamed),
        ("scalar.npz", lambda path: np.savez(path, confidence=0.5, error=1)),
        ("nested.parquet", lambda path: pd.DataFrame({"confidence": [[0.1], [0.2]], "error": [0, 1]}).to_parquet(path)),
    ],
)
def test_unreadable_confidences_are_one_line(tmp_path, name, save):
    save(tmp_path / name)
    result = run("metrics", tmp_path / name)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert name in result.stderr


def shown_on_a_terminal(*arguments):
    """What `unsmooth` writes where standard output and standard error are a terminal."""
    ours, theirs = os.openpty()
    parts = []

    def watch():
        # A terminal whose last writer has gone is an input/output error.
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as screen:
            while part := screen.read(4096):
                parts.append(part)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with (
        open(theirs, "w") as terminal,
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
    ):
        app(arguments, standalone_mode=False)
    watcher.join(timeout=60)
    return b"".join(parts)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_long_work_shows_its_progress_on_a_terminal_and_nothing_in_a_pipe(folder):
    score, metrics = ["score", "good.npz", "--p", "3", "-o", "s.csv"], ["metrics", "s.csv", "--replicates", "100"]

    assert b"scoring" in shown_on_a_terminal(*score)
    assert b"100/100" in shown_on_a_terminal(*metrics)
    assert run(*score).stderr == run(*metrics).stderr == ""


def test_classifier_of_other_classes_names_both(folder):
    run("diagnose", "good.npz", *QUICK, "--target-risk", "0.2", "--save", "c.json")
    logits, targets = logits_of(50, classes=4)
    np.savez("four.npz", logits=logits, targets=targets)
    result = run("score", "four.npz", "--classifier", "c.json")

    assert result.exit_code == 1
    assert result.stderr == "error: four.npz: expected 5 classes, found 4\n"


def test_bad_logits_are_named_by_their_row_in_the_file(folder):
    logits, targets = logits_of(400)
    logits[321, 1:] = -np.inf
    np.savez("masked.npz", logits=logits, targets=targets)

    assert "row 321" in run("score", "masked.npz", "--score", "msp").stderr


def test_centring_off_is_refused_for_softmax_outputs(folder):
    save_probabilities("probs.npz")
    result = run("score", "probs.npz", "--p", "3", "--param", "centring=none")

    assert (result.exit_code, "mean of the logits" in result.stderr) == (1, True)


def test_what_is_read_is_not_overwritten(folder):
    before = Path("good.npz").read_bytes()
    for command in (("score", "good.npz", "-o", "good.npz"), ("diagnose", "good.npz", "--json", "./good.npz")):
        result = run(*command)

        assert result.exit_code == 2
        assert "good.npz is read" in result.stderr
    assert Path("good.npz").read_bytes() == before


def test_help_teaches_with_an_example(folder):
    for command in ("diagnose", "score", "metrics"):
        assert f"unsmooth {command}" in run(command, "--help").stdout
    assert "msp_temperature" in run("score", "--list").stdout
    assert run("--version").stdout.startswith("unsmooth ")


def test_list_of_scores_has_neither_tex_nor_roles_of_sphinx(folder):
    assert not set("\\`") & set(run("score", "--list").stdout)


def test_help_starts_without_torch():
    code = "import sys, unsmooth.cli; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_diagnose_loads_what_draws_pages_and_plots_only_for_them(folder):
    optional = ("matplotlib", "plotly", "jinja2")
    code = (
        "import sys, unsmooth.diagnosis.diagnose, unsmooth.diagnosis.terminal, unsmooth.logits.foreign_files\n"
        "assert 'pydantic' not in sys.modules  # typer loads it for itself\n"
        "from unsmooth.cli import app\n"
        f"app(['diagnose', 'good.npz', *{QUICK}, '--json', 'r.json', '--save', 'c.json'], standalone_mode=False)\n"
        f"sys.exit(' '.join(name for name in {optional} if name in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (["diagnose", "good.npz", *QUICK], ["matplotlib", "pandas", "plotly", "pyarrow", "scipy.stats", "sklearn"]),
        (["score", "good.npz", "-o", "c.npz"], ["matplotlib", "pandas", "pyarrow", "scipy.stats", "sklearn"]),
        (["metrics", "confidences.csv"], ["matplotlib", "scipy.stats", "sklearn", "torch"]),
    ],
    ids=lambda value: value[0],
)
def test_a_command_starts_without_the_packages_that_it_does_not_need(folder, command, unneeded):
    Path("confidences.csv").write_text("confidence,error\n0.9,0\n0.8,1\n0.7,0\n")
    code = (
        f"import sys; from unsmooth.cli import app; app({command}, standalone_mode=False)\n"
        f"sys.exit(' '.join(name for name in {unneeded} if name in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr


def test_diagnose_begins_with_the_verdict_and_ends_with_the_next_step(folder):
    lines = [line for line in run("diagnose", "good.npz", *QUICK).stdout.splitlines() if line.strip()]

    assert lines[0] == "good.npz"
    assert lines[1].startswith("Verdict: ")
    assert lines[-1].startswith("Do this next: ")
