"""What is wrong with a classifier's confidence, what repairs it, and how sure that is: from logits and targets alone.

**Who tunes what.** Three parts of the data that never overlap. *Fit* rows fit every score and choose the recommended
one, *certify* rows set its threshold, *test* rows only report. The recommended score is the simplest whose AURC on the
fit rows is within two standard errors of the best, after the rule of Breiman et al. (1984, section 3.4.3). MSP is the
simplest, so nothing is replaced without evidence, then the p-norm; scores with two fitted parameters are listed but not
recommended, since their fits follow the noise of a small validation set.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.classifier import InfeasibleRiskWarning, SelectiveClassifier, split_rows
from unsmooth.diagnosis.sentences import p_text, percent, points, relative
from unsmooth.diagnosis.signature import Signature, centred_maximum, smoothing_signature
from unsmooth.logits.probabilities import depends_on_mean
from unsmooth.metrics import (
    CertifiedThreshold,
    Interval,
    aurc,
    bootstrap_replicates,
    coverage_at_risk,
    holm,
)
from unsmooth.metrics.inputs import as_targets
from unsmooth.metrics.intervals import p_value
from unsmooth.scores import (
    DEFAULT_PS,
    NLL_TEMPERATURE,
    SCORES,
    FittedScore,
    available_scores,
    fit_score,
    pnorm_name,
    score_all,
)
from unsmooth.scores.rows import check_shape
from unsmooth.tables.labels import score_label

__all__ = [
    "Diagnosis",
    "ScoreResult",
    "diagnose",
    "label_of",
]

Floats = NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], None]

_SIGNIFICANT = 0.05
_SIMPLEST = ("msp", "max_logit_pnorm", "logit_margin", "msp_temperature")
_PNORM_TEMPERATURE_PS = (2, 4, 6, 8)  # its AURC is flat in p once a temperature is fitted, and each p costs a search


@dataclass(frozen=True)
class ScoreResult:
    """One score on the test rows.

    Attributes:
        score: its name.
        before: AURC with the default parameters; None where there are none.
        after: AURC with the parameters fitted on the fit rows; equal to ``before`` where nothing is fitted.
        change: ``after`` minus the AURC of MSP with its paired interval and p-value; below 0 is better.
        adjusted_p: p-value of ``change`` after Holm's correction over all scores; the recommended score alone, chosen
            on other rows, needs none.
        params: parameters in use.
        note: why it fell back to MSP, if it did.
    """

    score: str
    before: float | None
    after: float
    change: Interval
    adjusted_p: float
    params: Mapping[str, Any]
    note: str | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """One score at the target risk.

    Attributes:
        coverage: largest coverage of the test rows at the target risk, with hindsight.
        certificate: threshold certified on the certify rows.
        certified_coverage: share of the test rows that this threshold accepts.
        certified_risk: error rate among them; nan when it accepts none.
    """

    coverage: Interval
    certificate: CertifiedThreshold
    certified_coverage: float
    certified_risk: float


@dataclass(frozen=True)
class Diagnosis:
    """Result of :func:`diagnose`; all numbers are fractions of the test rows unless they say otherwise."""

    name: str
    num_classes: int
    rows: Mapping[str, int]
    split: str
    from_probabilities: bool
    target_risk: float
    delta: float
    replicates: int
    error: Interval
    aurc: Interval
    signature: Signature
    scores: tuple[ScoreResult, ...]
    left_out: Mapping[str, str]
    aurc_by_p: Mapping[float, float]
    recommended: FittedScore
    repaired_aurc: Interval
    before: OperatingPoint
    after: OperatingPoint
    coverage_gain: Interval
    classifier: SelectiveClassifier = field(repr=False)
    confidences: Mapping[str, Floats] = field(repr=False)
    max_logits: Floats = field(repr=False)
    errors: NDArray[np.bool_] = field(repr=False)
    certify_confidences: Mapping[str, Floats] = field(repr=False)
    certify_errors: NDArray[np.bool_] = field(repr=False)

    @property
    def repaired(self) -> bool:
        """Whether a score other than MSP is recommended."""
        return self.recommended.name != "msp"

    def result(self, score: str) -> ScoreResult:
        """The result of one score; KeyError for an unknown one."""
        return {result.score: result for result in self.scores}[score]

    def findings(self) -> list[str]:
        """The diagnosis in sentences, each computed from the numbers."""
        best = label_of(self.recommended)
        sentences = [
            f"The classifier errs on {percent(self.error)} of {self.rows['test']:,} test samples; "
            f"AURC with MSP is {percent(self.aurc, 2)}.",
            self.signature.reason,
        ]
        if self.repaired:
            change = self.result(self.recommended.name)
            # Chosen on the fit rows, so on the test rows this is one comparison.
            p = change.change.p_value or 1.0
            sure = p <= _SIGNIFICANT
            sentences.append(
                f"Recommended score: {best}. It {'lowers' if change.change.point < 0 else 'does not lower'} AURC to "
                f"{percent(self.repaired_aurc, 2)}, a change of {points(change.change, 2)} "
                f"({relative(change.change.point, self.aurc.point)}, p {p_text(p)}): "
                + ("more than chance." if sure and change.change.point < 0 else "not clear of chance.")
            )
        else:
            sentences.append(
                "Recommended score: MSP. No score with at most one parameter was clearly better on the rows that fit."
            )
        needed = self._replicates_needed()
        if self.replicates < needed:
            sentences.append(
                f"The Holm-adjusted p-values can show nothing: {len(self.scores) - 1} comparisons need at least "
                f"{needed:,} bootstrap resamples, and there are {self.replicates:,}."
            )
        sentences.append(self._coverage_sentence())
        sentences.append(self._certificate_sentence())
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain JSON-ready values; nan and infinities become null."""
        content = {
            entry.name: _plain(getattr(self, entry.name))
            for entry in fields(self)
            if entry.repr and entry.name not in ("aurc_by_p", "scores")
        }
        content["aurc_by_p"] = {f"{p:g}": value for p, value in self.aurc_by_p.items()}
        content["scores"] = [_plain(result) for result in self.scores]
        return content | {"findings": self.findings()}

    def _replicates_needed(self) -> int:
        """Fewest resamples B with which the least p-value, 2 / (B + 1), stays significant after Holm's correction."""
        return math.ceil(2 * (len(self.scores) - 1) / _SIGNIFICANT) - 1

    def _coverage_sentence(self) -> str:
        target = f"At a target risk of {100 * self.target_risk:g} %"
        if self.error.point <= self.target_risk:
            return f"{target} nothing need be rejected: the error rate is already below it."
        text = f"{target} MSP could accept {percent(self.before.coverage)} of the test samples"
        if not self.repaired:
            return f"{text}, thresholds chosen with hindsight."
        gain = points(self.coverage_gain)
        return (
            f"{text}, {label_of(self.recommended)} {percent(self.after.coverage)} (difference {gain}), with hindsight."
        )

    def _certificate_sentence(self) -> str:
        certificate = self.after.certificate
        promise = f"a risk of at most {100 * self.target_risk:g} % with probability {100 * (1 - self.delta):g} %"
        if not certificate.feasible:
            return (
                f"No threshold can be certified to have {promise} from {certificate.n:,} samples: infeasible. "
                "Allow more risk or bring more validation data."
            )
        return (
            f"The threshold {certificate.threshold:.6g} has {promise}, certified on {certificate.n:,} samples; it "
            f"accepts {100 * self.after.certified_coverage:.1f} % of the test samples"
            + (f" with {100 * self.after.certified_risk:.2f} % errors." if self.after.certified_coverage else ".")
        )


