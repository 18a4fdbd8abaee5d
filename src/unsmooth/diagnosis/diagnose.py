"""What is wrong with a classifier's confidence, what repairs it, and how sure that is: from logits and targets alone.

Three parts of the data never overlap. *Fit* rows fit every score and choose the recommended one
(:mod:`unsmooth.diagnosis.recommendation`), *certify* rows set its threshold, *test* rows only report.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from unsmooth.diagnosis.comparison import Comparison, Steps, compare, difference, interval
from unsmooth.diagnosis.exchangeability import check_exchangeability
from unsmooth.diagnosis.parts import Parts, Values
from unsmooth.diagnosis.recommendation import recommend
from unsmooth.diagnosis.result import Diagnosis, OperatingPoint, ScoreResult
from unsmooth.diagnosis.signature import centred_maximum, smoothing_signature
from unsmooth.diagnosis.wording import label_of
from unsmooth.logits.guards import chance_remark
from unsmooth.logits.lookalikes import lookalike_shares
from unsmooth.logits.probabilities import ENOUGH_ROWS, are_log_probabilities, depends_on_mean
from unsmooth.metrics import certified_threshold, coverage_at_risk
from unsmooth.metrics.inputs import as_fraction, as_real
from unsmooth.registry.scores import Need, score_label
from unsmooth.scores import (
    DEFAULT_PS,
    NLL_TEMPERATURE,
    SCORES,
    FittedScore,
    available_scores,
    msp,
    score_all,
    score_by_features,
)
from unsmooth.scores.fitting import Validation, fit_to
from unsmooth.scores.thresholds import acceptance_rule, threshold_value

__all__ = ["Diagnosis", "ScoreResult", "diagnose", "label_of"]

Floats = NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], None]

_PNORM_TEMPERATURE_PS = (2, 4, 6, 8)  # its AURC is flat in p once a temperature is fitted, and each p costs a search


def diagnose(
    logits: Values,
    targets: Values,
    *,
    val_logits: Values | None = None,
    val_targets: Values | None = None,
    layer: Mapping[str, Values] | None = None,
    train: Mapping[str, Values] | None = None,
    name: str = "logits",
    from_probabilities: bool = False,
    only_msp: bool = False,
    target_risk: float = 0.05,
    delta: float = 0.05,
    scores: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int = 1000,
    progress: Progress = lambda what, done, total: None,
) -> Diagnosis:
    """Diagnose a classifier's confidence and find the repair.

    Args:
        logits: (N, K) test logits as an array, a tensor or a frame: all of them test rows if there are validation
            logits, otherwise split at random into a half that fits and certifies and a half that tests.
        targets: (N,) class indices in [0, K).
        val_logits: (M, K) from the same classifier, on samples that did not train it.
        val_targets: (M,).
        layer: what scores of features need of the test samples: ``"features"`` (N, D), and ``"weight"`` (K, D) and
            ``"bias"`` (K,) of the last layer. These scores are compared with MSP and never recommended.
        train: what they need of training samples: ``"logits"``, ``"targets"`` and ``"features"``.
        name: what to call the classifier.
        from_probabilities: the logits are logarithms of softmax outputs, which is also recognised from their values.
            Scores that see the mean of the logits are then left out.
        only_msp: some softmax outputs were zero, so that every other score, and the signature, is left out.
        target_risk: in (0, 1).
        delta: probability in (0, 1) that the certified threshold misses the target.
        scores: name or names to compare with MSP; None for ``"msp_temperature_nll"`` and every score for which there
            are data.
        seed: of the splits and the bootstrap.
        replicates: bootstrap resamples, at least 1. Below 40 a score compared (760 for 19) no p-value stays below 5 %
            after Holm's correction, and the findings say so.
        progress: called as ``progress(what, done, total)`` before each step.

    Returns:
        The diagnosis.

    Raises:
        ValueError: too few samples to split, other classes or columns in the validation logits, targets that are no
            class of the logits, bad data, arguments out of range.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> targets = generator.integers(0, 5, 2000)
        >>> logits = generator.normal(size=(2000, 5)) + 2.5 * np.eye(5)[targets]
        >>> diagnosis = diagnose(logits, targets, replicates=100)
        >>> diagnosis.signature.verdict, diagnosis.recommended.name, diagnosis.rows
        ('unclear', 'msp', {'fit': 500, 'certify': 500, 'test': 1000})
    """
    target_risk = as_fraction(target_risk, "target_risk", open_low=True, open_high=True)
    delta = as_fraction(delta, "delta", open_low=True, open_high=True)
    at_hand = {"logits": as_real(logits, "logits"), **(layer or {})}
    rows = [at_hand["logits"]] if val_logits is None else [at_hand["logits"], as_real(val_logits, "val_logits")]
    from_probabilities |= any(map(are_log_probabilities, rows))
    names, left_out = _choose_names(scores, layer, train, from_probabilities, only_msp)
    of_features = [name for name in names if name in SCORES and not SCORES[name].of_logits]
    others = _score_by_features(of_features, at_hand, train, left_out)
    parts = Parts.of(logits, targets, val_logits, val_targets, seed, others)
    names = [name for name in names if name not in of_features]
    total, done = 2 * len(names) + 4, count()

    def steps(what: str) -> None:
        progress(what, min(next(done), total), total)

    fit_rows = Validation.of(parts.fit.logits, parts.fit.targets)
    fitted = _fit_all(names, fit_rows, left_out, steps)
    steps("choosing a score")
    usable = [name for name, score in fitted.items() if not score.fell_back]
    recommendation = recommend(parts.fit.logits, parts.fit.targets, usable, seed=seed)
    chosen = recommendation.score

    steps("scoring the test samples")
    comparison = compare(parts.test, fitted, target_risk, seed, replicates, steps)
    exchangeability = None
    if val_logits is not None:
        held, val_errors = msp(parts.held.logits), parts.held.logits.argmax(axis=1) != parts.held.targets
        exchangeability = check_exchangeability(held, val_errors, comparison.scored["msp"], comparison.errors)
    steps("certifying the threshold")
    certify_scored = score_all(parts.certify.logits, scores={score: fitted[score] for score in ("msp", chosen)}, ps=())
    certify_errors = certify_scored.predictions != parts.certify.targets
    before, after = (
        _operate(fitted[score], (certify_scored[score], certify_errors), comparison, delta) for score in ("msp", chosen)
    )
    steps("looking for smoothing")
    calibrated = fitted.get(NLL_TEMPERATURE) or _fit(NLL_TEMPERATURE, fit_rows)
    signature = smoothing_signature(
        parts.test.logits, parts.test.targets, temperature=calibrated.params.get("temperature")
    )
    if only_msp:
        reason = "Smoothing cannot be recognised: softmax outputs of zero have lost their logits."
        signature = replace(signature, verdict="unclear", reason=reason)
    progress("done", total, total)
    return Diagnosis(
        name=name,
        num_classes=parts.test.logits.shape[1],
        rows={"fit": len(parts.fit), "certify": len(parts.certify), "test": len(parts.test)},
        split=parts.split,
        from_probabilities=from_probabilities,
        target_risk=target_risk,
        delta=delta,
        replicates=replicates,
        error=interval(float(comparison.errors.mean()), comparison.replicated["msp"]["error"]),
        aurc=comparison.aurc("msp"),
        no_better_than_chance=(
            chance_remark(parts.test.logits, parts.test.targets) if len(parts.test) >= ENOUGH_ROWS else None
        ),
        exchangeability=exchangeability,
        signature=signature,
        scores=comparison.results(fitted),
        left_out=left_out,
        aurc_by_p=comparison.aurc_by_p if "max_logit_pnorm" in fitted else {},
        recommended=fitted[chosen],
        recommendation=recommendation,
        repaired_aurc=comparison.aurc(chosen),
        before=before,
        after=after,
        coverage_gain=difference(
            after.coverage.point - before.coverage.point,
            comparison.replicated[chosen]["coverage"] - comparison.replicated["msp"]["coverage"],
        ),
        confidences={score: comparison.scored[score] for score in ("msp", chosen, NLL_TEMPERATURE) if score in fitted},
        max_logits=centred_maximum(parts.test.logits),
        lookalike_shares=lookalike_shares(parts.test.logits),
        errors=comparison.errors,
        certify_confidences=dict(certify_scored),
        certify_errors=certify_errors,
    )


def _choose_names(
    scores: Sequence[str] | None,
    layer: Mapping[str, Values] | None,
    train: Mapping[str, Values] | None,
    from_probabilities: bool,
    only_msp: bool,
) -> tuple[list[str], dict[str, str]]:
    """The scores to compare, MSP first, and those left out with the reason."""
    at_hand: list[Need] = ["logits"]
    at_hand += ["features"] if "features" in (layer or {}) else []
    at_hand += ["last_layer"] if "weight" in {**(layer or {}), **(train or {})} else []
    at_hand += ["training"] if train else []
    known = [*available_scores(*at_hand), NLL_TEMPERATURE]
    wanted = known if scores is None else ["msp", *([scores] if isinstance(scores, str) else scores)]
    for unknown in set(wanted) - set(known):
        raise ValueError(f"scores must be among {', '.join(known)}, got {unknown!r}")
    excluded = [score for score in wanted if from_probabilities and depends_on_mean(score, {})]
    names = [score for score in known if score in wanted and score not in excluded]
    left_out = dict.fromkeys(excluded, "softmax outputs do not hold the mean of the logits, which it depends on")
    if only_msp:
        left_out |= dict.fromkeys(names[1:], "some softmax outputs are zero, of which it needs logarithms")
        names = names[:1]
    return names, left_out


def _score_by_features(
    names: Sequence[str],
    test: Mapping[str, Values],
    train: Mapping[str, Values] | None,
    left_out: dict[str, str],
) -> dict[str, Floats]:
    """Confidences by name; adds to ``left_out`` those that these arrays do not allow."""
    found = {}
    for name in names:
        try:
            found[name] = np.asarray(score_by_features(name, test, train))
        except ValueError as error:
            left_out[name] = str(error)
    return found


def _fit_all(names: Sequence[str], rows: Validation, left_out: dict[str, str], steps: Steps) -> dict[str, FittedScore]:
    """Scores fitted, by name; adds to ``left_out`` those that these classes or samples do not allow."""
    fitted = {}
    for score in names:
        steps(f"fitting {score_label(score)}")
        found = _fit(score, rows)
        if reason := found.refusal(rows.logits.shape[1]):
            left_out[score] = reason
        elif found.fell_back and not found.params:
            left_out[score] = found.reason or "nothing to fit"
        else:
            fitted[score] = found
    return fitted


def _operate(
    score: FittedScore, certifying: tuple[Floats, NDArray[np.bool_]], comparison: Comparison, delta: float
) -> OperatingPoint:
    """Certify a threshold of one score, and apply it to the test rows."""
    confidence, errors, risk = comparison.scored[score.name], comparison.errors, comparison.target_risk
    certificate = certified_threshold(*certifying, risk=risk, delta=delta)
    accepted = errors[confidence >= certificate.threshold]
    return OperatingPoint(
        coverage=interval(
            coverage_at_risk(confidence, errors, risk=risk), comparison.replicated[score.name]["coverage"]
        ),
        certificate=certificate,
        threshold=threshold_value(score, certificate.threshold),
        rule=acceptance_rule(score, certificate.threshold),
        certified_coverage=len(accepted) / len(errors),
        certified_risk=float(accepted.mean()) if len(accepted) else math.nan,
        # Probability of at least so many errors where each has the probability of the target.
        excess_p=float(bdtrc(accepted.sum() - 1.0, len(accepted), risk)) if len(accepted) else math.nan,
    )


def _fit(name: str, rows: Validation) -> FittedScore:
    """A score fitted; without parameters and with the reason where these classes leave nothing to fit."""
    if name == NLL_TEMPERATURE:
        if bool(rows.logits.gather(1, rows.targets[:, None]).isneginf().any()):
            return FittedScore("msp_temperature", fell_back=True, reason="a sample of a masked class has no likelihood")
        return fit_to(rows, "msp_temperature", objective="nll", fallback=False)
    if not SCORES[name].fitted:
        return FittedScore(name, dict(SCORES[name].defaults))
    return fit_to(rows, name, ps=_PNORM_TEMPERATURE_PS if name == "msp_pnorm" else DEFAULT_PS)
