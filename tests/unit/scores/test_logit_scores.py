"""Values, limits, invariances and hard inputs of the scores of logits."""

import json
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, softmax

from unsmooth import scores
from unsmooth.metrics import aurc

RELEASED = json.loads((Path(__file__).parents[1] / "reference_values" / "scores" / "released_scores.json").read_text())
LOGITS = torch.tensor(RELEASED["logits"], dtype=torch.float64)
ERRORS = (LOGITS.argmax(dim=1) != torch.tensor(RELEASED["targets"])).numpy()

INF = float("inf")
PS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, INF]

NATURAL = {
    "MSP": partial(scores.msp, scale="natural"),
    "negative_entropy": partial(scores.negative_entropy, scale="natural"),
    "energy": lambda z: -scores.energy(z),
    "energy_T2": lambda z: -scores.energy(z, temperature=2),
    "max_logit": scores.max_logit,
    "margin_logits": scores.logit_margin,
    "margin_softmax": partial(scores.softmax_margin, scale="natural"),
    "negative_gini": partial(scores.negative_gini, scale="natural"),
    "softmax_k2": partial(scores.softmax_k, k=2, scale="natural"),
    "softmax_k5": partial(scores.softmax_k, k=5, scale="natural"),
    **{f"MaxLogit_pNorm_p{p}": partial(scores.max_logit_pnorm, p=p) for p in PS},
    "MaxLogit_pNorm_p2_uncentred": partial(scores.max_logit_pnorm, p=2, centring="none"),
    "MaxLogit_pNorm_p5_uncentred": partial(scores.max_logit_pnorm, p=5, centring="none"),
    "MSP_pTS_p3_T0.1": partial(scores.msp_pnorm, p=3, temperature=0.1, scale="natural"),
    "MSP_T0.5": partial(scores.msp_temperature, temperature=0.5, scale="natural"),
    "MSP_T1.5": partial(scores.msp_temperature, temperature=1.5, scale="natural"),
    "BK_a0.9_b0.5": partial(scores.bk, alpha=0.9, beta=0.5, scale="natural"),
    "J": partial(scores.j_score, scale="natural"),
    "ETS_T1.5_w0.3_0.7": partial(scores.ets, temperature=1.5, weight=0.3, scale="natural"),
    "HTS_w0.1_b0.0": partial(scores.hts, weight=0.1, bias=0.0, scale="natural"),
}

SCALED = {
    "msp": scores.msp,
    "msp_temperature": partial(scores.msp_temperature, temperature=1.7),
    "softmax_margin": scores.softmax_margin,
    "negative_entropy": scores.negative_entropy,
    "negative_gini": scores.negative_gini,
    "doctor_alpha": scores.doctor,
    "doctor_beta": partial(scores.doctor, variant="beta"),
    "gen": scores.gen,
    "softmax_k": partial(scores.softmax_k, k=3),
    "msp_pnorm": partial(scores.msp_pnorm, p=3, temperature=0.1),
    "bk": partial(scores.bk, alpha=1, beta=0.3),
    "ets": partial(scores.ets, temperature=0.5, weight=0.4),
    "hts": partial(scores.hts, weight=-0.2, bias=0.3),
    "lda": scores.lda,
    "j_score": scores.j_score,
}
PNORMS = {f"pnorm_{p}": partial(scores.max_logit_pnorm, p=p) for p in (1, 2.5, 4, 5, INF)}
SHIFT_FREE = SCALED | PNORMS | {"logit_margin": scores.logit_margin, "pnorm_0": partial(scores.max_logit_pnorm, p=0)}
ALL = SHIFT_FREE | {
    "max_logit": scores.max_logit,
    "energy": scores.energy,
    "pnorm_none": partial(scores.max_logit_pnorm, p=3, centring="none"),
    "pnorm_min": partial(scores.max_logit_pnorm, p=3, centring="min"),
}


