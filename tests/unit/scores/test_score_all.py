"""The one pass: same values as one score at a time, whatever the chunks and the source."""

from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from unsmooth.logits.logits_file import read_logits, write_logits
from unsmooth.scores import (
    SCORES,
    FittedScore,
    ScoredLogits,
    available_scores,
    energy,
    fit_score,
    pnorm_name,
    score_all,
)

INF = float("inf")
FITTED = {
    "tempered": FittedScore("msp_temperature", {"temperature": 1.7}),
    "fell_back": FittedScore("max_logit_pnorm", {"p": 3}, fell_back=True, reason="worse"),
    "pnorm_msp": FittedScore("msp_pnorm", {"p": 3, "temperature": 0.1, "centring": "mean"}),
    "bk": FittedScore("bk", {"alpha": 1.0, "beta": 0.3}),
    "ets": FittedScore("ets", {"temperature": 0.5, "weight": 0.4}),
    "hts": FittedScore("hts", {"weight": -0.2, "bias": 0.3}),
}
UNFITTED = [name for name in available_scores() if not SCORES[name].fitted]


def logits_of(num_samples: int = 501, num_classes: int = 19, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_samples, num_classes, generator=generator, dtype=dtype) * 4


def same(one: ScoredLogits, other: ScoredLogits) -> bool:
    equal = all((one[name] == other[name]).all() for name in one)
    return equal and set(one) == set(other) and bool((one.predictions == other.predictions).all())


def test_every_unfitted_score_and_every_default_p_is_returned() -> None:
    scored = score_all(logits_of())

    assert set(scored) == {*UNFITTED, *(pnorm_name(p) for p in [*range(11), INF])}
    assert all(confidence.shape == (501,) and confidence.dtype == np.float64 for confidence in scored.values())
    assert (scored.predictions == logits_of().argmax(dim=1).numpy()).all()


@pytest.mark.parametrize("name", UNFITTED)
def test_equals_the_score_alone(name: str) -> None:
    entry = SCORES[name]

    assert (score_all(logits_of())[name] == entry.function(logits_of(), **entry.defaults).numpy()).all()


@pytest.mark.parametrize("centring", ["mean", "min"])
def test_each_p_equals_the_pnorm_alone(centring: str) -> None:
    scored = score_all(logits_of(), scores=[], ps=[0, 0.5, 1, 5, 64, INF], centring=centring)

    for p in [0, 0.5, 1, 5, 64, INF]:
        alone = SCORES["max_logit_pnorm"].function(logits_of(), p=p, centring=centring)
        assert (scored[pnorm_name(p)] == alone.numpy()).all()


@pytest.mark.parametrize("name", FITTED)
def test_fitted_score_equals_its_own_call(name: str) -> None:
    assert (score_all(logits_of(), scores=FITTED, ps=[])[name] == FITTED[name](logits_of()).numpy()).all()


@pytest.mark.parametrize("num_classes", [3, 32, 257, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 10_000])
def test_chunk_size_changes_no_bit(num_classes: int, dtype: torch.dtype, chunk: int) -> None:
    logits = logits_of(101, num_classes).to(dtype)
    scores = {name: name for name in UNFITTED} | FITTED

    chunked = score_all(logits, scores=scores, ps=[0, 0.5, 1, 2, 3.3, 5, 10, INF], chunk=chunk)

    assert same(chunked, score_all(logits, scores=scores, ps=[0, 0.5, 1, 2, 3.3, 5, 10, INF]))


@pytest.mark.parametrize("threads", [1, 2])
def test_number_of_threads_changes_no_bit(threads: int) -> None:
    before, expected = torch.get_num_threads(), score_all(logits_of(3000, 257))
    try:
        torch.set_num_threads(threads)

        assert same(score_all(logits_of(3000, 257)), expected)
    finally:
        torch.set_num_threads(before)


def test_masked_classes_in_one_row_do_not_change_the_others() -> None:
    logits = logits_of()
    expected = score_all(logits)
    logits[5, :3] = -INF

    actual = score_all(logits)

    for name in expected:
        assert (np.delete(actual[name], 5) == np.delete(expected[name], 5)).all()


def test_arrays_files_and_iterators_give_the_same_bits(tmp_path: Path) -> None:
    logits = logits_of()
    expected = score_all(logits)
    path = tmp_path / "val.safetensors"
    write_logits(path, logits, torch.zeros(len(logits), dtype=torch.int64), metadata={})
    np.save(tmp_path / "logits.npy", logits.numpy())

    assert same(score_all(logits.numpy()), expected)
    assert same(score_all(read_logits(path)), expected)
    assert same(score_all(read_logits(path, mmap=True)), expected)
    assert same(score_all(np.load(tmp_path / "logits.npy", mmap_mode="r")), expected)
    assert same(score_all(iter(logits.split(83))), expected)
    assert same(score_all(batch.numpy() for batch in logits.split([1, 250, 250])), expected)


