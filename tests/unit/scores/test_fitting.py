"""Fitting on validation data: optimality, scale, fallbacks and the JSON form."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize_scalar

from unsmooth import scores
from unsmooth.metrics import aurc
from unsmooth.scores import DEFAULT_PS, SCORES, FittedScore, fit_score
from unsmooth.scores.fitting import Validation

DATA = Path(__file__).parents[1] / "reference_values" / "scores"
RELEASED = json.loads((DATA / "released_scores.json").read_text())
LOGITS = torch.tensor(RELEASED["logits"], dtype=torch.float64)
TARGETS = torch.tensor(RELEASED["targets"])
ERRORS = (LOGITS.argmax(dim=1) != TARGETS).numpy()
FITTED = [name for name, entry in SCORES.items() if entry.fitted]


@cache
def unforced_fit(name: str) -> FittedScore:
    """Fit that keeps its score even if MSP is better."""
    return fit_score(name, LOGITS, TARGETS, fallback=False)


def smoothed_logits(num_samples: int = 2000, num_classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose errors have small norm and as large a margin: what label smoothing leaves, and p-norm repairs."""
    generator = torch.Generator().manual_seed(7)
    targets = torch.randint(num_classes, (num_samples,), generator=generator)
    logits = torch.randn(num_samples, num_classes, generator=generator)
    logits[torch.arange(num_samples), targets] += 2.5
    norm = (logits - logits.mean(dim=1, keepdim=True)).norm(4, dim=1)
    confidence = (logits.amax(dim=1) - logits.mean(dim=1)) / norm
    return logits * torch.exp(-6 * confidence)[:, None] * 30, targets


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("msp_temperature", {"temperature": RELEASED["search"]["T_AURC_MSP"]}),
        ("max_logit_pnorm", {"p": RELEASED["search"]["p_AURC_nofallback"]}),
        ("bk", dict(zip(("alpha", "beta"), RELEASED["search"]["BK_opt"], strict=True))),
        ("ets", dict(zip(("temperature", "weight"), RELEASED["search"]["ETS_opt"][:2], strict=True))),
        ("hts", dict(zip(("weight", "bias"), RELEASED["search"]["HTS_opt"], strict=True))),
        ("msp_pnorm", dict(zip(("p", "temperature"), RELEASED["search"]["p_and_T_MSP"], strict=True))),
    ],
)
def test_fit_is_at_least_as_good_as_the_released_grid(name: str, params: dict[str, float]) -> None:
    released = aurc(SCORES[name].function(LOGITS, **params).numpy(), ERRORS)

    fitted = unforced_fit(name)

    assert fitted.objective_value <= released + 1e-12


def test_released_p_search_is_reproduced() -> None:
    search = json.loads((DATA / "released_search.json").read_text())
    logits, targets = torch.tensor(search["logits"]), torch.tensor(search["targets"])
    errors = (logits.argmax(dim=1) != targets).numpy()

    fitted = fit_score("max_logit_pnorm", logits, targets, ps=range(1, 11), fallback=False)

    assert fitted.params["p"] == search["search"]["best_p"]
    for p, released in zip(range(1, 11), search["search"]["aurcs"], strict=True):
        ours = aurc(scores.max_logit_pnorm(logits, p=p).numpy(), errors, convention="paper")
        assert ours == pytest.approx(released, abs=1e-6)


def test_p_is_the_best_of_all() -> None:
    logits, targets = smoothed_logits()
    errors = (logits.argmax(dim=1) != targets).numpy()
    values = [aurc(scores.max_logit_pnorm(logits, p=p).numpy(), errors) for p in DEFAULT_PS]

    fitted = fit_score("max_logit_pnorm", logits, targets)

    assert fitted.params == {"p": DEFAULT_PS[int(np.argmin(values))], "centring": "mean"}
    assert fitted.objective_value == pytest.approx(min(values), abs=1e-15)
    assert not fitted.fell_back