def random_logits(num_samples: int = 200, num_classes: int = 12, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_samples, num_classes, generator=generator, dtype=torch.float64) * scale


def ranks(confidence: torch.Tensor) -> np.ndarray:
    return np.argsort(np.argsort(confidence.numpy(), kind="stable"), kind="stable")


# Reference values


@pytest.mark.parametrize("name", NATURAL)
def test_natural_value_equals_released_code(name: str) -> None:
    expected = torch.tensor(RELEASED["scores"][name], dtype=torch.float64)

    actual = NATURAL[name](LOGITS[: len(expected)])

    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("MSP", scores.msp),
        ("negative_entropy", scores.negative_entropy),
        ("margin_softmax", scores.softmax_margin),
        ("negative_gini", scores.negative_gini),
        ("negative_gini", scores.doctor),
        ("MSP", partial(scores.doctor, variant="beta")),
        ("J", scores.j_score),
        ("BK_a0.9_b0.5", partial(scores.bk, alpha=0.9, beta=0.5)),
        ("ETS_T1.5_w0.3_0.7", partial(scores.ets, temperature=1.5, weight=0.3)),
        ("MSP_T0.5", partial(scores.msp_temperature, temperature=0.5)),
        ("MSP_pTS_p3_T0.1", partial(scores.msp_pnorm, p=3, temperature=0.1)),
        ("MaxLogit_pNorm_p4", partial(scores.max_logit_pnorm, p=4)),
    ],
)
def test_log_scale_has_aurc_of_released_code(name: str, score: scores.Score) -> None:
    assert aurc(score(LOGITS).numpy(), ERRORS, convention="paper") == pytest.approx(RELEASED["aurc"][name], abs=1e-12)