@pytest.mark.parametrize("num_classes", [2, 32, 33, 300])
def test_the_first_of_equal_largest_logits_is_predicted(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randint(3, (200, num_classes), generator=generator).float()

    assert (score_all(logits).predictions == logits.numpy().argmax(axis=1)).all()


STORED = {
    "contiguous": lambda logits, path: logits.copy(),
    "fortran": lambda logits, path: np.asfortranarray(logits),
    "strided": lambda logits, path: np.repeat(np.repeat(logits, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda logits, path: logits[::-1, ::-1].copy()[::-1, ::-1],
    "read_only": lambda logits, path: np.frombuffer(logits.tobytes(), logits.dtype).reshape(logits.shape),
    "mapped": lambda logits, path: np.load(path, mmap_mode="r"),
    "mapped_writable": lambda logits, path: np.load(path, mmap_mode="r+"),
    "big_endian": lambda logits, path: logits.astype(logits.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("stored", STORED)
def test_storage_changes_no_bit_and_is_not_written(stored: str, dtype: type, tmp_path: Path) -> None:
    logits = logits_of(dtype=torch.float64).numpy().astype(dtype)
    np.save(tmp_path / "logits.npy", logits)
    array = STORED[stored](logits, tmp_path / "logits.npy")
    scores = {name: name for name in UNFITTED} | FITTED

    expected = score_all(logits, scores=scores)
    for source, chunk in ((array, None), (array, 70), ((array[i : i + 83] for i in range(0, len(array), 83)), 50)):
        assert same(score_all(source, scores=scores, chunk=chunk), expected)

    assert (array == logits).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_as_float32(dtype: torch.dtype) -> None:
    half = logits_of().to(dtype)

    for source in (half, half.T.contiguous().T, iter(half.split(83))):
        assert same(score_all(source, chunk=30), score_all(half.float()))


def test_tensor_of_any_layout_is_not_changed() -> None:
    for logits in (logits_of(), logits_of().T.contiguous().T, logits_of()[::2, ::3], logits_of().requires_grad_()):
        before = logits.detach().clone()
        score_all(logits)

        assert torch.equal(logits.detach(), before)


@pytest.mark.parametrize("spread", [1e-30, 3.0, 40.0, 300.0, 1e30])
def test_rows_of_other_spread_change_no_bit(spread: float) -> None:
    logits = logits_of()
    alone = score_all(logits)

    together = score_all(torch.cat((logits, logits_of(7) * spread)))

    for name in alone:
        assert (together[name][: len(logits)] == alone[name]).all()


def test_two_classes_leave_out_the_degenerate_scores_with_the_reason() -> None:
    scored = score_all(logits_of(num_classes=2))

    assert set(scored.left_out) == {"max_logit_pnorm", "lda", *(pnorm_name(p) for p in [*range(1, 11), INF])} - {
        "max_logit_pnorm"
    }
    assert "K = 2" in scored.left_out["max_logit_pnorm_p5"]
    with pytest.raises(KeyError, match="left out: two centred logits"):
        scored["max_logit_pnorm_p5"]


def test_two_classes_keep_a_fitted_score_that_fell_back() -> None:
    logits = logits_of(num_classes=2)
    fitted = fit_score("max_logit_pnorm", logits, logits.argmax(dim=1))

    assert (score_all(logits, scores=[fitted], ps=[])["max_logit_pnorm"] == score_all(logits)["msp"]).all()


def test_bad_row_is_named_by_its_place_in_the_whole() -> None:
    logits = logits_of()
    logits[402, 3] = float("nan")

    for source in (logits, iter(logits.split(100))):
        with pytest.raises(ValueError, match="row 402 "):
            score_all(source, chunk=50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": ["entropy"]}, "unknown score 'entropy', expected one of msp"),
        ({"scores": "msp"}, "collection of names"),
        ({"scores": ["msp", "msp"]}, "different names"),
        ({"ps": [1, 1]}, "different names"),
        ({"scores": ["msp_temperature"]}, "no default for temperature; fit it on validation data"),
        ({"scores": ["knn"]}, r"needs features, training.*NearestNeighbours.fit\(features, k\) on training data"),
        ({"scores": ["rl_geo_m"]}, r"needs last_layer, logits.*unsmooth.scores.rl_geo_m\(logits, weight, bias\)"),
        ({"ps": [2, -1]}, "p must be at least 0, got -1"),
        ({"ps": [2, float("nan")]}, "p must be at least 0, got nan"),
        ({"centring": "median"}, "centring must be"),
        ({"chunk": 0}, "chunk must be"),
    ],
)
def test_bad_request_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_all(logits_of(10), **arguments)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("max_logit_pnorm", {"p": -1}, "p must be at least 0, got -1"),
        ("max_logit_pnorm", {"p": 2, "centring": "median"}, "centring must be"),
        ("max_logit_pnorm", {}, "max_logit_pnorm: missing a required .*argument: 'p'"),
        ("msp", {"p": 2}, "msp: got an unexpected keyword argument 'p'"),
        ("msp", {"scale": "probability"}, "scale must be 'log' or 'natural', got 'probability'"),
        ("msp_temperature", {"temperature": 0.0}, "temperature must be positive and finite, got 0.0"),
        ("msp_pnorm", {"p": 2, "temperature": INF}, "temperature must be positive and finite, got inf"),
        ("energy", {"temperature": -1.0}, "temperature must be positive"),
        ("gen", {"gamma": 1.5}, r"gamma must be in \(0, 1\], got 1.5"),
        ("gen", {"top": 2.5}, "top must be a whole number of at least 2 classes, got 2.5"),
        ("softmax_k", {"k": 1}, "k must be a whole number of at least 2 classes, got 1"),
        ("bk", {"alpha": 0.0, "beta": 1.0}, "alpha must be positive"),
        ("ets", {"temperature": 1.0, "weight": 2.0}, r"weight must be in \[0, 1\], got 2.0"),
        ("hts", {"weight": INF, "bias": 0.0}, "weight must be finite"),
        ("knn", {"k": 3}, "needs features, training"),
        ("nope", {}, "unknown score 'nope'"),
    ],
)
def test_fitted_score_with_bad_parameters_does_not_exist(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FittedScore(name, params)


@pytest.mark.parametrize(
    "name",
    [name for name in UNFITTED if "scale" in signature(SCORES[name].function).parameters and name != "doctor_alpha"],
)
def test_scale_is_a_parameter_of_the_one_pass_too(name: str) -> None:
    natural = FittedScore(name, {**SCORES[name].defaults, "scale": "natural"})

    assert (score_all(logits_of(), scores=[natural], ps=[])[name] == natural(logits_of()).numpy()).all()


def test_batches_with_other_class_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="batches differ in classes: 19, then 18 from row 501"):
        score_all(iter([logits_of(), logits_of(num_classes=18)]))


def test_softmax_outputs_are_refused_where_logits_are_expected() -> None:
    probabilities = logits_of().softmax(dim=1)

    for source in (probabilities, probabilities.numpy()):
        with pytest.raises(ValueError, match="every row is non-negative and sums to one, as softmax outputs"):
            score_all(source)


def test_percent_are_refused_where_logits_are_expected() -> None:
    with pytest.raises(ValueError, match="every row is non-negative and sums to 100, as percent do"):
        score_all(100 * logits_of().softmax(dim=1))


def test_softmax_outputs_in_small_batches_are_refused_together() -> None:
    with pytest.raises(ValueError, match="every row is non-negative and sums to one, as softmax outputs"):
        score_all(logits_of().softmax(dim=1).split(7))


def test_batch_that_looks_like_softmax_outputs_is_scored_among_logits() -> None:
    logits = torch.cat((logits_of(), logits_of().softmax(dim=1)))
    whole, batched = score_all(logits), score_all(logits.split(len(logits) // 2))

    assert all((whole[name] == batched[name]).all() for name in whole)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="N = 0"):
        score_all(iter([]))


def test_registry_describes_every_score() -> None:
    for name, entry in SCORES.items():
        assert entry.name == name
        assert entry.summary.endswith((".", ":"))
        assert len(entry.source) > 10
        assert entry.of_logits == hasattr(getattr(entry.function, "func", entry.function), "formula")


def test_available_scores_grow_with_what_is_at_hand() -> None:
    logits_only = set(available_scores())

    assert "sirc" not in logits_only
    assert logits_only < set(available_scores("logits", "last_layer"))
    assert set(available_scores("logits", "features", "last_layer", "training")) == set(SCORES)


@pytest.mark.gpu
def test_gpu_pass_gives_what_the_cpu_gives(device: str) -> None:
    expected = score_all(logits_of())

    actual = score_all(logits_of().to(device))

    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5)


def test_log_probabilities_leave_out_what_depends_on_the_mean() -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)
    wanted = ["max_logit", "energy", "logit_margin"]
    whole, batches = score_all(logits, scores=wanted), score_all(logits.split(1), scores=wanted)

    assert set(whole.left_out) == set(batches.left_out) == {"max_logit", "energy"}
    assert "energy" in score_all(logits - 1, scores=wanted)
    with pytest.raises(ValueError, match="energy depends on the mean of the logits, which log-probabilities do not"):
        energy(logits)
