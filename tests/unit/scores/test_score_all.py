"""The one pass: same values as one score at a time, whatever the chunks and the source."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unsmooth.logits import read_logits, write_logits
from unsmooth.scores import REGISTRY, FittedScore, ScoredLogits, available_scores, fit_score, pnorm_name, score_all

INF = float("inf")
FITTED = {
    "tempered": FittedScore("msp_temperature", {"temperature": 1.7}),
    "fell_back": FittedScore("max_logit_pnorm", {"p": 3}, fell_back=True, reason="worse"),
    "pnorm_msp": FittedScore("msp_pnorm", {"p": 3, "temperature": 0.1, "centring": "mean"}),
    "bk": FittedScore("bk", {"alpha": 1.0, "beta": 0.3}),
    "ets": FittedScore("ets", {"temperature": 0.5, "weight": 0.4}),
    "hts": FittedScore("hts", {"weight": -0.2, "bias": 0.3}),
}
UNFITTED = [name for name in available_scores() if not REGISTRY[name].fitted]


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
    entry = REGISTRY[name]

    assert (score_all(logits_of())[name] == entry.function(logits_of(), **entry.defaults).numpy()).all()


@pytest.mark.parametrize("centring", ["mean", "min"])
def test_each_p_equals_the_pnorm_alone(centring: str) -> None:
    scored = score_all(logits_of(), scores=[], ps=[0, 0.5, 1, 5, 64, INF], centring=centring)

    for p in [0, 0.5, 1, 5, 64, INF]:
        alone = REGISTRY["max_logit_pnorm"].function(logits_of(), p=p, centring=centring)
        assert (scored[pnorm_name(p)] == alone.numpy()).all()


@pytest.mark.parametrize("name", FITTED)
def test_fitted_score_equals_its_own_call(name: str) -> None:
    assert (score_all(logits_of(), scores=FITTED, ps=[])[name] == FITTED[name](logits_of()).numpy()).all()


@pytest.mark.parametrize("num_classes", [3, 10, 257, 1000])
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


def test_input_is_not_changed() -> None:
    logits = logits_of()
    before = logits.clone()
    score_all(logits)

    assert torch.equal(logits, before)


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
        ({"scores": ["msp_temperature"]}, "needs temperature; pass what fit_score returns"),
        ({"scores": ["knn"]}, "needs features, training"),
        ({"chunk": 0}, "chunk must be"),
    ],
)
def test_bad_request_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_all(logits_of(10), **arguments)


def test_batches_with_other_class_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="batches differ in classes: 19, then 18 from row 501"):
        score_all(iter([logits_of(), logits_of(num_classes=18)]))


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="N = 0"):
        score_all(iter([]))


def test_registry_describes_every_score() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.summary.endswith((".", ":"))
        assert len(entry.references) > 10
        assert entry.rows is not None or entry.needs != {"logits"}


def test_available_scores_grow_with_what_is_at_hand() -> None:
    logits_only = set(available_scores())

    assert "sirc" not in logits_only
    assert logits_only < set(available_scores("logits", "last_layer"))
    assert set(available_scores("logits", "features", "last_layer", "training")) == set(REGISTRY)


@pytest.mark.gpu
def test_gpu_pass_gives_what_the_cpu_gives(device: str) -> None:
    expected = score_all(logits_of())

    actual = score_all(logits_of().to(device))

    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5)