@pytest.mark.parametrize(("centring", "released"), [("mean", "mean"), ("min", "min"), ("none", "uncentred")])
@pytest.mark.parametrize("p", [1, 3, 8])
def test_pnorm_equals_released_normalisation(centring: str, released: str, p: int) -> None:
    search = json.loads(
        (Path(__file__).parents[1] / "reference_values" / "scores" / "released_search.json").read_text()
    )
    expected = torch.tensor(search["normalised"][released][str(p)], dtype=torch.float64)

    actual = scores.max_logit_pnorm(torch.tensor(search["logits"])[: len(expected)], p=p, centring=centring)

    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_natural_values_equal_scipy() -> None:
    logits = random_logits().numpy()
    probs = softmax(logits, axis=1)
    collision = (probs**2).sum(axis=1)
    top = np.sort(probs, axis=1)[:, ::-1]

    np.testing.assert_allclose(scores.msp(logits, scale="natural"), top[:, 0], rtol=1e-12)
    np.testing.assert_allclose(scores.energy(logits), logsumexp(logits, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        scores.negative_entropy(logits, scale="natural"), (probs * log_softmax(logits, axis=1)).sum(axis=1), rtol=1e-11
    )
    np.testing.assert_allclose(scores.doctor(logits, scale="natural"), -(1 - collision) / collision, rtol=1e-10)
    np.testing.assert_allclose(
        scores.doctor(logits, variant="beta", scale="natural"), -(1 - top[:, 0]) / top[:, 0], rtol=1e-10
    )
    np.testing.assert_allclose(
        scores.lda(logits, scale="natural"), (top[:, 0] - 1 / 12) ** 2 / top[:, 1:].var(axis=1, ddof=1), rtol=1e-9
    )
    np.testing.assert_allclose(
        scores.gen(logits, gamma=0.3, top=4, scale="natural"),
        -((top * (1 - top)) ** 0.3)[:, :4].sum(axis=1),
        rtol=1e-10,
    )
    np.testing.assert_allclose(scores.gen(logits, scale="natural"), -((top * (1 - top)) ** 0.1).sum(axis=1), rtol=1e-10)


def test_pnorm_of_hand_computed_row() -> None:
    row = torch.tensor([[5.0, 2.0, 0.0, 1.0]])  # centred by the mean: 3, 0, -2, -1

    assert scores.max_logit_pnorm(row, p=0).item() == 1.0  # three non-zeros
    assert scores.max_logit_pnorm(row, p=1).item() == pytest.approx(0.5)
    assert scores.max_logit_pnorm(row, p=2).item() == pytest.approx(3 / 14**0.5, rel=1e-7)
    assert scores.max_logit_pnorm(row, p=INF).item() == 1.0
    assert scores.max_logit_pnorm(row, p=1, centring="min").item() == pytest.approx(5 / 8)
    assert scores.max_logit_pnorm(-row, p=INF).item() == pytest.approx(2 / 3)


def test_top_pnorm_logits_start_with_the_pnorm_score_and_descend() -> None:
    logits = random_logits()
    norm = (logits - logits.mean(dim=1, keepdim=True)).norm(4, dim=1, keepdim=True)
    expected = ((logits - logits.mean(dim=1, keepdim=True)) / norm).topk(3, dim=1).values

    actual = scores.top_pnorm_logits(logits, p=4)

    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(actual[:, 0], scores.max_logit_pnorm(logits, p=4))


# Limits and relations


def test_temperature_one_is_msp() -> None:
    assert torch.equal(scores.msp_temperature(LOGITS, temperature=1.0), scores.msp(LOGITS))


def test_small_temperature_ranks_by_margin() -> None:
    assert (ranks(scores.msp_temperature(LOGITS, temperature=1e-4)) == ranks(scores.logit_margin(LOGITS))).all()


def test_large_temperature_ranks_by_centred_maximum() -> None:
    actual = ranks(scores.msp_temperature(LOGITS, temperature=1e5))

    assert np.corrcoef(actual, ranks(scores.max_logit_pnorm(LOGITS, p=0)))[0, 1] > 1 - 1e-9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scores.negative_gini, scores.doctor),
        (scores.msp, partial(scores.doctor, variant="beta")),
        (partial(scores.softmax_k, k=2), scores.logit_margin),
        (partial(scores.softmax_k, k=10), scores.msp),
        (partial(scores.bk, alpha=2, beta=0), scores.msp),
        (partial(scores.bk, alpha=2, beta=2), scores.softmax_margin),
        (partial(scores.ets, temperature=3, weight=0), scores.msp),
    ],
)
def test_equivalent_scores_rank_alike(one: scores.Score, other: scores.Score) -> None:
    assert (ranks(one(LOGITS)) == ranks(other(LOGITS))).all()


@pytest.mark.parametrize("name", SCALED)
def test_log_scale_increases_with_natural_scale(name: str) -> None:
    logits = random_logits(scale=1.0)

    order = np.argsort(SCALED[name](logits, scale="log").numpy())

    assert (np.diff(SCALED[name](logits, scale="natural").numpy()[order]) > 0).all()


def test_fewer_nonzero_logits_is_what_p_zero_counts() -> None:
    row = torch.tensor([[3.0, 0.0, 0.0, -3.0]])

    assert scores.max_logit_pnorm(row, p=0).item() == 1.5


# Saturation


@pytest.mark.parametrize("name", sorted(set(SCALED) - {"lda"}))
@pytest.mark.parametrize("factor", [12, 1000])
def test_confident_float32_samples_do_not_tie(name: str, factor: float) -> None:
    logits = (LOGITS * factor).float()

    assert len(torch.unique(SCALED[name](logits))) == len(logits)


def test_float32_msp_saturates_without_the_log_domain() -> None:
    saturated = (LOGITS * 12).float().softmax(dim=1).amax(dim=1)

    assert (saturated == 1).float().mean() > 0.5
    assert aurc(scores.msp((LOGITS * 12).float()).numpy(), ERRORS, convention="paper") == pytest.approx(
        0.04926, abs=1e-4
    )