@pytest.mark.parametrize("ps", [[7, 2, 5], [5, 7, 2]])
def test_first_of_equally_good_ps_wins(ps: list[int]) -> None:
    logits, targets = torch.tensor([[4.0, 0.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])

    assert fit_score("max_logit_pnorm", logits, targets, ps=ps, fallback=False).params["p"] == ps[0]


def test_likelihood_temperature_is_the_minimum() -> None:
    def nll(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(LOGITS / math.exp(log_temperature), TARGETS))

    expected = math.exp(minimize_scalar(nll, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x)

    fitted = fit_score("msp_temperature", LOGITS, TARGETS, objective="nll")

    assert fitted.params["temperature"] == pytest.approx(expected, rel=1e-6)
    assert fitted.params["temperature"] == pytest.approx(RELEASED["search"]["T_NLL"], abs=0.01)
    assert fitted.objective_value == pytest.approx(nll(math.log(expected)), abs=1e-12)
    assert fitted.baseline_value == pytest.approx(nll(0.0), abs=1e-12)


@pytest.mark.parametrize("objective", ["nll", "aurc"])
@pytest.mark.parametrize("factor", [1e-6, 10, 1e6])
def test_temperature_follows_the_scale_of_the_logits(objective: str, factor: float) -> None:
    plain = fit_score("msp_temperature", LOGITS, TARGETS, objective=objective)

    scaled = fit_score("msp_temperature", LOGITS * factor, TARGETS, objective=objective)

    assert scaled.params["temperature"] == pytest.approx(plain.params["temperature"] * factor, rel=1e-6)
    assert plain.params["temperature"] * 10 > 1.99  # what the released grid cannot reach


@pytest.mark.parametrize("name", FITTED)
def test_fitting_twice_gives_the_same(name: str) -> None:
    assert fit_score(name, LOGITS.numpy(), TARGETS.numpy(), fallback=False) == unforced_fit(name)


@pytest.mark.parametrize("name", FITTED)
def test_objective_value_is_that_of_the_fitted_score(name: str) -> None:
    fitted = unforced_fit(name)

    assert aurc(fitted(LOGITS).numpy(), ERRORS) == pytest.approx(fitted.objective_value, abs=1e-12)
    assert fitted.baseline_value == pytest.approx(aurc(scores.msp(LOGITS).numpy(), ERRORS))
    assert fitted.num_samples == 200


@pytest.mark.parametrize("name", FITTED)
def test_json_round_trip_is_exact(name: str) -> None:
    fitted = unforced_fit(name)
    again = FittedScore.from_json(fitted.to_json())

    assert again == fitted
    assert torch.equal(again(LOGITS), fitted(LOGITS))


def test_json_keeps_an_infinite_p() -> None:
    fitted = FittedScore("max_logit_pnorm", {"p": math.inf, "centring": "mean"})

    assert FittedScore.from_json(fitted.to_json()) == fitted
    json.loads(fitted.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": "msp"}', '{"name": "other", "params": {}}', '{"params": {}, "x": 1}']
)
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a fitted score|unknown score"):
        FittedScore.from_json(text)


def test_worse_than_msp_falls_back_and_says_so() -> None:
    fitted = fit_score("max_logit_pnorm", LOGITS, TARGETS)

    assert fitted.fell_back
    assert "not below" in fitted.reason
    assert fitted.params["p"] == 3  # what lost
    assert torch.equal(fitted(LOGITS), scores.msp(LOGITS))
    assert not fit_score("max_logit_pnorm", LOGITS, TARGETS, fallback=False).fell_back


@pytest.mark.parametrize("name", ["max_logit_pnorm", "msp_pnorm"])
def test_two_classes_fall_back_with_the_reason(name: str) -> None:
    fitted = fit_score(name, LOGITS[:, :2], TARGETS % 2)

    assert fitted.fell_back
    assert "K = 2" in fitted.reason
    assert torch.equal(fitted(LOGITS[:, :2]), scores.msp(LOGITS[:, :2]))


def test_two_classes_are_fitted_without_centring() -> None:
    fitted = fit_score("max_logit_pnorm", LOGITS[:, :2], TARGETS % 2, centring="none", fallback=False)

    assert fitted.params["centring"] == "none"


def test_likelihood_without_optimum_falls_back_with_the_reason() -> None:
    separable = fit_score("msp_temperature", LOGITS, LOGITS.argmax(dim=1), objective="nll")
    hopeless = fit_score("msp_temperature", LOGITS, LOGITS.argmin(dim=1), objective="nll")

    assert separable.fell_back and "T -> 0" in separable.reason
    assert hopeless.fell_back and "T -> inf" in hopeless.reason


@pytest.mark.parametrize("name", FITTED)
def test_constant_logits_fall_back(name: str) -> None:
    assert fit_score(name, torch.ones(20, 4), torch.zeros(20, dtype=torch.int64) + 1).fell_back


def test_all_correct_falls_back_because_nothing_can_be_better() -> None:
    assert fit_score("max_logit_pnorm", LOGITS, LOGITS.argmax(dim=1)).fell_back


def test_score_without_parameters_reports_its_value_and_never_falls_back() -> None:
    fitted = fit_score("energy", LOGITS, TARGETS)

    assert fitted.objective_value == pytest.approx(aurc(scores.energy(LOGITS).numpy(), ERRORS))
    assert not fitted.fell_back
    assert torch.equal(fitted(LOGITS), scores.energy(LOGITS))


def test_default_without_data_is_p_of_five() -> None:
    default = fit_score("max_logit_pnorm")

    assert default.params == {"p": 5, "centring": "mean"}
    assert torch.equal(default(LOGITS), scores.max_logit_pnorm(LOGITS, p=5))
    assert fit_score("msp").params == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("msp_temperature",), "has no default for temperature"),
        (("knn", LOGITS, TARGETS), r"knn needs features, training.*NearestNeighbours.fit\(features, k\)"),
        (("sirc",), r"sirc needs features, logits, training.*SIRC.fit\(features\).*score\(logits, features\)"),
        (("p_norm", LOGITS, TARGETS), "unknown score 'p_norm'"),
        (("msp", LOGITS), "given together"),
        (("max_logit_pnorm", LOGITS, TARGETS[:-1]), "targets has 199 rows but the predictions has 200"),
        (("max_logit_pnorm", LOGITS, TARGETS + 8), "targets must be class indices in 0..9, got 12 at row 0"),
        (("max_logit_pnorm", LOGITS, TARGETS + 0.5), "targets must be class indices in 0..9, got 4.5 at row 0"),
    ],
)
def test_bad_call_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_score(*arguments)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float64])
def test_targets_of_any_type_that_holds_class_indices_fit_alike(dtype) -> None:
    assert fit_score("msp_pnorm", LOGITS, TARGETS.to(dtype)) == fit_score("msp_pnorm", LOGITS, TARGETS)


