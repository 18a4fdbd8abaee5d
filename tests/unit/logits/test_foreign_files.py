"""Files as other people save them are read right, or refused by name in one line."""

import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import log_softmax, logit, softmax

from unsmooth.extras import MissingExtraError
from unsmooth.logits.checks import to_numpy
from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.guards import chance_remark, shared_rows
from unsmooth.logits.logits_file import LogitsFileError
from unsmooth.logits.probabilities import as_logits
from unsmooth.scores import fit_score

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 12, 90)
LOGITS = RNG.normal(size=(90, 12)) + 3 * np.eye(12)[TARGETS]
WORDS = list("abcdefghij") + ["n", "y"]
PROBS = pd.DataFrame(softmax(LOGITS, axis=1), columns=WORDS)


def frame(names=None, **others):
    return pd.DataFrame(LOGITS, columns=names or [f"class_{k}" for k in range(12)]).assign(target=TARGETS, **others)


def assert_read(file):
    np.testing.assert_allclose(file.logits, LOGITS, rtol=1e-6)
    assert (file.targets == TARGETS).all()


# Tables

TABLES = {
    "index": (frame(), {"index": True}),
    "named index": (frame().rename_axis("sample"), {"index": True}),
    "id, score and split": (frame(id=range(90), pred=1, confidence=0.5, split="test", path="a.png"), {}),
    "lexicographic": (frame()[sorted(frame().columns)], {}),
    "letters": (frame(WORDS), {}),
    "semicolons": (frame(), {"sep": ";"}),
    "numbered header": (frame(list(range(12))), {}),
    "names": (frame(WORDS).assign(target=np.array(WORDS)[TARGETS]), {}),
    "prefixed names": (frame([f"logit_{w}" for w in WORDS]).assign(target=np.array(WORDS)[TARGETS]), {}),
    "logits beside probabilities": (
        pd.concat([frame(), pd.DataFrame(softmax(LOGITS, 1)).add_prefix("prob_")], axis=1),
        {},
    ),
    "suffixed names": (frame([f"{w}_logit" for w in WORDS]).assign(target=np.array(WORDS)[TARGETS]), {}),
    "names of logits beside those of probabilities": (
        pd.concat([frame([f"{w}_logit" for w in WORDS]), PROBS.add_suffix("_prob")], axis=1),
        {},
    ),
    "numbers before their stem": (
        pd.concat(
            [frame([f"{k}_logit" for k in range(12)]), pd.DataFrame(softmax(LOGITS, 1)).add_suffix("_prob")], axis=1
        ),
        {},
    ),
    "a statistic of the stem": (frame([f"logit_{w}" for w in WORDS], logit_max=LOGITS.max(1), logit_target=1.5), {}),
    "features beside names": (pd.concat([frame(WORDS), pd.DataFrame(LOGITS).add_prefix("emb_")], axis=1), {}),
    "classes called yes and no": (
        frame(["no", "yes", *WORDS[:10]]).assign(target=np.array(["no", "yes", *WORDS[:10]])[TARGETS]),
        {},
    ),
    "targets called as their columns": (frame().assign(target=[f"class_{k}" for k in TARGETS]), {}),
    "lists as torch prints them": (
        pd.DataFrame({"logits": [f"tensor({row})" for row in LOGITS.tolist()], "label": TARGETS}),
        {},
    ),
    "tuples": (pd.DataFrame({"logits": [str(tuple(row)) for row in LOGITS.tolist()], "label": TARGETS}), {}),
    "lists as numpy's numbers print": (
        pd.DataFrame({"logits": [str(list(row)) for row in LOGITS], "label": TARGETS}),
        {},
    ),
    "names of other scripts": (
        frame(list("äöü狗猫鱼кдрабв")).assign(target=np.array(list("äöü狗猫鱼кдрабв"))[TARGETS]),
        {},
    ),
    "labels as scikit-learn's classes_": (
        frame([k * k for k in range(3, 15)]).assign(target=(np.arange(3, 15) ** 2)[TARGETS]),
        {},
    ),
    "classes and targets that count from 1": (
        frame([f"class_{k + 1}" for k in range(12)]).assign(target=TARGETS + 1),
        {},
    ),
    "classes and targets that are floats": (
        frame([float(k) for k in range(12)]).assign(target=TARGETS.astype(float)),
        {},
    ),
    "whole floats": (frame().assign(target=TARGETS.astype(float)), {}),
    "text lists": (pd.DataFrame({"id": range(90), "logits": LOGITS.tolist(), "label": TARGETS}), {}),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_is_read(tmp_path, name):
    table, options = TABLES[name]
    table.to_csv(tmp_path / "a.csv", **{"index": False, **options})

    assert_read(read_any(tmp_path / "a.csv"))


@pytest.mark.parametrize("column", ["logits", "predictions", "probs"])
def test_column_of_lists_is_used_beside_others(tmp_path, column):
    pd.DataFrame(
        {"id": range(90), column: list(LOGITS), "embedding": list(LOGITS[:, :3]), "score": 0.5, "label": TARGETS}
    ).to_parquet(tmp_path / "a.parquet")

    assert_read(read_any(tmp_path / "a.parquet"))


@pytest.mark.parametrize("column", ["embedding", "hidden_states", "input_ids", "image_features"])
def test_lone_column_of_lists_that_holds_inputs_or_features_is_no_logits(tmp_path, column):
    pd.DataFrame({column: list(LOGITS), "label": TARGETS}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(LogitsFileError, match=f"found no logits; the file holds columns '{column}', 'label'"):
        read_any(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_without_its_reader_names_the_extra(tmp_path, monkeypatch, suffix):
    (tmp_path / f"a.{suffix}").write_text("a,b,target\n1.5,2.5,0\n")
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(MissingExtraError, match=r'pyarrow is not installed; run: pip install "unsmooth\[tables\]"'):
        read_any(tmp_path / f"a.{suffix}")


def test_folder_of_parts_is_read_in_natural_order(tmp_path):
    for part, rows in enumerate(np.array_split(np.arange(90), 11)):
        frame().iloc[rows].to_parquet(tmp_path / f"part.{part}.parquet")
    np.save(tmp_path.with_suffix(".npy"), TARGETS)

    assert_read(read_any(tmp_path, tmp_path.with_suffix(".npy")))


def test_folder_with_parts_of_two_splits_is_refused(tmp_path):
    for split in ("test", "validation"):
        frame().to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")

    with pytest.raises(LogitsFileError, match="holds parts of test and val; expected the parts of one split"):
        read_any(tmp_path)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("partitions", [["split"], None])
def test_rows_of_the_wanted_split_are_read(tmp_path, split, partitions):
    both = pd.concat([frame(split=split), frame(split={"val": "test", "test": "validation"}[split])[::-1]])
    both.to_parquet(tmp_path / "a.parquet", partition_cols=partitions, index=False)
    file = read_any(tmp_path / "a.parquet", split=split)

    assert_read(file)
    assert file.has_validation == (split == "test") and file.notes[0] == f"reading the rows whose split is {split}"


def test_rows_of_other_splits_are_refused(tmp_path):
    frame(split=["train", "val"] * 45).to_csv(tmp_path / "a.csv", index=False)

    with pytest.raises(LogitsFileError, match="column 'split' holds 'train', 'val'; expected rows of one split"):
        read_any(tmp_path / "a.csv")


def test_columns_that_sum_to_one_are_told_from_others(tmp_path):
    PROBS.assign(age=50.0, target=TARGETS).to_csv(tmp_path / "a.csv", index=False)
    file = read_any(tmp_path / "a.csv")

    np.testing.assert_allclose(file.logits, PROBS)
    assert "left out: 'age'" in file.notes[0]


def test_blank_lines_above_a_header_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("\n\n" + frame().to_csv(index=False))

    assert_read(read_any(tmp_path / "a.csv"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_table_in_another_encoding_is_refused(tmp_path, encoding):
    frame(["é", *WORDS[1:]]).to_csv(tmp_path / "a.csv", index=False, encoding=encoding)

    with pytest.raises(LogitsFileError, match="save the table as UTF-8"):
        read_any(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["id", "", "image_path"])
def test_targets_beside_in_another_order_of_ids_are_refused(tmp_path, name):
    ids = [f"{k}.png" for k in range(90)] if name == "image_path" else range(90)
    table = frame().assign(**{name: ids})
    table.drop(columns="target").to_csv(tmp_path / "a.csv", index=False)
    table[[name, "target"]].to_csv(tmp_path / "same.csv", index=False)
    table[[name, "target"]].iloc[::-1].to_csv(tmp_path / "other.csv", index=False)

    assert_read(read_any(tmp_path / "a.csv", tmp_path / "same.csv"))
    with pytest.raises(LogitsFileError, match=r"other.csv: row 0: '.*' is 89.*expected the same order of the rows"):
        read_any(tmp_path / "a.csv", tmp_path / "other.csv")


def test_text_without_header_is_read_whole(tmp_path):
    np.savetxt(tmp_path / "z.csv", LOGITS)
    np.savetxt(tmp_path / "t.csv", TARGETS, fmt="%d")

    assert_read(read_any(tmp_path / "z.csv", tmp_path / "t.csv"))


@pytest.mark.parametrize("first", [0, 1])
def test_header_of_class_numbers_is_no_sample(tmp_path, first):
    pd.DataFrame(LOGITS, columns=range(first, first + 12)).to_csv(tmp_path / "z.csv", index=False)
    np.savetxt(tmp_path / "t.csv", TARGETS, fmt="%d")

    assert_read(read_any(tmp_path / "z.csv", tmp_path / "t.csv"))


def test_header_of_targets_that_is_a_number_is_named(tmp_path):
    pd.DataFrame(LOGITS).to_csv(tmp_path / "z.csv", index=False)
    pd.Series(TARGETS).to_csv(tmp_path / "t.csv", index=False)

    with pytest.raises(LogitsFileError, match=r"90 rows of logits but 91 targets in .*; is the first, 0, a header"):
        read_any(tmp_path / "z.csv", tmp_path / "t.csv")


def test_what_was_left_out_is_noted(tmp_path):
    frame(id=range(90), pred=1).to_csv(tmp_path / "a.csv", index=False)

    assert "'id', 'pred'" in read_any(tmp_path / "a.csv").notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class_0;class_1;target\n1,5;2,5;0\n", "'class_0' holds '1,5'; write decimal points"),
        ("class_0,class_1,target\n?,2.5,0\n", "'class_0' holds '?'; expected numbers"),
        ("class_0,class_0,target\n1.5,2.5,0\n", "'class_0' occurs twice"),
        ("class_0,class_1,class_3,target\n1.5,2.5,1,0\n", "lack number 2"),
        ("a.png,1.5,2.5,0\nb.png,1.5,2.5,0\n", "header with column names is missing"),
        ("class_0,class_1,target\n1.5,2.5,0\n1.5,,1\n", "row 1: logit of class 1 is nan"),
        ("class_0,class_1,target\n1.5,2.5,0\n1.5,1,\n", "row 1: target nan"),
        ("cat,dog,target\n1.5,2.5,cow\n", "row 0: target 'cow' is no class; expected cat, dog"),
        ("class_0,class_1,label,target\n1.5,2.5,0,1\n", "'target' and 'label' may both be the targets and differ"),
        ("class_0,class_1,target\n1.5,2.5,1\n1.5,2.5,2\n", "seem to count from 1"),
        ("class_0,class_1,target\n1.5,2.5,1\n1.5,2.5,-1\n", "targets of -1 and 1 are the classes 0 and 1"),
        (
            "ok,error,info,target\n1.5,2.5,3.5,2\n",
            "outside [0, 2); columns that do not look like classes are left out: 'error'",
        ),
        ("cat,dog\n1.5,2.5\n", "found no targets; the file holds columns 'cat', 'dog'"),
        ("class_0,class_1,target\n\n", "no rows below the header; expected at least one sample"),
    ],
)
def test_table_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(LogitsFileError, match=re.escape(message)) as refusal:
        read_any(tmp_path / "a.csv")

    assert "a.csv" in str(refusal.value) and "\n" not in str(refusal.value)


def test_keys_choose_columns(tmp_path):
    frame(label=0, age=3.5).to_csv(tmp_path / "a.csv", index=False)

    assert_read(read_any(tmp_path / "a.csv", logits_key="class_*", targets_key="target"))


def test_key_chooses_columns_whose_names_hold_brackets(tmp_path):
    names = [f"z[{k}]" for k in range(12)]
    frame(names, age=3.5).to_csv(tmp_path / "a.csv", index=False)

    assert_read(read_any(tmp_path / "a.csv", logits_key=",".join(names)))


# Archives


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        *[
            ("predictions", "label_ids"),
            ("decision_function", "gold_label"),
            ("predictions", "ground_truth"),
            ("y_pred", "y_true"),
            ("logits_test", "y_test"),
        ],
        *[("outputs", "labels"), ("arr_0", "arr_1"), ("arr_1", "arr_0"), ("val_logits", "val_targets")],
        *[("testLogits", "testLabels"), ("pred_prob", "trueLabel")],
    ],
)
def test_names_in_use_are_found_beside_others(tmp_path, logits, targets):
    others = {} if logits.startswith("arr") else {"features": LOGITS[:, :3], "files": np.array(["a"], dtype=object)}
    np.savez(tmp_path / "a.npz", **{logits: LOGITS, targets: TARGETS}, **others)

    assert_read(read_any(tmp_path / "a.npz"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_safetensors_of_types_that_numpy_lacks_are_read(tmp_path, dtype):
    logits = torch.tensor(LOGITS).to(dtype)
    save_file({"logits": logits, "labels": torch.tensor(TARGETS)}, tmp_path / "a.safetensors")
    file = read_any(tmp_path / "a.safetensors")

    assert (file.logits == logits.float().numpy()).all() and (file.targets == TARGETS).all()


@pytest.mark.parametrize("split", ["val", "test"])
def test_pair_of_the_wanted_split_is_read(tmp_path, split):
    other = {"val": "test", "test": "val"}[split]
    arrays = {f"logits_{split}": LOGITS, f"labels_{split}": TARGETS, f"logits_{other}": -LOGITS[1:]}
    np.savez(tmp_path / "a.npz", **arrays, **{f"labels_{other}": TARGETS[1:]})

    assert_read(read_any(tmp_path / "a.npz", split=split))


def torch_files():
    z, t = torch.tensor(LOGITS), torch.tensor(TARGETS)
    yield {"outputs": z, "labels": t, "epoch": 3, "state": {"head.weight": z[:3]}}
    yield {"test": {"logits": z, "labels": t}, "val": {"logits": -z, "labels": t}}
    yield [{"logits": z[:50], "labels": t[:50]}, {"logits": z[50:], "labels": t[50:]}]
    yield [(z[:50], t[:50]), (z[50:], t[50:])]
    yield [z, t]
    yield {"logits": [z[:50], z[50:]], "labels": [t[:50], t[50:]]}
    yield {"logits": z.tolist(), "labels": t.tolist()}
    yield {"logits": list(z), "labels": list(t)}
    yield list(zip(z, t.tolist(), strict=True))
    yield [{"logits": row, "label": target} for row, target in zip(z, t, strict=True)]


TORCH_FILES = ["state", "splits", "batches", "pairs", "pair", "lists of batches", "lists of numbers"]
TORCH_FILES += ["lists of rows", "pairs of samples", "samples"]


@pytest.mark.parametrize("content", [*torch_files()], ids=TORCH_FILES)
def test_torch_file_is_read(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")

    assert_read(read_any(tmp_path / "a.pt"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": LOGITS, "targets": TARGETS}, "the file holds weights (90, 12) float64, targets (90,) int64"),
        ({"logits": np.array([[1], [1, 2]], dtype=object), "y": [0, 1]}, "array 'logits' holds Python objects"),
        ({"logits": LOGITS, "labels": TARGETS, "targets": 1 - TARGETS % 2}, "may both be the targets and differ"),
        ({"logits_test": LOGITS, "labels_val": TARGETS}, "found no targets"),
        ({"logits": LOGITS[:, 0], "labels": TARGETS}, "two columns"),
        ({"logits": LOGITS, "labels": softmax(LOGITS, 1)}, "must be one-hot"),
        ({"logits": LOGITS.T, "labels": TARGETS}, "transpose the logits"),
        ({"logits": LOGITS, "labels": np.where(TARGETS == 3, 255, TARGETS)}, "targets are 255, which seems to mean"),
        ({"logits": (9 * LOGITS).astype(np.int8), "labels": TARGETS}, "save them multiplied by their scale"),
    ],
)
def test_archive_is_refused_by_name(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(LogitsFileError, match=re.escape(message)) as refusal:
        read_any(tmp_path / "a.npz")

    assert "a.npz" in str(refusal.value) and "\n" not in str(refusal.value)


def test_sparse_and_quantised_tensors_are_arrays():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch is to drop quantised tensors
        quantised = torch.quantize_per_tensor(torch.eye(3), 0.5, 0, torch.qint8)

    assert (to_numpy(torch.eye(3).to_sparse()) == np.eye(3)).all()
    assert (to_numpy(quantised) == np.eye(3)).all()


def test_arrays_in_a_torch_file_are_refused_in_one_line(tmp_path):
    torch.save({"logits": LOGITS, "labels": TARGETS}, tmp_path / "a.pt")
    with pytest.raises(LogitsFileError, match="numpy arrays or other Python objects") as refusal:
        read_any(tmp_path / "a.pt")

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", [np.eye(12)[TARGETS], TARGETS[:, None], TARGETS.astype(np.uint8)])
def test_targets_in_other_forms_are_indices(tmp_path, form):
    np.savez(tmp_path / "a.npz", logits=LOGITS, targets=form)

    assert_read(read_any(tmp_path / "a.npz"))


# Values


@pytest.mark.parametrize("mask", [-1e4, -1e9, np.finfo(np.float32).min, np.finfo(np.float64).min])
def test_number_that_stands_for_a_masked_class_becomes_one(tmp_path, mask):
    masked = LOGITS.copy()
    masked[5:20, 3] = mask
    np.savez(tmp_path / "a.npz", logits=masked, targets=np.where(TARGETS == 3, 0, TARGETS))
    file = read_any(tmp_path / "a.npz")

    assert np.isneginf(file.logits[5:20, 3]).all() and np.isfinite(file.logits).sum() == 90 * 12 - 15
    assert "15 logits" in file.notes[0]


@pytest.mark.parametrize(("values", "form"), [(softmax, "probabilities"), (log_softmax, "log-probabilities")])
def test_outputs_of_softmax_are_told_from_logits(tmp_path, values, form):
    np.savez(tmp_path / "a.npz", logits=values(LOGITS, axis=1), targets=TARGETS)
    file = read_any(tmp_path / "a.npz")
    converted = as_logits(file)

    assert file.form == form and converted.from_probabilities
    np.testing.assert_allclose(converted.logits, log_softmax(LOGITS, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("whole", [100, 500, 1000])
def test_rows_of_one_sum_are_shares(tmp_path, whole):
    np.savez(tmp_path / "a.npz", probs=whole * softmax(LOGITS, 1), targets=TARGETS)
    file = read_any(tmp_path / "a.npz")

    np.testing.assert_allclose(file.logits, softmax(LOGITS, 1), rtol=1e-6)
    assert file.notes == (f"rows sum to {whole} and are read as shares of it",)


def test_log_odds_of_softmax_outputs_are_read_as_their_logarithms(tmp_path):
    np.savez(tmp_path / "a.npz", logits=logit(softmax(LOGITS, axis=1)), targets=TARGETS)
    file = read_any(tmp_path / "a.npz")

    assert file.logits == pytest.approx(log_softmax(LOGITS, axis=1), abs=1e-4)
    assert file.form == "log-probabilities" and "log-odds" in file.notes[0]


@pytest.mark.parametrize(("scale", "what"), [(-1, "negative"), (1 / np.log(2), "base 2"), (1 / np.log(10), "base 10")])
def test_other_logarithms_of_probabilities_are_read_as_natural_ones(tmp_path, scale, what):
    np.savez(tmp_path / "a.npz", scores=scale * log_softmax(LOGITS, 1), targets=TARGETS)
    file = read_any(tmp_path / "a.npz")

    np.testing.assert_allclose(file.logits, log_softmax(LOGITS, 1), rtol=1e-6)
    assert file.form == "log-probabilities" and what in file.notes[0]


def test_rounded_shares_are_told_from_logits(tmp_path):
    np.savez(tmp_path / "a.npz", probs=np.round(255 * softmax(LOGITS, 1)).astype(np.uint8), targets=TARGETS)
    file = read_any(tmp_path / "a.npz")

    np.testing.assert_allclose(file.logits, softmax(LOGITS, 1), atol=0.5 / 255 + 1e-6)
    assert file.form == "probabilities"


def test_logits_far_above_zero_are_no_shares(tmp_path):
    np.savez(tmp_path / "a.npz", logits=LOGITS + 1e8, targets=TARGETS)

    assert read_any(tmp_path / "a.npz").form == "logits"


def test_softmax_over_samples_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", probs=softmax(LOGITS, 0), targets=TARGETS)

    with pytest.raises(LogitsFileError, match="softmax over samples; take it over classes"):
        read_any(tmp_path / "a.npz")


def test_sure_rows_of_log_probabilities_leave_msp(tmp_path):
    values = log_softmax(LOGITS, 1)
    values[3] = np.where(np.arange(12) == TARGETS[3], 0.0, -np.inf)
    np.savez(tmp_path / "a.npz", log_probs=values, targets=TARGETS)

    assert as_logits(read_any(tmp_path / "a.npz")).only_msp


def test_percent_are_fractions(tmp_path):
    np.savez(tmp_path / "a.npz", probs=100 * softmax(LOGITS, 1), targets=TARGETS)

    np.testing.assert_allclose(read_any(tmp_path / "a.npz").logits, softmax(LOGITS, 1))


def test_sigmoid_outputs_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", probs=1 / (1 + np.exp(-LOGITS)), targets=TARGETS)
    with pytest.raises(LogitsFileError, match=r"all values lie in \[0, 1\] but this row sums to .*sigmoid"):
        read_any(tmp_path / "a.npz")


def test_probabilities_of_zero_leave_msp(tmp_path):
    probs = softmax(10 * LOGITS, 1).round(4)
    np.savez(tmp_path / "a.npz", probs=probs / probs.sum(1, keepdims=True), targets=TARGETS)
    converted = as_logits(read_any(tmp_path / "a.npz"))

    assert converted.only_msp and "probability of zero" in converted.note


def test_probabilities_are_refused_by_a_fit():
    with pytest.raises(ValueError, match="predict_proba"):
        fit_score("max_logit_pnorm", softmax(LOGITS, 1), TARGETS)
    with pytest.raises(ValueError, match="mean of the logits"):
        fit_score("energy", log_softmax(LOGITS, 1), TARGETS)


# Guards


def test_targets_that_do_not_fit_are_remarked():
    assert chance_remark(LOGITS, TARGETS) is None
    assert "no better than chance" in chance_remark(LOGITS, np.random.default_rng(1).permutation(TARGETS))
    assert "count from 1" in chance_remark(np.pad(LOGITS, ((0, 0), (0, 1))), TARGETS + 1)


def test_rows_too_few_to_tell_are_not_remarked():
    assert chance_remark(np.eye(3)[[0, 1]], np.array([0, 1])) is None


@pytest.mark.parametrize("values", [softmax(LOGITS, 1), LOGITS])
def test_values_sorted_from_large_to_small_are_refused(tmp_path, values):
    np.savez(tmp_path / "a.npz", scores=-np.sort(-values, axis=1), targets=TARGETS)

    with pytest.raises(LogitsFileError, match="every row is sorted from large to small"):
        read_any(tmp_path / "a.npz")


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_logits_share_their_rows_with_their_softmax(classes):
    log_probs = np.log(softmax(LOGITS[:, :classes].astype(np.float32), 1))

    assert shared_rows(LOGITS[:, :classes], log_probs[::-1]) > 0.9
    assert shared_rows(LOGITS[:45, :classes], log_probs[45:]) == 0


def test_shares_of_few_votes_tell_nothing_of_the_rows():
    votes = np.random.default_rng(0).binomial(10, 0.7, size=2000)
    shares = np.stack((votes, 10 - votes), 1) / 10

    assert shared_rows(shares[:1000], shares[1000:]) == 0
    assert shared_rows(shares, shares) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_equal_rows_of_two_classes_are_shared_beyond_chance_only(dtype):
    margins = 3 * np.random.default_rng(0).normal(size=40_000)
    logits = np.column_stack([np.zeros_like(margins), margins.astype(dtype)])

    assert shared_rows(logits[:20_000], logits[20_000:]) == 0
    assert shared_rows(logits[:20_000], logits[19_999::-1]) == pytest.approx(1)
    assert shared_rows(logits[:20_000], log_softmax(logits, axis=1)[19_999::-1]) > (0.5 if dtype == np.float32 else 0)


@pytest.mark.parametrize("seed", [7, 9, 24])
def test_rows_of_a_network_that_has_hardly_learned_are_equal_by_chance(seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 0.03, 21) + generator.normal(0, 0.002, (350, 21))

    assert shared_rows(logits[:200], logits[200:]) == 0
    assert shared_rows(logits, logits[::-1]) == 1


def test_shared_rows_are_counted_once_each():
    assert shared_rows(LOGITS[:60], LOGITS[30:]) == 0.5
    assert shared_rows(LOGITS[:30], LOGITS[30:]) == 0


# Columns, targets and arrays that only look right

THREE = (RNG.normal(size=(300, 3)) + 2 * np.eye(3)[np.arange(300) % 3]).round(6)
ANIMALS = np.array(["cat", "dog", "fox"])


def animals(**others):
    return pd.DataFrame(THREE, columns=ANIMALS).assign(label=ANIMALS[np.arange(300) % 3], **others)


def written(tmp_path, table, **options):
    table.to_csv(tmp_path / "a.csv", index=False, **options)
    return tmp_path / "a.csv"


def test_column_of_whole_numbers_and_an_empty_one_are_left_out_beside_bare_class_names(tmp_path):
    file = read_any(written(tmp_path, animals(age=np.arange(300.0), comment=np.nan)))

    assert file.logits.shape == (300, 3)
    assert "left out: 'age', 'comment'" in file.notes[0]


@pytest.mark.parametrize("label", [ANIMALS[np.arange(300) % 3], np.arange(300) % 3])
def test_column_that_is_predicted_but_never_a_target_is_refused_beside_bare_class_names(tmp_path, label):
    path = written(tmp_path, animals(height=np.linspace(20, 80.5, 300)).assign(label=label))
    with pytest.raises(LogitsFileError, match=r"'height' is predicted in 100 % of the rows and never a target; .*key"):
        read_any(path)

    assert read_any(path, logits_key="cat,dog,fox").logits.shape == (300, 3)


def test_truth_values_are_no_targets_of_three_classes(tmp_path):
    with pytest.raises(LogitsFileError, match=r"class indices in 0\.\.2, got truth values"):
        read_any(written(tmp_path, animals().assign(label=np.arange(300) % 2 == 0)))


def test_truth_values_are_the_classes_called_true_and_false(tmp_path):
    frame = pd.DataFrame({"True": THREE[:, 0], "False": THREE[:, 1], "label": THREE[:, 0] > THREE[:, 1]})
    file = read_any(written(tmp_path, frame))

    assert (file.logits.argmax(1) == file.targets).all()


def test_names_of_targets_in_a_file_of_their_own_are_those_of_the_class_columns(tmp_path):
    logits = written(tmp_path, animals().drop(columns="label"))
    animals()[["label"]].to_csv(tmp_path / "labels.csv", index=False)

    assert (read_any(logits, tmp_path / "labels.csv").targets == np.arange(300) % 3).all()


def test_names_of_classes_are_found_between_what_their_columns_share(tmp_path):
    shares = pd.DataFrame(softmax(THREE, 1), columns=[f"P({name})" for name in ANIMALS])

    assert (read_any(written(tmp_path, shares.assign(label=animals()["label"]))).targets == np.arange(300) % 3).all()


@pytest.mark.parametrize("text", ["{:.1f}%", "{:,.2f}"])
def test_numbers_with_a_sign_of_percent_or_thousands_are_refused_by_name(tmp_path, text):
    frame = animals()
    frame["cat"] = [text.format(1000 + value) for value in frame["cat"]]
    with pytest.raises(LogitsFileError, match=r"class column 'cat' holds '1,?00.*'; expected numbers"):
        read_any(written(tmp_path, frame))


def test_logits_in_a_column_of_dictionaries_are_refused_by_type(tmp_path):
    rows = [dict(zip(ANIMALS.tolist(), row, strict=True)) for row in THREE.tolist()]
    table = pd.DataFrame({"logits": rows, "label": animals()["label"]})
    table.to_parquet(tmp_path / "a.parquet")
    for path, kind in ((tmp_path / "a.parquet", "struct<.*>"), (written(tmp_path, table), r".\{'cat'.*")):
        with pytest.raises(
            LogitsFileError, match=f"columns 'logits' of {kind}, which is neither numbers nor a list of"
        ):
            read_any(path)


def test_table_of_targets_may_hold_predictions_as_text(tmp_path):
    np.save(tmp_path / "logits.npy", THREE)
    pd.DataFrame({"label": np.arange(300) % 3, "prediction": "cat"}).to_csv(tmp_path / "labels.csv", index=False)

    assert (read_any(tmp_path / "logits.npy", tmp_path / "labels.csv").targets == np.arange(300) % 3).all()


def test_lists_of_lists_are_refused(tmp_path):
    pd.DataFrame({"logits": [[row] for row in THREE.tolist()], "label": 0}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(LogitsFileError, match="column 'logits' holds lists of lists or text"):
        read_any(tmp_path / "a.parquet")


def test_logits_of_one_name_in_several_dictionaries_are_not_chosen_among(tmp_path):
    part = {"logits": torch.tensor(THREE[:150]), "labels": torch.arange(150) % 3}
    torch.save({"batch_0": part, "batch_1": part}, tmp_path / "a.pt")
    with pytest.raises(LogitsFileError, match=r"holds batch_0\.logits, batch_1\.logits; choose with --logits-key"):
        read_any(tmp_path / "a.pt")


def test_probabilities_that_rounding_left_below_zero_are_probabilities(tmp_path):
    shares = softmax(THREE, 1)
    np.savez(tmp_path / "a.npz", probs=np.where(shares < 0.004, -1e-9, shares), targets=np.arange(300) % 3)
    file = read_any(tmp_path / "a.npz")

    assert file.form == "probabilities"
    assert as_logits(file).only_msp


def test_numbered_columns_of_no_known_stem_beside_named_ones_are_not_chosen_among(tmp_path):
    corners = {name: RNG.random(300) for name in ("y1", "y2")}
    with pytest.raises(LogitsFileError, match=r"the classes may be 'y1', 'y2' or 'cat', 'dog', 'fox'; choose with"):
        read_any(written(tmp_path, animals(**corners)))


def test_numbered_columns_of_text_are_no_classes(tmp_path):
    names = ANIMALS[np.arange(300) % 3]

    assert read_any(written(tmp_path, animals(annotator_1=names, annotator_2=names))).logits.shape == (300, 3)


def test_samples_as_dictionaries_of_lists_are_put_together(tmp_path):
    torch.save([{"logits": row, "label": k % 3} for k, row in enumerate(THREE.tolist())], tmp_path / "a.pt")
    file = read_any(tmp_path / "a.pt")

    np.testing.assert_allclose(file.logits, THREE, rtol=1e-6)
    assert (file.targets == np.arange(300) % 3).all()


def test_sums_of_halves_do_not_overflow(tmp_path):
    logits = (LOGITS + 8000).astype(np.float16)
    np.savez(tmp_path / "a.npz", logits=logits, targets=TARGETS)
    file = read_any(tmp_path / "a.npz")

    assert file.form == "logits"
    assert (file.logits == logits).all()


@pytest.mark.parametrize("shape", [(10, 9, 12), (1, 90, 12), (90, 12, 1, 1)])
def test_logits_of_more_axes_are_named_before_the_targets(tmp_path, shape):
    targets = TARGETS.reshape(shape[:2]) if shape[1] != 12 else TARGETS
    np.savez(tmp_path / "a.npz", logits=LOGITS.reshape(shape), targets=targets)

    with pytest.raises(LogitsFileError, match=rf"got {re.escape(str(shape))}; give each position.* a row of its own"):
        read_any(tmp_path / "a.npz")


def test_features_that_are_no_numbers_are_left_alone(tmp_path):
    features = np.array([{"layer": 4}] * 90, dtype=object)
    np.savez(tmp_path / "a.npz", logits=LOGITS, targets=TARGETS, features=features, bias=np.zeros(12))

    assert read_any(tmp_path / "a.npz").load_layer().keys() == {"bias"}