@pytest.mark.parametrize("name", ALL)
def test_float32_differs_from_float64_by_rounding_only(name: str) -> None:
    logits = random_logits(num_classes=100).float()

    torch.testing.assert_close(ALL[name](logits), ALL[name](logits.double()), rtol=3e-6, atol=3e-6)


# Invariances


@given(shift=st.floats(-1e3, 1e3), name=st.sampled_from(sorted(SHIFT_FREE)))
@settings(max_examples=60)
def test_shifting_a_row_changes_nothing(shift: float, name: str) -> None:
    torch.testing.assert_close(SHIFT_FREE[name](LOGITS + shift), SHIFT_FREE[name](LOGITS), rtol=1e-8, atol=1e-9)


@given(log_factor=st.floats(-60, 60), name=st.sampled_from(sorted(PNORMS)))
@settings(max_examples=40)
def test_scaling_changes_no_pnorm(log_factor: float, name: str) -> None:
    torch.testing.assert_close(PNORMS[name](LOGITS * 2.718**log_factor), PNORMS[name](LOGITS), rtol=1e-10, atol=0)


@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(ALL)))
@settings(max_examples=60)
def test_order_of_classes_and_samples_does_not_matter(seed: int, name: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    classes, samples = torch.randperm(10, generator=generator), torch.randperm(200, generator=generator)

    actual = ALL[name](LOGITS[samples][:, classes])

    torch.testing.assert_close(actual, ALL[name](LOGITS)[samples], rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(ALL)), num_classes=st.integers(3, 30))
@settings(max_examples=60)
def test_confidence_is_finite_for_any_finite_logits(seed: int, name: str, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(7, num_classes)) * 10.0 ** rng.uniform(-30, 30, size=(7, 1))

    assert np.isfinite(ALL[name](logits)).all()


@pytest.mark.parametrize("p", [1, 5, 10, 64, 100.5, INF])
@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_pnorm_neither_overflows_nor_vanishes(p: float, magnitude: float) -> None:
    logits = random_logits().float() * magnitude

    torch.testing.assert_close(
        scores.max_logit_pnorm(logits, p=p), scores.max_logit_pnorm(logits.double() / magnitude, p=p), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_confidence_is_finite_up_to_where_the_spread_overflows(name: str, dtype: torch.dtype) -> None:
    logits = random_logits(scale=1.0)
    logits *= torch.finfo(dtype).max / 2.001 / logits.abs().amax()

    assert torch.isfinite(ALL[name](logits.to(dtype))).all()


def test_row_that_spans_more_than_its_type_is_named() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [3e38, -3e38, 1e38]])

    with pytest.raises(ValueError, match="row 1 spans more than torch.float32 can hold"):
        scores.max_logit_pnorm(logits, p=3)


def test_order_by_hts_follows_the_scale_of_the_logits() -> None:
    one, ten = (scores.hts(LOGITS * factor, weight=-0.2, bias=0.3) for factor in (1, 10))

    assert (ranks(one) != ranks(ten)).any()


# Constant rows and small K


@pytest.mark.parametrize("name", sorted(set(ALL) - {"max_logit", "energy", "pnorm_none", "pnorm_min"}))
def test_constant_row_gets_the_lowest_confidence(name: str) -> None:
    confidence = ALL[name](torch.cat((torch.full((1, 12), 7.3), random_logits().float())))

    assert (confidence[0] < confidence[1:]).all()


@pytest.mark.parametrize(("centring", "lowest"), [("mean", 0.0), ("min", 0.0), ("none", -1.0)])
def test_constant_row_has_the_lowest_pnorm_whatever_the_centring(centring: str, lowest: float) -> None:
    rows = torch.tensor([[0.0, 0.0, 0.0], [7.3, 7.3, 7.3]])

    assert scores.max_logit_pnorm(rows, p=3, centring=centring).tolist() == [lowest, lowest]