@pytest.mark.parametrize("name", ["max_logit_pnorm", "msp_pnorm"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ps": [2, -1]}, "p must be at least 0, got -1"),
        ({"ps": []}, "ps must name at least one"),
        ({"centring": "median"}, "centring must be"),
    ],
)
def test_bad_search_is_refused(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_score(name, LOGITS, TARGETS, **arguments)


@pytest.mark.parametrize("name", ["max_logit_pnorm", "msp_temperature"])
@pytest.mark.parametrize("factor", [2.0**-90, 2.0**90])
def test_scale_of_float32_logits_changes_no_objective(name: str, factor: float) -> None:
    plain = fit_score(name, LOGITS.float(), TARGETS, fallback=False)

    scaled = fit_score(name, LOGITS.float() * factor, TARGETS, fallback=False)

    assert scaled.objective_value == pytest.approx(plain.objective_value, abs=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_ets_of_huge_logits_is_finite(weight: float) -> None:
    for temperature in (1e-30, 1.0, 1e30):
        fitted = FittedScore("ets", {"temperature": temperature, "weight": weight})

        assert torch.isfinite(fitted(LOGITS.float() * 1e25)).all()


def test_only_temperature_has_a_likelihood() -> None:
    with pytest.raises(ValueError, match="objective of max_logit_pnorm must be 'aurc'"):
        fit_score("max_logit_pnorm", LOGITS, TARGETS, objective="nll")


def test_target_of_a_masked_class_is_refused() -> None:
    logits = LOGITS.clone()
    logits[3, TARGETS[3]] = -math.inf

    with pytest.raises(ValueError, match="targets: row 3 is of a masked class"):
        fit_score("msp_temperature", logits, TARGETS, objective="nll")


def test_masked_likelihood_without_optimum_falls_back_with_the_reason() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, -math.inf]]).repeat(4, 1)
    fitted = fit_score("msp_temperature", logits, torch.tensor([2, 2, 2, 0]), objective="nll")

    assert fitted.fell_back and "T -> inf" in (fitted.reason or "")


def test_columns_in_groups_give_the_same_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_score("bk", LOGITS, TARGETS)
    monkeypatch.setattr("unsmooth.scores.fitting._CELLS", 7 * len(LOGITS))

    assert fit_score("bk", LOGITS, TARGETS) == whole


def test_masked_classes_are_fitted_like_absent_ones() -> None:
    masked = torch.cat((LOGITS, torch.full((200, 1), -math.inf)), dim=1)

    for objective in ("nll", "aurc"):
        plain = fit_score("msp_temperature", LOGITS, TARGETS, objective=objective)
        again = fit_score("msp_temperature", masked, TARGETS, objective=objective)
        assert again.params["temperature"] == pytest.approx(plain.params["temperature"], rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_aurc_of_a_search_is_that_of_the_metric(ties):
    generator = np.random.default_rng(0)
    confidence = generator.normal(size=500)
    confidence = confidence.round(1) if ties else confidence
    rows = Validation.of(generator.normal(size=(500, 3)), generator.integers(0, 3, 500))

    assert rows.aurc(confidence) == pytest.approx(aurc(confidence, rows.errors), rel=1e-13)


def test_frames_and_lists_are_fitted_as_arrays_are():
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(100, 4)), generator.integers(0, 4, 100)
    kinds = (np.asarray, pd.DataFrame, np.ndarray.tolist)
    fitted = [fit_score("max_logit_pnorm", kind(logits), targets) for kind in kinds]

    assert fitted[0] == fitted[1] == fitted[2]


def test_sigmoid_outputs_are_refused():
    outputs = np.random.default_rng(0).random((100, 4))

    with pytest.raises(ValueError, match="sigmoid outputs"):
        fit_score("max_logit_pnorm", outputs, np.zeros(100, int))


def test_what_is_neither_tensor_nor_array_is_named():
    with pytest.raises(ValueError, match=r"logits must be a tensor or an array .* got list"):
        scores.msp([[1.0, 2.0]])
