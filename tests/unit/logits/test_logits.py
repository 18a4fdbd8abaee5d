"""The logits file: what is written comes back, and nothing else does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import safetensors.numpy
import torch
from scipy.special import softmax

from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.logits_file import LogitsFileError, read_logits, write_logits
from unsmooth.logits.probabilities import check_probabilities, logits_from_probabilities

RNG = np.random.default_rng(0)
LOGITS = (RNG.normal(size=(100, 10)) * 5).astype(np.float32)
TARGETS = RNG.integers(0, 10, 100)
METADATA = {
    "experiment": "glyphs",
    "split": "val",
    "alpha": 0.1,
    "versions": {"torch": "2"},
    "seeds": [0, 1],
    "note": None,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "val.safetensors"


# Our own format


def test_what_is_written_comes_back(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata=METADATA)

    file = read_logits(path, num_classes=10)

    assert (file.logits == LOGITS).all() and file.logits.dtype == np.float32
    assert (file.targets == TARGETS).all() and file.targets.dtype == np.int64
    assert file.metadata == METADATA
    assert (file.num_samples, file.num_classes, file.form) == (100, 10, "logits")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rounds_as_torch_does(path: Path, dtype: str) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={}, dtype=dtype)

    expected = torch.tensor(LOGITS).to(getattr(torch, dtype)).float().numpy()
    assert (read_logits(path).logits == expected).all()
    assert path.stat().st_size < LOGITS.nbytes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_tensors_of_any_precision_and_layout_are_written(path: Path, dtype: torch.dtype) -> None:
    logits = torch.tensor(LOGITS, requires_grad=True).to(dtype)
    strided = torch.stack((logits, logits), dim=2)[..., 0]

    write_logits(path, strided, torch.tensor(TARGETS, dtype=torch.int32), metadata={})

    assert (read_logits(path).logits == logits.detach().float().numpy()).all()


def test_mapped_file_equals_loaded_file_and_cannot_be_written(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})

    for verify in (True, False):
        mapped = read_logits(path, mmap=True, verify=verify).logits
        assert (mapped == LOGITS).all()
        assert not mapped.flags.writeable


def test_loaded_logits_may_be_changed_without_touching_the_file(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})
    read_logits(path).logits[:] = 0

    assert (read_logits(path).logits == LOGITS).all()


def test_equal_content_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={"a": 1, "b": 2})
    write_logits(tmp_path / "again", LOGITS, TARGETS, metadata={"b": 2, "a": 1})

    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_file_is_readable_by_safetensors(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})
    tensors = safetensors.numpy.load_file(path)

    assert (tensors["logits"] == LOGITS).all()
    assert (tensors["targets"] == TARGETS).all()


def test_failed_write_leaves_the_old_file_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_logits(path, LOGITS + 1, TARGETS, metadata={})

    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    write_logits(path, LOGITS[:20], TARGETS[:20], metadata=METADATA)
    content = path.read_bytes()
    body = content.index(b'"__metadata__"')

    for position in range(body, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 7)
        if damaged[position : position + 1].isspace() and content[position : position + 1].isspace():
            continue
        path.write_bytes(damaged)
        with pytest.raises(LogitsFileError, match="val.safetensors: "):
            read_logits(path)


@pytest.mark.parametrize("length", [1, 7, 8, 100, 500, -4, -1])
def test_truncated_file_is_refused(path: Path, length: int) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(LogitsFileError, match="val.safetensors: not a whole safetensors file"):
        read_logits(path)


def test_missing_empty_and_foreign_files_are_refused(path: Path) -> None:
    with pytest.raises(LogitsFileError, match="no such file"):
        read_logits(path)
    path.touch()
    with pytest.raises(LogitsFileError, match="empty"):
        read_logits(path)
    safetensors.numpy.save_file({"logits": LOGITS, "targets": TARGETS}, path)
    with pytest.raises(LogitsFileError, match="not one written by write_logits"):
        read_logits(path)


def test_unexpected_class_count_is_refused(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})

    with pytest.raises(LogitsFileError, match="expected 62 classes, found 10"):
        read_logits(path, num_classes=62)


def test_later_format_is_refused(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata={})
    path.write_bytes(path.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 7'))

    with pytest.raises(LogitsFileError, match="format 7, expected 1"):
        read_logits(path)


def with_value(value: float) -> np.ndarray:
    logits = LOGITS.astype(np.float64)
    logits[61, 3] = value
    return logits


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (with_value(np.nan), TARGETS, "row 61: logit of class 3 is nan"),
        (with_value(np.inf), TARGETS, "row 61: logit of class 3 is inf"),
        (with_value(-np.inf), TARGETS, "leave a masked class's column out"),
        (with_value(1e39), TARGETS, "row 61: .* does not fit in float32"),
        (LOGITS, np.where(np.arange(100) == 8, 10, TARGETS), r"row 8: target 10 is outside \[0, 10\)"),
        (LOGITS, np.where(np.arange(100) == 8, -1, TARGETS), r"row 8: target -1"),
        (LOGITS, TARGETS[:-1], "100 rows of logits but 99 targets"),
        (LOGITS, TARGETS.astype(float), "targets must be integer"),
        (LOGITS, TARGETS[:, None], r"targets must have shape \(N,\)"),
        (LOGITS[0], TARGETS, r"logits must have shape \(N, K\)"),
        (LOGITS[:, :1], TARGETS * 0, r"found 1; write one sigmoid logit z as the two columns \(0, z\)"),
        (LOGITS[:0], TARGETS[:0], "no rows"),
        (LOGITS > 0, TARGETS, "real numbers, got dtype bool"),
    ],
)
def test_bad_content_is_refused_before_writing(
    path: Path, logits: np.ndarray, targets: np.ndarray, message: str
) -> None:
    with pytest.raises(LogitsFileError, match=message):
        write_logits(path, logits, targets, metadata={})

    assert not path.exists()


@pytest.mark.parametrize(("dtype", "value"), [("float16", 70_000.0), ("bfloat16", 3.4e38)])
def test_overflow_of_half_precision_is_refused(path: Path, dtype: str, value: float) -> None:
    with pytest.raises(LogitsFileError, match=f"row 61: .* does not fit in {dtype}"):
        write_logits(path, with_value(value), TARGETS, metadata={}, dtype=dtype)


@pytest.mark.parametrize("metadata", [{"x": object()}, {"x": float("nan")}])
def test_metadata_that_is_not_json_is_refused(path: Path, metadata: dict[str, object]) -> None:
    with pytest.raises(LogitsFileError, match="metadata must be JSON-serialisable"):
        write_logits(path, LOGITS, TARGETS, metadata=metadata)


def test_torch_is_not_imported() -> None:
    code = "import sys, unsmooth.logits.logits_file; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)


# Other people's formats


def test_our_file_is_read_with_its_metadata(path: Path) -> None:
    write_logits(path, LOGITS, TARGETS, metadata=METADATA)

    assert read_any(path).metadata == METADATA
    assert read_any(path.rename(path.with_suffix(".SAFETENSORS"))).metadata == METADATA


def save_safetensors(path: Path) -> None:
    safetensors.numpy.save_file({"logits": LOGITS, "labels": TARGETS.astype(np.int32)}, path)


def save_npz(path: Path) -> None:
    np.savez(path, outputs=LOGITS.astype(np.float64), y_true=TARGETS)


def save_dict(path: Path) -> None:
    torch.save({"logits": torch.tensor(LOGITS), "targets": torch.tensor(TARGETS)}, path)


def save_pair(path: Path) -> None:
    torch.save((torch.tensor(LOGITS), torch.tensor(TARGETS)), path)


def table() -> pa.Table:
    return pa.table({"label": TARGETS, **{f"class_{k}": LOGITS[:, k] for k in range(10)}})


def save_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(table(), path)


def save_lists(path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"logits": list(LOGITS), "target": TARGETS}), path)


def save_csv(path: Path) -> None:
    pyarrow.csv.write_csv(table(), path)


@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        ("safetensors", save_safetensors),
        ("npz", save_npz),
        ("pt", save_dict),
        ("pth", save_pair),
        ("parquet", save_parquet),
        ("parquet", save_lists),
        ("csv", save_csv),
    ],
)
def test_foreign_file_is_read(tmp_path: Path, suffix: str, save: object) -> None:
    path = tmp_path / f"dump.{suffix}"
    save(path)

    file = read_any(path, num_classes=10)

    np.testing.assert_allclose(file.logits, LOGITS, rtol=1e-6)
    assert (file.targets == TARGETS).all()
    assert file.metadata == {} and file.form != "probabilities"


@pytest.mark.parametrize("suffix", ["npy", "pt", "csv"])
def test_targets_may_be_in_their_own_file(tmp_path: Path, suffix: str) -> None:
    np.save(tmp_path / "logits.npy", LOGITS)
    targets = tmp_path / f"targets.{suffix}"
    if suffix == "npy":
        np.save(targets, TARGETS)
    elif suffix == "pt":
        torch.save(torch.tensor(TARGETS), targets)
    else:
        pyarrow.csv.write_csv(pa.table({"label": TARGETS}), targets)

    assert (read_any(tmp_path / "logits.npy", targets).targets == TARGETS).all()


def test_softmax_outputs_are_recognised_and_convert_to_equivalent_logits(tmp_path: Path) -> None:
    probs = torch.tensor(LOGITS).softmax(dim=1)
    np.savez(tmp_path / "dump.npz", probs=probs.numpy(), targets=TARGETS)

    file = read_any(tmp_path / "dump.npz")
    logits = logits_from_probabilities(file.logits)

    assert file.form == "probabilities"
    shift = (LOGITS - logits).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(logits + shift, LOGITS, atol=1e-4)


def test_float64_probabilities_that_float32_would_round_away_are_kept(tmp_path: Path) -> None:
    logits = np.array([[0.0, -200.0, -700.0], [0.0, -1.0, -2.0]])
    np.savez(tmp_path / "dump.npz", probs=softmax(logits, axis=1), targets=[0, 1])

    file = read_any(tmp_path / "dump.npz")
    found = check_probabilities(file.logits)

    assert file.form == "probabilities"
    np.testing.assert_allclose(found - found[:, :1], logits, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "advice"), [(np.float32, "or softmax in float64"), (np.float64, "save the logits$")])
def test_advice_for_rounded_away_probabilities_fits_their_type(dtype: type, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        logits_from_probabilities(np.array([[1, 0]], dtype=dtype))


def test_rounded_away_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="1 rows with a probability of zero, the first is row 1"):
        logits_from_probabilities(np.array([[0.5, 0.5], [1.0, 0.0]]))


def test_masked_classes_are_let_through(tmp_path: Path) -> None:
    np.savez(tmp_path / "dump.npz", logits=with_value(-np.inf), targets=TARGETS)

    assert read_any(tmp_path / "dump.npz").logits[61, 3] == -np.inf


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"logits": with_value(np.nan), "targets": TARGETS}, "row 61: logit of class 3 is nan"),
        ({"logits": np.full((100, 10), -np.inf), "targets": TARGETS}, "row 0"),
        ({"logits": LOGITS, "targets": TARGETS + 0.5}, r"row 0: target .* is not a class index"),
        ({"logits": LOGITS}, "found no targets"),
        ({"weights": LOGITS, "targets": TARGETS}, "found no logits"),
        ({"logits": LOGITS[:, :1], "targets": TARGETS * 0}, "one sigmoid logit"),
        ({"logits": LOGITS.astype(str), "targets": TARGETS}, "real numbers"),
    ],
)
def test_malformed_dump_is_refused_with_the_reason(
    tmp_path: Path, content: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "dump.npz", **content)

    with pytest.raises(LogitsFileError, match=rf"dump\.npz: .*{message}"):
        read_any(tmp_path / "dump.npz")


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "npy", "pt", "parquet", "csv"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage" * 20])
def test_garbage_is_refused_in_every_format(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"dump.{suffix}"
    path.write_bytes(content)

    with pytest.raises(LogitsFileError, match=rf"dump\.{suffix}: "):
        read_any(path)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"logits": Path("x"), "targets": TARGETS}, tmp_path / "dump.pt")

    with pytest.raises(LogitsFileError, match="cannot be read as .pt"):
        read_any(tmp_path / "dump.pt")


def test_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LogitsFileError, match=r"unknown suffix '.mat', expected one of .safetensors, .npz"):
        read_any(tmp_path / "dump.mat")