@pytest.mark.parametrize("score", [scores.max_logit_pnorm, scores.msp_pnorm, scores.top_pnorm_logits])
@pytest.mark.parametrize("centring", ["mean", "min"])
def test_two_centred_classes_are_refused_with_the_reason(score: scores.Score, centring: str) -> None:
    with pytest.raises(ValueError, match=r"same normalised maximum in every row.*K = 2"):
        score(LOGITS[:, :2], p=2, centring=centring, **({"k": 1} if score is scores.top_pnorm_logits else {}))


def test_two_classes_have_a_pnorm_without_centring() -> None:
    assert scores.max_logit_pnorm(torch.tensor([[3.0, 4.0]]), p=2, centring="none").item() == pytest.approx(0.8)


def test_two_classes_have_no_lda() -> None:
    with pytest.raises(ValueError, match="K = 2"):
        scores.lda(LOGITS[:, :2])


@pytest.mark.parametrize("name", ALL)
def test_one_class_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="K = 1"):
        ALL[name](LOGITS[:, :1])


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="N = 0"):
        scores.msp(LOGITS[:0])


# Bad and odd input


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [float("nan"), INF])
def test_row_that_is_not_a_number_is_named(name: str, bad: float) -> None:
    logits = LOGITS.clone()
    logits[137, 4] = bad

    with pytest.raises(ValueError, match="row 137 "):
        ALL[name](logits)