def label_of(score: FittedScore) -> str:
    """Name of a fitted score with its parameters, for people.

    Example:
        >>> label_of(FittedScore("max_logit_pnorm", {"p": 5, "centring": "mean"}))
        'p-norm (p = 5)'
    """
    shown = {key: value for key, value in score.params.items() if key != "centring"}
    text = ", ".join(f"{key} = {value:.4g}" for key, value in shown.items())
    return f"{score_label(score.name)} ({text})" if text else score_label(score.name)


def diagnose(
    logits: Floats,
    targets: NDArray[np.int64],
    *,
    val_logits: Floats | None = None,
    val_targets: NDArray[np.int64] | None = None,
    name: str = "logits",
    from_probabilities: bool = False,
    target_risk: float = 0.05,
    delta: float = 0.05,
    scores: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int = 1000,
    progress: Progress = lambda what, done, total: None,
) -> Diagnosis:
    """Diagnose a classifier's confidence and find the repair.

    Args:
        logits: (N, K) test logits, all of them test rows if there are validation logits, otherwise split at random into
            a half that fits and certifies and a half that tests.
        targets: (N,) class indices in [0, K).
        val_logits: (M, K) from the same classifier, on samples that did not train it.
        val_targets: (M,).
        name: what to call the classifier.
        from_probabilities: the logits are logarithms of softmax outputs; scores that see the mean of the logits are
            then left out.
        target_risk: in (0, 1).
        delta: probability in (0, 1) that the certified threshold misses the target.
        scores: names to compare with MSP; None for every score of logits and ``"msp_temperature_nll"``.
        seed: of the splits and the bootstrap.
        replicates: bootstrap resamples, at least 1. Below 40 a score compared (760 for 19) no p-value stays below 5 %
            after Holm's correction, and the findings say so.
        progress: called as ``progress(what, done, total)`` before each step.

    Returns:
        The diagnosis.

    Raises:
        ValueError: too few samples to split, other classes in the validation logits, targets that are no class of the
            logits, bad data, arguments out of range.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> targets = generator.integers(0, 5, 2000)
        >>> logits = generator.normal(size=(2000, 5)) + 2.5 * np.eye(5)[targets]
        >>> diagnosis = diagnose(logits, targets, replicates=100)
        >>> diagnosis.signature.verdict, diagnosis.recommended.name, diagnosis.rows
        ('unclear', 'msp', {'fit': 500, 'certify': 500, 'test': 1000})
    """
    if (val_logits is None) != (val_targets is None):
        raise ValueError("val_logits and val_targets must be given together")
    for option, value in (("target_risk", target_risk), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{option} must be in (0, 1), got {value}")
    check_shape(logits)
    targets = as_targets(targets, logits.shape)
    if val_logits is not None:
        if val_logits.shape[1:] != logits.shape[1:]:
            raise ValueError(f"val_logits must have shape (M, {logits.shape[1]}), got {val_logits.shape}")
        val_targets = as_targets(val_targets, val_logits.shape, name="val_targets")
    if val_logits is None or val_targets is None:
        if len(logits) < 4:
            raise ValueError(f"at least 4 samples are needed to fit, certify and test, got {len(logits)}")
        split = f"by seed {seed}: half of the samples fit and certify, half test"
        held, test = split_rows(len(logits), fraction=0.5, seed=seed)
        val_logits, val_targets, logits, targets = logits[held], targets[held], logits[test], targets[test]
    else:
        split = f"validation samples fit and certify (halves by seed {seed}), all others test"
    fitting, certifying = split_rows(len(val_logits), fraction=0.5, seed=seed + 1)
    known = [*available_scores(), NLL_TEMPERATURE]
    wanted = known if scores is None else ["msp", *scores]
    for unknown in set(wanted) - set(known):
        raise ValueError(f"scores must be among {', '.join(known)}, got {unknown!r}")
    excluded = [score for score in wanted if from_probabilities and depends_on_mean(score, {})]
    names = [score for score in known if score in wanted and score not in excluded]
    left_out = dict.fromkeys(excluded, "softmax outputs do not hold the mean of the logits, which it depends on")
    steps = _Steps(progress, 2 * len(names) + 4)

    fitted = {}
    for score in names:
        steps(f"fitting {score_label(score)}")
        fit = _fit(score, val_logits[fitting], val_targets[fitting])
        if fit.fell_back and not fit.params:
            left_out[score] = fit.reason or "nothing to fit"
        else:
            fitted[score] = fit
    fit_scored = score_all(val_logits[fitting], scores=fitted, ps=())
    left_out |= fit_scored.left_out
    fitted = {score: fit for score, fit in fitted.items() if score not in left_out}
    steps("choosing a score")
    recommended = _recommend(fitted, fit_scored, fit_scored.predictions != val_targets[fitting], seed)

    steps("scoring the test samples")
    ps = tuple(p for p in DEFAULT_PS if p < math.inf)
    unfitted = {f"{score}:before": FittedScore(score, dict(SCORES[score].defaults)) for score in _with_default(fitted)}
    scored = score_all(logits, scores=fitted | unfitted, ps=ps)
    errors = scored.predictions != targets
    metric = f"coverage_at_risk_{100 * target_risk:.10g}"
    replicated = {}
    for score in fitted:
        steps(f"bootstrap of {score_label(score)}")
        replicated[score] = bootstrap_replicates(
            scored[score],
            errors,
            metrics=["aurc", metric],
            replicates=replicates,
            seed=seed,
            risks=(target_risk,),
            coverages=(),
        )
    error = bootstrap_replicates(scored["msp"], errors, metrics=["error"], replicates=replicates, seed=seed)["error"]
    areas = {score: aurc(scored[score], errors) for score in fitted}
    changes = {
        score: _difference(areas[score] - areas["msp"], replicated[score]["aurc"] - replicated["msp"]["aurc"])
        for score in fitted
    }
    compared = [score for score in fitted if score != "msp"]
    adjusted = dict(zip(compared, holm([changes[score].p_value or 1.0 for score in compared]), strict=True))
    before_fitting = {score: aurc(scored[f"{score}:before"], errors) for score in _with_default(fitted)}
    results = tuple(
        ScoreResult(
            score,
            areas["msp"] if score.startswith("msp_temperature") else before_fitting.get(score),
            areas[score],
            changes[score],
            float(adjusted.get(score, 1.0)),
            fit.params,
            fit.reason,
        )
        for score, fit in fitted.items()
    )
    steps("certifying the threshold")
    chosen = recommended.name
    operating = {}
    for score in dict.fromkeys(("msp", chosen)):
        classifier = SelectiveClassifier(
            score_name=score, params=dict(fitted[score].params), max_risk=target_risk, delta=delta
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InfeasibleRiskWarning)
            classifier.fit(val_logits[certifying], val_targets[certifying])
        certificate = classifier.certificate_
        accepted = scored[score] >= certificate.threshold
        coverage = coverage_at_risk(scored[score], errors, risk=target_risk)
        operating[score] = OperatingPoint(
            _interval(coverage, replicated[score][metric]),
            certificate,
            float(accepted.mean()),
            float(errors[accepted].mean()) if accepted.any() else math.nan,
        )
    before, after = operating["msp"], operating[chosen]
    certify_scored = score_all(val_logits[certifying], scores={score: fitted[score] for score in operating}, ps=())
    steps("looking for smoothing")
    calibrated = fitted.get(NLL_TEMPERATURE) or _fit(NLL_TEMPERATURE, val_logits[fitting], val_targets[fitting])
    signature = smoothing_signature(logits, targets, temperature=calibrated.params.get("temperature"))
    steps("done")
    return Diagnosis(
        name=name,
        num_classes=int(logits.shape[1]),
        rows={"fit": len(fitting), "certify": len(certifying), "test": len(logits)},
        split=split,
        from_probabilities=from_probabilities,
        target_risk=target_risk,
        delta=delta,
        replicates=replicates,
        error=_interval(float(errors.mean()), error),
        aurc=_interval(areas["msp"], replicated["msp"]["aurc"]),
        signature=signature,
        scores=results,
        left_out=left_out,
        aurc_by_p={p: aurc(scored[pnorm_name(p)], errors) for p in ps if "max_logit_pnorm" in fitted},
        recommended=recommended,
        repaired_aurc=_interval(areas[chosen], replicated[chosen]["aurc"]),
        before=before,
        after=after,
        coverage_gain=_difference(
            after.coverage.point - before.coverage.point, replicated[chosen][metric] - replicated["msp"][metric]
        ),
        classifier=classifier,
        confidences={score: scored[score] for score in ("msp", chosen, NLL_TEMPERATURE) if score in fitted},
        max_logits=centred_maximum(logits),
        errors=errors,
        certify_confidences={score: certify_scored[score] for score in operating},
        certify_errors=certify_scored.predictions != val_targets[certifying],
    )


class _Steps:
    """Counts steps for a progress display."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.done, self.total = progress, -1, total

    def __call__(self, what: str) -> None:
        self.done = min(self.done + 1, self.total)
        self.progress(what, self.total if what == "done" else self.done, self.total)


def _fit(name: str, logits: Floats, targets: NDArray[np.int64]) -> FittedScore:
    """A score fitted; without parameters and with the reason where these classes leave nothing to fit."""
    if name == NLL_TEMPERATURE:
        if np.isneginf(logits[np.arange(len(targets)), targets]).any():
            return FittedScore("msp_temperature", fell_back=True, reason="a sample of a masked class has no likelihood")
        return fit_score("msp_temperature", logits, targets, objective="nll", fallback=False)
    if not SCORES[name].fitted:
        return fit_score(name)
    return fit_score(name, logits, targets, ps=_PNORM_TEMPERATURE_PS if name == "msp_pnorm" else DEFAULT_PS)


def _recommend(
    fitted: Mapping[str, FittedScore], scored: Mapping[str, Floats], errors: NDArray[np.bool_], seed: int
) -> FittedScore:
    """The simplest score within two standard errors of the best, on the rows that fitted them."""
    usable = [
        name
        for name, score in fitted.items()
        if name in SCORES and not score.fell_back and len(SCORES[name].fitted) <= 1
    ]
    points = {name: aurc(scored[name], errors) for name in usable}
    best = min(usable, key=points.__getitem__)

    def replicates(name: str) -> Floats:
        return bootstrap_replicates(scored[name], errors, metrics=["aurc"], replicates=200, seed=seed)["aurc"]

    reference = replicates(best)
    others = sorted((name for name in usable if name not in _SIMPLEST), key=points.__getitem__)
    for name in [*(name for name in _SIMPLEST if name in usable), *others]:
        # The last digits of equal areas may differ.
        if points[name] - points[best] <= 2 * float((replicates(name) - reference).std()) + 1e-12:
            return fitted[name]
    return fitted[best]


def _with_default(fitted: Mapping[str, FittedScore]) -> list[str]:
    return [name for name in fitted if name in SCORES and SCORES[name].has_default]


def _interval(point: float, replicates: Floats) -> Interval:
    """Percentile interval, as `unsmooth.metrics.bootstrap` defines it."""
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Interval(point, float(low), float(high))


def _difference(point: float, replicates: Floats) -> Interval:
    """Percentile interval and two-sided p-value, as `unsmooth.metrics.paired_bootstrap` defines them."""
    return replace(_interval(point, replicates), p_value=p_value(replicates))


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks values of any type
    if hasattr(value, "__dataclass_fields__"):
        content = {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
        if isinstance(value, Interval) and value.p_value is None:
            del content["p_value"]
        return content
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
