import inspect
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax

from unsmooth.classifier import SelectiveClassifier
from unsmooth.diagnosis.diagnose import diagnose, label_of
from unsmooth.diagnosis.exchangeability import check_exchangeability
from unsmooth.diagnosis.parts import Parts
from unsmooth.diagnosis.recommendation import recommend
from unsmooth.diagnosis.signature import smoothing_signature
from unsmooth.logits.probabilities import check_probabilities
from unsmooth.metrics import holm
from unsmooth.scores import NLL_TEMPERATURE, FittedScore, available_scores, fit_score, max_logit_pnorm, msp

FEW = ["max_logit_pnorm", "logit_margin"]


def cross_entropy_like(count, classes=10, seed=0):
    """Logits whose softmax is the true posterior, so that errors depend on nothing else."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes)) * generator.uniform(0.5, 4, (count, 1))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True)) * generator.uniform(0, 1, (count, 1))
    targets = (np.log(-np.log(generator.uniform(size=(count, classes)))) * -1 + logits).argmax(axis=1)
    return logits, targets


def smoothed_like(count, classes=10, seed=0):
    """Soft logits whose wrong predictions keep a larger maximum logit, over two classes that stand out together."""
    logits, targets = cross_entropy_like(count, classes, seed)
    wrong = logits.argmax(axis=1) != targets
    logits = 0.4 * (logits - logits.mean(axis=1, keepdims=True))
    others = logits < np.sort(logits, axis=1)[:, -2:-1]
    return logits - 0.8 * (others & wrong[:, None]), targets


@pytest.fixture(scope="module")
def diagnosis():
    logits, targets = smoothed_like(6000)
    return diagnose(logits, targets, scores=[*FEW, "msp_temperature", NLL_TEMPERATURE], replicates=200)


def signature_of(logits, targets):
    half = len(logits) // 2
    fitted = fit_score("msp_temperature", logits[:half], targets[:half], objective="nll", fallback=False)
    return smoothing_signature(logits[half:], targets[half:], temperature=fitted.params.get("temperature"))


@pytest.mark.slow
def test_posterior_logits_show_no_sign_of_smoothing():
    found = [signature_of(*cross_entropy_like(3000, seed=seed)) for seed in range(40)]

    assert sum(signature.verdict == "smoothed" for signature in found) <= 1
    assert sum(signature.max_logit_shift.low > 0 for signature in found) <= 4
    assert sum(signature.max_logit_shift.low <= 0 <= signature.max_logit_shift.high for signature in found) >= 34


def test_suppressed_maximum_is_recognised_as_smoothing():
    for seed in range(5):
        signature = signature_of(*smoothed_like(4000, seed=seed))

        assert signature.verdict == "smoothed"
        assert signature.calibration_gap.high < 0


def test_a_mere_temperature_is_not_called_smoothing():
    found = []
    for seed in range(20):
        logits, targets = cross_entropy_like(4000, seed=seed)
        found.append(signature_of(logits / 2, targets))

    assert sum(signature.verdict == "smoothed" for signature in found) <= 2
    assert all(signature.calibration_gap.high < 0 for signature in found)


def test_signature_ignores_what_softmax_forgets():
    logits, targets = smoothed_like(1000)
    shifted = logits + np.random.default_rng(1).normal(size=(1000, 1))

    assert signature_of(shifted, targets).max_logit_shift.point == pytest.approx(
        signature_of(logits, targets).max_logit_shift.point, abs=1e-6
    )


def test_two_classes_leave_the_signature_unclear():
    logits, targets = cross_entropy_like(500, classes=2)

    assert "two classes" in signature_of(logits, targets).reason


def test_parts_of_the_data_never_overlap_and_add_up(diagnosis):
    assert diagnosis.rows == {"fit": 1500, "certify": 1500, "test": 3000}


def test_smoothed_logits_are_diagnosed_and_repaired(diagnosis):
    assert diagnosis.signature.verdict == "smoothed"
    assert diagnosis.repaired
    assert diagnosis.result(diagnosis.recommended.name).change.high < 0


def test_findings_quote_the_numbers(diagnosis):
    text = " ".join(diagnosis.findings())

    assert f"{100 * diagnosis.error.point:.1f} %" in text
    assert f"{100 * diagnosis.repaired_aurc.point:.2f} %" in text
    assert label_of(diagnosis.recommended) in text


def test_holm_never_lowers_a_p_value(diagnosis):
    for result in diagnosis.scores:
        assert result.adjusted_p >= min(result.change.p_value, 1)


def test_recommended_score_is_judged_by_its_own_p_value(diagnosis):
    name = diagnosis.recommended.name

    def verdict(p, adjusted):
        scores = [
            replace(result, change=replace(result.change, p_value=p), adjusted_p=adjusted)
            if result.score == name
            else result
            for result in diagnosis.scores
        ]
        return " ".join(replace(diagnosis, scores=tuple(scores)).findings())

    assert "p 0.04): more than chance" in verdict(0.04, 0.7)
    assert "p 0.06): not clear of chance" in verdict(0.06, 0.06)


def test_resamples_too_few_for_any_claim_are_named(diagnosis):
    few, enough = (" ".join(replace(diagnosis, replicates=count).findings()) for count in (158, 159))

    assert "4 comparisons need at least 159 bootstrap resamples, and there are 158" in few
    assert "comparisons need" not in enough
    two = tuple(entry for entry in diagnosis.scores if entry.score in ("msp", diagnosis.recommended.name))
    one = replace(diagnosis, replicates=20, scores=two)
    assert "1 comparison needs at least 39 bootstrap resamples" in " ".join(one.findings())
    assert holm([2 / 160] * 4)[0] <= 0.05 < holm([2 / 159] * 4)[0]


def test_default_resamples_allow_a_claim_about_every_score():
    default = inspect.signature(diagnose).parameters["replicates"].default

    assert default >= 40 * len(available_scores()) - 1


def test_only_differences_carry_a_p_value(diagnosis):
    content = diagnosis.to_dict()
    values = [content["error"], content["aurc"], content["repaired_aurc"], content["signature"]["max_logit_shift"]]
    values += [content[point]["coverage"] for point in ("before", "after")]

    assert all(value.keys() == {"point", "low", "high"} for value in values)
    assert all("p_value" in value for value in (content["coverage_gain"], *(s["change"] for s in content["scores"])))


def test_diagnosis_is_json_without_nan(diagnosis):
    content = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))

    assert content["recommended"]["name"] == diagnosis.recommended.name
    assert {entry["score"] for entry in content["scores"]} == {"msp", *FEW, "msp_temperature", NLL_TEMPERATURE}


def test_classifier_holds_the_recommended_score_and_threshold(diagnosis):
    assert diagnosis.classifier.score_name == diagnosis.recommended.name
    assert diagnosis.classifier.threshold_ == diagnosis.after.certificate.threshold


def test_classifier_of_a_diagnosis_is_the_one_fitted_on_the_certify_rows():
    logits, targets = cross_entropy_like(2000)
    classifier = diagnose(logits, targets, scores=FEW, replicates=20, target_risk=0.3).classifier
    certify = Parts.of(logits, targets, None, None, seed=0).certify
    fitted = SelectiveClassifier(score_name=classifier.score_name, params=classifier.params, max_risk=0.3)
    fitted.fit(certify.logits, certify.targets)

    assert classifier.get_params() == fitted.get_params()
    assert classifier.certificate_ == fitted.certificate_
    assert (classifier.predict(logits) == fitted.predict(logits)).all()


def test_tensors_and_lists_are_diagnosed_as_arrays_are():
    logits, targets = cross_entropy_like(200)
    results = [
        diagnose(kind(logits), kind(targets), scores=FEW, replicates=20).to_dict()
        for kind in (np.asarray, np.ndarray.tolist, torch.tensor)
    ]

    assert results[0] == results[1] == results[2]


def test_validation_frame_with_columns_in_another_order_is_refused():
    logits, targets = cross_entropy_like(200)
    frame = pd.DataFrame(logits).add_prefix("class_")

    with pytest.raises(ValueError, match=r"val_logits must have the columns \['class_0', 'class_1'"):
        diagnose(frame[:100], targets[:100], val_logits=frame.iloc[100:, ::-1], val_targets=targets[100:])


def test_column_of_targets_in_the_validation_logits_is_refused():
    logits, targets = cross_entropy_like(200)
    val_logits = np.column_stack([logits[100:, :-1], targets[100:]])

    with pytest.raises(ValueError, match=r"val_logits: column \d+ holds the targets; leave it out"):
        diagnose(logits[:100], targets[:100], val_logits=val_logits, val_targets=targets[100:])


def test_validation_data_that_are_the_test_data_are_refused():
    logits, targets = cross_entropy_like(200)

    with pytest.raises(ValueError, match="100 % of the rows of logits are also in val_logits"):
        diagnose(logits, targets, val_logits=logits[::-1], val_targets=targets[::-1])


def test_same_seed_gives_the_same_diagnosis():
    logits, targets = cross_entropy_like(300)
    first, second = (diagnose(logits, targets, scores=FEW, replicates=20, seed=3).to_dict() for _ in range(2))

    assert first == second


def test_validation_data_leave_every_sample_to_test():
    logits, targets = cross_entropy_like(200)
    held = cross_entropy_like(100, seed=1)
    result = diagnose(logits, targets, val_logits=held[0], val_targets=held[1], scores=FEW, replicates=20)

    assert result.rows == {"fit": 50, "certify": 50, "test": 200}


def test_two_classes_fall_back_to_msp_with_the_reason():
    logits, targets = cross_entropy_like(400, classes=2)
    result = diagnose(logits, targets, scores=FEW, replicates=20)

    assert not result.aurc_by_p
    assert "K = 2" in result.left_out["max_logit_pnorm"]


@pytest.mark.parametrize("count", [4, 5, 9])
def test_tiny_data_are_honestly_infeasible(count):
    logits, targets = cross_entropy_like(count)
    result = diagnose(logits, targets, scores=FEW, replicates=20)

    assert not result.after.certificate.feasible
    assert "infeasible" in result.findings()[-1]


@pytest.mark.parametrize("wrong", [False, True])
def test_all_correct_and_all_wrong_keep_msp(wrong):
    logits, _ = cross_entropy_like(200)
    targets = (logits.argmax(axis=1) + wrong) % 10
    result = diagnose(logits, targets, scores=FEW, replicates=20)

    assert result.recommended.name == "msp"
    assert result.error.point == wrong


def test_predictions_no_better_than_chance_come_before_all_else():
    logits, targets = cross_entropy_like(400)
    result = diagnose(logits, np.random.default_rng(0).permutation(targets), scores="energy", replicates=20)

    assert result.verdict == result.findings()[0]
    assert result.verdict.startswith("Verdict: Error rate ") and "do the targets belong to these rows" in result.verdict
    assert "give every row of logits its own target" in result.next_step
    assert diagnose(logits, targets, scores="energy", replicates=20).no_better_than_chance is None


def test_too_few_samples_and_other_classes_are_refused():
    logits, targets = cross_entropy_like(8)
    with pytest.raises(ValueError, match="at least 4 samples"):
        diagnose(logits[:3], targets[:3])
    with pytest.raises(ValueError, match="at least 2 samples are needed to split them in two, got 0"):
        diagnose(logits, targets, val_logits=logits[:0], val_targets=targets[:0])
    with pytest.raises(ValueError, match=r"val_logits must have shape \(M, 10\), got \(8, 9\)"):
        diagnose(logits, targets, val_logits=logits[:, :9], val_targets=targets % 9)
    with pytest.raises(ValueError, match="scores must be among"):
        diagnose(logits, targets, scores=["nonsense"])


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (np.arange(8) + 3, "targets must be class indices in 0..9, got 10 at row 7"),
        (np.arange(8) - 1, "targets must be class indices in 0..9, got -1 at row 0"),
        (np.arange(8) / 2, "targets must be class indices in 0..9, got 0.5 at row 1"),
        (np.arange(7), "targets has 7 rows but the predictions has 8"),
        (np.zeros((8, 1), int), r"targets must have 1 axis \(N,\), got shape \(8, 1\)"),
    ],
)
def test_targets_that_fit_no_logits_are_refused(targets, reason):
    logits, classes = cross_entropy_like(8)
    with pytest.raises(ValueError, match=f"^{reason}"):
        diagnose(logits, targets)
    with pytest.raises(ValueError, match=f"^val_{reason}"):
        diagnose(logits, classes, val_logits=logits, val_targets=targets)


def test_bad_logits_are_refused_and_not_blamed_on_the_scores():
    logits, targets = cross_entropy_like(100)
    logits[5, 1] = np.nan
    with pytest.raises(ValueError, match=r"logits: row \d+ has a logit that is NaN"):
        diagnose(logits, targets, scores=FEW, replicates=20)


@pytest.mark.parametrize("option", ["target_risk", "delta"])
def test_probabilities_outside_the_unit_interval_are_refused(option):
    with pytest.raises(ValueError, match=rf"{option} must be in \(0, 1\), got 1"):
        diagnose(*cross_entropy_like(100), **{option: 1})


def test_a_sample_of_a_masked_class_leaves_no_likelihood_but_a_diagnosis():
    logits, targets = cross_entropy_like(400)
    logits[np.arange(400), targets] = np.where(np.arange(400) < 20, -np.inf, logits[np.arange(400), targets])
    result = diagnose(logits, targets, scores=[*FEW, NLL_TEMPERATURE], replicates=20)

    assert "masked class" in result.left_out[NLL_TEMPERATURE]
    assert "no temperature that calibrates" in result.signature.reason


def test_signature_refuses_targets_that_fit_no_logits():
    logits, targets = cross_entropy_like(50)
    for wrong in (targets[:, None], targets[1:], targets + 10):
        with pytest.raises(ValueError, match="targets"):
            smoothing_signature(logits, wrong, temperature=1.0)


def test_no_calibrating_temperature_leaves_the_signature_unclear():
    signature = smoothing_signature(*cross_entropy_like(500), temperature=None)

    assert signature.verdict == "unclear"
    assert "no temperature that calibrates" in signature.reason
    assert math.isnan(signature.max_logit_shift.point) and math.isnan(signature.shift_at_msp.point)
    assert math.isfinite(signature.calibration_gap.point)


def test_probabilities_give_the_pnorm_of_the_logits():
    logits, _ = cross_entropy_like(500)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    recovered = check_probabilities(probs.astype(np.float32))

    assert max_logit_pnorm(recovered, p=5) == pytest.approx(max_logit_pnorm(logits, p=5), rel=1e-4)
    assert msp(recovered) == pytest.approx(msp(logits), rel=1e-4)


def test_probabilities_leave_out_what_depends_on_the_mean():
    logits, targets = cross_entropy_like(200)
    result = diagnose(logits, targets, from_probabilities=True, scores=["max_logit", "energy"], replicates=20)

    assert set(result.left_out) == {"max_logit", "energy"}


@pytest.mark.parametrize("part", ["logits", "val_logits"])
def test_log_probabilities_are_recognised_from_their_values(part):
    logits, targets = cross_entropy_like(400)
    parts = {"logits": logits[:200], "val_logits": logits[200:]}
    parts[part] = log_softmax(parts[part], axis=1)
    result = diagnose(
        targets=targets[:200], val_targets=targets[200:], scores=["max_logit", "energy"], replicates=20, **parts
    )

    assert result.from_probabilities
    assert set(result.left_out) == {"max_logit", "energy"}


@pytest.mark.parametrize(
    ("probs", "reason"),
    [
        (np.array([[1.0, 0.0], [0.5, 0.5]]), "probability of zero"),
        (np.array([[0.97, 0.02, 0.01], [0.5, 0.25, 0.25]]), "rounded to 2 decimals"),
        (np.array([[1 - 2**-23, 2**-23], [0.5, 0.5]], np.float16), "probability of zero|half precision"),
    ],
)
def test_coarse_probabilities_are_refused_with_the_reason(probs, reason):
    probs = np.maximum(probs, np.float16(2**-24)) if probs.dtype == np.float16 else probs
    with pytest.raises(ValueError, match=reason):
        check_probabilities(probs)


def test_label_shows_parameters_but_not_centring():
    assert label_of(FittedScore("msp_temperature", {"temperature": 0.5})) == "MSP with temperature (temperature = 0.5)"
    assert label_of(FittedScore("max_logit_pnorm", {"p": math.inf, "centring": "mean"})) == "p-norm (p = inf)"


def probabilities_of(logits, temperature=1.0):
    tempered = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return (tempered / tempered.sum(axis=1, keepdims=True)).max(axis=1)


@pytest.mark.slow
def test_posterior_logits_keep_msp():
    chosen = [
        recommend(*cross_entropy_like(1500, seed=seed), available_scores(), seed=seed).score for seed in range(20)
    ]

    assert chosen.count("msp") >= 18


@pytest.mark.slow
def test_smoothed_logits_are_repaired_from_a_few_hundred_rows():
    chosen = [recommend(*smoothed_like(500, seed=seed), available_scores(), seed=seed).score for seed in range(5)]

    assert "msp" not in chosen


def test_scores_with_two_fitted_parameters_are_no_candidates():
    found = recommend(*smoothed_like(300), available_scores())

    assert {"bk", "ets", "hts", "msp_pnorm", "msp_temperature"}.isdisjoint(found.better_than_msp)
    assert found.cross_fitted.keys() == {"msp", *found.better_than_msp}


@pytest.mark.parametrize(("gain", "chosen"), [(0.005, "msp"), (0.02, "logit_margin")])
def test_msp_is_replaced_only_by_a_score_that_lowers_aurc_by_more_than_one_percent(monkeypatch, gain, chosen):
    areas = {"msp": 0.1, "logit_margin": 0.1 * (1 - gain)}
    found = {name: (area, np.full(50, area)) for name, area in areas.items()}
    monkeypatch.setattr("unsmooth.diagnosis.recommendation._judge", lambda *args: found)

    assert recommend(*cross_entropy_like(50), ["logit_margin"]).score == chosen


def test_rows_do_not_judge_parameters_that_they_chose(monkeypatch):
    logits, targets = cross_entropy_like(100)
    sizes = []

    def recording(name, *data, **options):
        sizes.extend(len(part) for part in data[1:])
        return fit_score(name, *data, **options)

    monkeypatch.setattr("unsmooth.diagnosis.recommendation.fit_score", recording)
    recommend(logits, targets, ["max_logit_pnorm"])

    assert sizes == [80] * 5


def test_verdict_comes_first_and_the_next_step_last(diagnosis):
    findings = diagnosis.findings()

    assert findings[0] == diagnosis.verdict == diagnosis.to_dict()["verdict"]
    assert findings[-1] == diagnosis.next_step == diagnosis.to_dict()["next_step"]
    assert findings[0].startswith("Verdict: MSP can be repaired")
    assert findings[-1].startswith("Do this next: ")
    assert "\n" not in findings[0]


def test_a_repair_is_recommended_with_its_threshold():
    result = diagnose(*smoothed_like(4000), scores=FEW, target_risk=0.3, replicates=20)

    assert result.next_step == f"Do this next: replace MSP by {label_of(result.recommended)} and {result.after.rule}."


def test_two_classes_are_told_that_no_score_repairs_them():
    result = diagnose(*cross_entropy_like(400, classes=2), replicates=20)

    assert result.recommended.name == "msp"
    assert "no post-hoc score of the logits can repair" in result.verdict


def test_threshold_of_msp_is_a_probability():
    logits, targets = cross_entropy_like(4000)
    result = diagnose(logits, targets, scores=[], target_risk=0.2, replicates=20)
    confidence = -math.log1p(-result.after.threshold)

    assert confidence == pytest.approx(result.after.certificate.threshold)
    assert result.after.rule == f"accept when the largest probability is at least {result.after.threshold:.3f}"
    assert result.after.rule in " ".join(result.findings())
    assert result.to_dict()["after"]["rule"] == result.after.rule
    accepted = probabilities_of(logits) >= result.after.threshold
    assert 0 < accepted.mean() < 1


def test_shifted_test_samples_are_announced_first():
    held, shifted = smoothed_like(3000, seed=1), cross_entropy_like(3000, seed=2)
    result = diagnose(*shifted, val_logits=held[0], val_targets=held[1], scores=FEW, replicates=20)

    assert result.exchangeability.differs
    assert "differ beyond chance" in " ".join(result.findings()[:2])
    assert "diagnose again" in result.next_step
    assert result.to_dict()["exchangeability"]["error_p"] == result.exchangeability.error_p


def test_a_certificate_that_the_test_contradicts_is_announced_first():
    held, test = cross_entropy_like(4000, seed=1), cross_entropy_like(4000, seed=2)
    worse = np.random.default_rng(0).random(4000) < 0.3
    targets = np.where(worse, (test[1] + 1) % 10, test[1])
    result = diagnose(
        test[0], targets, val_logits=held[0], val_targets=held[1], scores=[], target_risk=0.2, replicates=20
    )

    assert result.after.certified_risk > 0.2 and result.after.excess_p <= 0.05
    assert result.verdict.startswith("Verdict: The test samples contradict the certificate")
    assert "trust no threshold" in result.next_step


def test_exchangeable_samples_are_rarely_called_different():
    found = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        confidence, errors = generator.random(1000), generator.random(1000) < 0.1
        found.append(check_exchangeability(confidence[:400], errors[:400], confidence[400:], errors[400:]).differs)

    assert sum(found) <= 6


def test_a_split_at_random_needs_no_check_of_exchangeability(diagnosis):
    assert diagnosis.exchangeability is None


def test_disagreeing_signs_say_what_to_do():
    logits, targets = smoothed_like(4000)
    reason = signature_of(6 * logits, targets).reason

    assert "Signs of smoothing disagree" in reason and "look up the loss" in reason