@pytest.mark.parametrize("name", ALL)
def test_masked_class_counts_as_absent(name: str) -> None:
    masked = torch.cat((LOGITS, torch.full((len(LOGITS), 1), -INF)), dim=1)
    if name in ("lda", "j_score", "hts"):
        pytest.skip("depends on K, which a masked class does not change")

    torch.testing.assert_close(ALL[name](masked), ALL[name](LOGITS), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_masked_classes_leave_confidence_finite(name: str) -> None:
    logits = LOGITS.float()
    logits[::3, :4] = -INF

    assert torch.isfinite(ALL[name](logits)).all()


@pytest.mark.parametrize("score", [scores.msp, partial(scores.max_logit_pnorm, p=2), scores.energy])
def test_row_with_one_class_left_is_refused(score: scores.Score) -> None:
    logits = LOGITS.clone()
    logits[5, 1:] = -INF

    with pytest.raises(ValueError, match="row 5 has only one class"):
        score(logits)


@pytest.mark.parametrize("name", ALL)
def test_half_precision_is_scored_as_float32(name: str) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        half = LOGITS.to(dtype)

        assert torch.equal(ALL[name](half), ALL[name](half.float()))


@pytest.mark.parametrize("name", ALL)
def test_memory_layout_does_not_matter_and_input_is_kept(name: str) -> None:
    transposed = LOGITS.T.contiguous().T
    strided = torch.zeros(400, 20, dtype=torch.float64)[::2, ::2]
    strided[:] = LOGITS
    before = strided.clone()
    expected = ALL[name](LOGITS)

    assert torch.equal(ALL[name](transposed), expected)
    assert torch.equal(ALL[name](strided), expected)
    assert torch.equal(strided, before)


@pytest.mark.parametrize("name", ALL)
def test_array_in_gives_the_same_array_out(name: str) -> None:
    actual = ALL[name](LOGITS.numpy())

    assert isinstance(actual, np.ndarray)
    assert (actual == ALL[name](LOGITS).numpy()).all()


def test_read_only_array_and_gradient_tensor_are_accepted() -> None:
    frozen = LOGITS.numpy().copy()
    frozen.flags.writeable = False

    assert (scores.msp(frozen) == scores.msp(LOGITS.clone().requires_grad_()).numpy()).all()


def test_frame_is_scored_as_its_array() -> None:
    frame = pd.DataFrame(LOGITS.numpy(), columns=list("abcdefghij"))

    assert (scores.msp(frame) == scores.msp(LOGITS.numpy())).all()
    assert (scores.score_all(frame)["gen"] == scores.gen(frame)).all()


@pytest.mark.parametrize("rows", [LOGITS.softmax(dim=1), LOGITS.softmax(dim=1).numpy()])
def test_softmax_outputs_are_refused_by_every_score(rows: torch.Tensor) -> None:
    for score in (*ALL.values(), scores.fit_score("max_logit_pnorm"), lambda rows: scores.score_all([rows])):
        with pytest.raises(ValueError, match="sums to one, as softmax outputs and predict_proba do"):
            score(rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.msp(LOGITS[0]), r"shape \(N, K\)"),
        (lambda: scores.msp(LOGITS.long()), "floating point"),
        (lambda: scores.msp(None), "logits must be a tensor or an array .*, got NoneType"),
        (lambda: scores.msp(pd.DataFrame({"a": [0.5], "id": ["x"]})), "got dtype object of DataFrame, column 'id'"),
        (lambda: scores.msp(LOGITS, scale="linear"), "scale must be"),
        (lambda: scores.msp_temperature(LOGITS, temperature=0.0), "temperature must be positive"),
        (lambda: scores.max_logit_pnorm(LOGITS, p=-1), "p must be at least 0"),
        (lambda: scores.max_logit_pnorm(LOGITS, p=float("nan")), "p must be at least 0"),
        (lambda: scores.max_logit_pnorm(LOGITS, p=0, centring="none"), "use max_logit"),
        (lambda: scores.max_logit_pnorm(LOGITS, p=2, centring="median"), "centring must be"),
        (lambda: scores.doctor(LOGITS, variant="gamma"), "variant must be"),
        (lambda: scores.gen(LOGITS, gamma=0), "gamma must be"),
        (lambda: scores.gen(LOGITS, top=1), "top must be"),
        (lambda: scores.softmax_k(LOGITS, k=1), "k must be"),
        (lambda: scores.bk(LOGITS, alpha=0), "alpha must be positive"),
        (lambda: scores.bk(LOGITS, alpha=1, beta=-1), "beta must be above"),
        (lambda: scores.ets(LOGITS, temperature=1, weight=2), "weight must be"),
        (lambda: scores.hts(LOGITS, weight=0.1, bias=0.0), "row 173 gets a temperature that is not positive"),
    ],
)
def test_bad_argument_is_refused_with_its_name(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
def test_gpu_gives_what_the_cpu_gives(device: str) -> None:
    logits = random_logits(num_classes=100).float()

    for name, score in ALL.items():
        actual = score(logits.to(device))

        assert actual.device.type == torch.device(device).type, name
        torch.testing.assert_close(actual.cpu(), score(logits), rtol=1e-5, atol=1e-5)


def test_a_score_of_logits_shows_their_name_and_its_parameters():
    assert [*signature(scores.msp_pnorm).parameters] == ["logits", "p", "temperature", "centring", "scale"]
    assert (scores.msp(logits=LOGITS) == scores.msp(LOGITS)).all()


@pytest.mark.parametrize("score", [partial(scores.max_logit_pnorm, p=3), scores.lda, partial(scores.softmax_k, k=2)])
def test_a_score_with_checks_takes_frames_too(score):
    assert (score(pd.DataFrame(LOGITS.numpy())) == score(LOGITS.numpy())).all()


def test_a_parameter_out_of_range_is_refused_before_the_logits_are_read():
    with pytest.raises(ValueError, match="k must be a whole number of at least 2 classes, got 1"):
        scores.softmax_k("no logits", k=1)


@pytest.mark.parametrize("kind", [torch.tensor, lambda value: torch.nn.Parameter(torch.tensor([value])), np.float64])
def test_temperature_may_be_a_learned_tensor(kind) -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [3.0, 2.5, 0.0]])

    assert torch.equal(
        scores.msp_temperature(logits, temperature=kind(1.5)), scores.msp_temperature(logits, temperature=1.5)
    )
