"""Agreement with the values that other released code computes from the same inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from unsmooth import metrics as m
from unsmooth.metrics.balanced import balanced_augrc, balanced_aurc
from unsmooth.metrics.calibration import fail_nll, mce
from unsmooth.metrics.detection import ap_errors, ap_successes
from unsmooth.metrics.operating import sac
from unsmooth.metrics.selective import eaugrc, partial_aurc

DATA = Path(__file__).parents[1] / "reference_values" / "metrics"
PEERS = json.loads((DATA / "peers.json").read_text())
LOGITS = json.loads((DATA / "logits.json").read_text())
ERRORS = np.array(PEERS["errors"])
SCORES = {name: np.array(values) for name, values in PEERS["scores"].items()}
UNTIED = [name for name, values in SCORES.items() if len(set(values)) == len(values)]


@pytest.mark.parametrize("name", UNTIED)
def test_fix_selective_classification(name):
    confidence, expected = SCORES[name], PEERS["fixsc"][name]

    assert m.aurc(confidence, ERRORS, convention="paper") == pytest.approx(expected["AURC"], abs=1e-12)
    assert m.eaurc(confidence, ERRORS, convention="paper") == pytest.approx(expected["E_AURC"], abs=1e-12)
    assert m.naurc(confidence, ERRORS, convention="paper") == pytest.approx(expected["N_AURC"], abs=1e-12)
    assert m.failure_auroc(confidence, ERRORS) == pytest.approx(expected["AUROC"], abs=1e-12)
    for accuracy in ("0.8", "0.9", "0.95", "0.98", "0.99"):
        assert sac(confidence, ERRORS, accuracy=float(accuracy)) == expected[f"SAC@{accuracy}"]


def test_fix_selective_classification_on_msp_and_continuous_risk():
    msp, expected = SCORES["MSP"], PEERS["fixsc_msp"]
    soft, continuous = PEERS["soft_residuals"], expected["continuous_risk"]

    assert m.ece(msp, ERRORS, bins=10) == pytest.approx(expected["ECE10_MSP"], abs=1e-8)  # theirs is in float32
    assert m.ece(msp, ERRORS, bins=15) == pytest.approx(expected["ECE15_MSP"], abs=1e-8)
    assert m.optimal_aurc(ERRORS, convention="paper") == pytest.approx(expected["oracle_AURC"], abs=1e-12)
    assert m.aurc(msp, soft, convention="paper") == pytest.approx(continuous["AURC_MSP"], abs=1e-12)
    assert m.eaurc(msp, soft, convention="paper") == pytest.approx(continuous["E_AURC_MSP"], abs=1e-12)
    assert m.naurc(msp, soft, convention="paper") == pytest.approx(continuous["N_AURC_MSP"], abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_fd_shifts_areas_and_detection_with_and_without_ties(name):
    confidence, targets, expected = SCORES[name], PEERS["targets"], PEERS["fd_shifts"][name]
    values = {
        "failauc": m.failure_auroc(confidence, ERRORS),
        "fpr@95tpr": m.failure_fpr95(confidence, ERRORS, tpr=0.9495),
        "failap_suc": ap_successes(confidence, ERRORS),
        "failap_err": ap_errors(confidence, ERRORS),
        "aurc": 1000 * m.aurc(confidence, ERRORS, convention="fd_shifts"),
        "aurc-ba": 1000 * balanced_aurc(confidence, ERRORS, targets),
        "augrc": 1000 * m.augrc(confidence, ERRORS),
        "e-augrc": 1000 * eaugrc(confidence, ERRORS),
        "augrc-ba": 1000 * balanced_augrc(confidence, ERRORS, targets),
        "e-aurc": 1000 * m.eaurc(confidence, ERRORS, convention="fd_shifts"),
        "aurc_achievable": 1000 * m.achievable_aurc(confidence, ERRORS),
        "aurc_optimal": 1000 * m.optimal_aurc(ERRORS, convention="fd_shifts"),
        "aurc_nonlinear": 1000 * partial_aurc(confidence, ERRORS),
        "aurc_nonlinear_cov0.2-0.8": 1000 * partial_aurc(confidence, ERRORS, coverage=(0.2, 0.8)),
        "n_rc_points": len(m.risk_coverage_curve(confidence, ERRORS).coverage) + 1,
    }
    if "ece" in expected:
        values["ece"] = m.ece(confidence, ERRORS, bins=20)
        values["mce"] = mce(confidence, ERRORS, bins=20)
        values["fail-NLL"] = fail_nll(confidence, ERRORS)

    assert values == {key: pytest.approx(expected[key], abs=1e-9) for key in values}


@pytest.mark.parametrize("name", SCORES)
def test_fd_shifts_coverage_at_risk(name):
    for key, expected in PEERS["fd_shifts"][name].items():
        if key.startswith("wp_target_risk"):
            coverage = m.coverage_at_risk(SCORES[name], ERRORS, risk=float(key.removeprefix("wp_target_risk")))
            # fd-shifts raises where no threshold qualifies.
            assert coverage == pytest.approx(0 if isinstance(expected, str) else expected[0], abs=1e-12)


def test_fd_shifts_continuous_residuals():
    msp, soft, expected = SCORES["MSP"], PEERS["soft_residuals"], PEERS["fd_shifts_msp"]["continuous_residuals"]
    values = {
        "aurc": m.aurc(msp, soft, convention="fd_shifts"),
        "augrc": m.augrc(msp, soft),
        "eaurc": m.eaurc(msp, soft, convention="fd_shifts"),
        "eaugrc": eaugrc(msp, soft),
        "aurc_optimal": m.optimal_aurc(soft, convention="fd_shifts"),
        "aurc_achievable": m.achievable_aurc(msp, soft),
    }

    assert values == {key: pytest.approx(expected[key] / 1000, abs=1e-12) for key in values}


@pytest.mark.parametrize("name", LOGITS["cases"])
def test_torch_uncertainty_and_official_code(name):
    case = LOGITS["cases"][name]
    logits, targets = np.array(case["logits"]), np.array(case["targets"])
    probs = softmax(logits, axis=1)
    confidence, errors = probs.max(axis=1), probs.argmax(axis=1) != targets
    values = {
        **{
            f"RiskAtxCov_{coverage}": m.risk_at_coverage(confidence, errors, coverage=coverage)
            for coverage in (0.25, 0.5, 0.9, 1.0)
        },
        "RiskAt80Cov": m.risk_at_coverage(confidence, errors, coverage=0.8),
        "ECE15_l1": m.ece(confidence, errors),
        "MCE15_max": mce(confidence, errors),
        "ClasswiseECE15": m.classwise_ece(probs, targets),
        "Brier": m.brier(probs, targets),
        "NLL": m.nll(logits, targets),
    }
    if len(targets) > 1:  # they return nan for a single sample
        values["AURC"] = m.aurc(confidence, errors, convention="torch_uncertainty")
        values["AUGRC"] = m.augrc(confidence, errors, convention="torch_uncertainty")
        values["aECE15_l1"] = m.adaptive_ece(confidence, errors)
    if not errors.all():  # they return nan where no threshold qualifies, here coverage 0
        values |= {f"CovAtxRisk_{risk}": m.coverage_at_risk(confidence, errors, risk=risk) for risk in (0.1, 0.2, 0.3)}
        values["CovAt5Risk"] = m.coverage_at_risk(confidence, errors, risk=0.05)
    official = m.aurc(confidence, errors, convention="paper")

    assert values == {key: pytest.approx(case["torch_uncertainty"][key], rel=1e-5) for key in values}
    assert official == pytest.approx(case["official_aurc"], abs=1e-6)


def test_margin_based_label_smoothing():
    logits, targets = np.array(LOGITS["mbls"]["logits"], np.float32), np.array(LOGITS["mbls"]["targets"])
    probs = softmax(logits, axis=1)
    confidence, errors = probs.max(axis=1), probs.argmax(axis=1) != targets
    values = {
        "nll": m.nll(logits, targets),
        "maximum_calibration_error_15": mce(confidence, errors),
    }
    for bins in (10, 15):
        values[f"ece_{bins}"] = m.ece_mbls(confidence, errors, bins=bins)
        values[f"expected_calibration_error_{bins}"] = m.ece(confidence, errors, bins=bins)
        values[f"aece_{bins}"] = m.adaptive_ece_mbls(confidence, errors, bins=bins)
        values[f"cece_{bins}"] = m.classwise_ece_mbls(probs, targets, bins=bins)

    assert values == {key: pytest.approx(LOGITS["mbls"]["metrics"][key], abs=2e-7) for key in values}
