"""A diagnosis in sentences, each computed from the numbers, and numbers with their intervals as text."""

import math
from typing import TYPE_CHECKING

from unsmooth.metrics import Interval
from unsmooth.registry.scores import score_label

if TYPE_CHECKING:
    from unsmooth.diagnosis.result import Diagnosis
    from unsmooth.scores import FittedScore

_SIGNIFICANT = 0.05
_TWO_CLASSES = "With two classes no post-hoc score of the logits can repair the order: all of them rank as MSP does."


def label_of(score: "FittedScore") -> str:
    """Name of a fitted score with its parameters, for people.

    Example:
        >>> from unsmooth.scores import FittedScore
        >>> label_of(FittedScore("max_logit_pnorm", {"p": 5, "centring": "mean"}))
        'p-norm (p = 5)'
    """
    shown = {key: value for key, value in score.params.items() if key != "centring"}
    text = ", ".join(f"{key} = {value:.4g}" for key, value in shown.items())
    return f"{score_label(score.name)} ({text})" if text else score_label(score.name)


def score_rows(diagnosis: "Diagnosis", *, mark: str) -> list[list[str]]:
    """A row a score, best first: label, AURC before and after fitting, change against MSP, p-value, parameters.

    Args:
        diagnosis: its scores.
        mark: follows the label of the recommended one.
    """
    rows = []
    for entry in sorted(diagnosis.scores, key=lambda entry: entry.after):
        change, params = entry.change, {key: value for key, value in entry.params.items() if key != "centring"}
        compared = f"{100 * change.point:+.3f} [{100 * change.low:+.3f}, {100 * change.high:+.3f}]"
        rows.append(
            [
                score_label(entry.score) + (mark if entry.score == diagnosis.recommended.name else ""),
                "" if entry.before is None else f"{100 * entry.before:.3f}",
                f"{100 * entry.after:.3f}",
                *(["", ""] if entry.score == "msp" else [compared, f"{entry.adjusted_p:.3f}"]),
                "falls back to MSP" if entry.note else ", ".join(f"{key} {value:.4g}" for key, value in params.items()),
            ]
        )
    return rows


def findings(diagnosis: "Diagnosis") -> list[str]:
    """The verdict, the sentences that support it, and the next step."""
    first, *others = [*_alarms(diagnosis), _ranking(diagnosis)]
    supporting = [
        f"The classifier errs on {percent(diagnosis.error)} of {diagnosis.rows['test']:,} test samples; "
        f"AURC with MSP is {percent(diagnosis.aurc, 2)}.",
        None if diagnosis.exchangeability is None else diagnosis.exchangeability.reason,
        diagnosis.signature.reason,
        _recommendation(diagnosis),
        _resamples(diagnosis),
        _coverage(diagnosis),
        _certificate(diagnosis),
    ]
    return [f"Verdict: {first}", *others, *filter(None, supporting), _next_step(diagnosis)]


def _next_step(diagnosis: "Diagnosis") -> str:
    certificate = diagnosis.after.certificate
    change = diagnosis.result(diagnosis.recommended.name).change
    if diagnosis.no_better_than_chance:
        text = "give every row of logits its own target, in the numbering of the columns, and diagnose again"
    elif _untrusted(diagnosis):
        text = (
            "take validation samples as the test samples were taken and diagnose again; trust no threshold until then"
        )
    elif diagnosis.repaired and change.point >= 0:
        text = "keep MSP, and bring more validation data before a repair"
    elif not certificate.feasible:
        text = f"allow more risk or bring more validation data: {100 * diagnosis.target_risk:g} % is infeasible here"
    elif diagnosis.repaired:
        text = f"replace MSP by {label_of(diagnosis.recommended)} and {diagnosis.after.rule}"
    else:
        text = f"keep MSP and {diagnosis.after.rule}"
    return f"Do this next: {text}."


def _alarms(diagnosis: "Diagnosis") -> list[str]:
    """What speaks against the targets, and against the certificate on the test samples."""
    remark = diagnosis.no_better_than_chance
    alarms = [f"{remark[0].upper()}{remark[1:]}"] if remark else []
    after, found = diagnosis.after, diagnosis.exchangeability
    if after.exceeds_target:
        beyond = after.excess_p <= _SIGNIFICANT
        alarms.append(
            f"The test samples {'contradict' if beyond else 'exceed'} the certificate: "
            f"{100 * after.certified_risk:.2f} % errors among the accepted, where {_promise(diagnosis)} was certified "
            f"({'more than' if beyond else 'within'} chance, p {p_text(after.excess_p)})."
        )
    if found is not None and found.differs:
        alarms.append(
            "Validation and test samples differ beyond chance, so the certificate does not hold for these test samples."
        )
    return alarms


def _untrusted(diagnosis: "Diagnosis") -> bool:
    """Whether more than chance speaks against the certificate."""
    found = diagnosis.exchangeability
    return diagnosis.after.excess_p <= _SIGNIFICANT or (found is not None and found.differs)


def _ranking(diagnosis: "Diagnosis") -> str:
    if diagnosis.num_classes == 2:
        return _TWO_CLASSES
    if not diagnosis.repaired:
        return "MSP needs no repair that these samples can show."
    best, change = label_of(diagnosis.recommended), diagnosis.result(diagnosis.recommended.name).change
    if change.point >= 0:
        return f"{best} ranked better than MSP on the fit samples, but not on the test samples."
    gain = f"lowers AURC by {-100 * change.point / diagnosis.aurc.point:.0f} % on the test samples"
    return f"MSP can be repaired: {best} {gain}{'' if _clear(diagnosis) else ', not clear of chance'}."


def _clear(diagnosis: "Diagnosis") -> bool:
    # Chosen on the fit rows, so on the test rows this is one comparison.
    return (diagnosis.result(diagnosis.recommended.name).change.p_value or 1.0) <= _SIGNIFICANT


def _recommendation(diagnosis: "Diagnosis") -> str:
    if diagnosis.repaired:
        change = diagnosis.result(diagnosis.recommended.name).change
        lowers, area = change.point < 0, diagnosis.aurc.point
        relative = f"{100 * change.point / area:+.0f} %" if area > 0 else "nothing to improve"
        return (
            f"Recommended score: {label_of(diagnosis.recommended)}. It {'lowers' if lowers else 'does not lower'} AURC "
            f"to {percent(diagnosis.repaired_aurc, 2)}, a change of {points(change, 2)} "
            f"({relative}, p {p_text(change.p_value or 1.0)}): "
            + ("more than chance." if lowers and _clear(diagnosis) else "not clear of chance.")
        )
    better = diagnosis.recommendation.better_than_msp
    if not better:
        return "Recommended score: MSP. No other score could be compared with it."
    likeliest = max(better, key=better.__getitem__)
    return (
        "Recommended score: MSP. No other score lowers AURC by 1 % with a probability of at least 95 % on the rows "
        f"that fit; the likeliest is {score_label(likeliest)} with {100 * better[likeliest]:.0f} %."
    )


def _resamples(diagnosis: "Diagnosis") -> str | None:
    """A warning where the least p-value, 2 / (B + 1), cannot stay significant after Holm's correction."""
    compared = len(diagnosis.scores) - 1
    needed = math.ceil(2 * compared / _SIGNIFICANT) - 1
    if diagnosis.replicates >= needed:
        return None
    comparisons = "1 comparison needs" if compared == 1 else f"{compared} comparisons need"
    return (
        f"The Holm-adjusted p-values can show nothing: {comparisons} at least "
        f"{needed:,} bootstrap resamples, and there are {diagnosis.replicates:,}."
    )


def _coverage(diagnosis: "Diagnosis") -> str:
    target = f"At a target risk of {100 * diagnosis.target_risk:g} %"
    if diagnosis.error.point <= diagnosis.target_risk:
        return f"{target} nothing need be rejected: the error rate is already below it."
    text = f"{target} MSP could accept {percent(diagnosis.before.coverage)} of the test samples"
    if not diagnosis.repaired:
        return f"{text}, thresholds chosen with hindsight."
    return (
        f"{text}, {label_of(diagnosis.recommended)} {percent(diagnosis.after.coverage)} "
        f"(difference {points(diagnosis.coverage_gain)}), with hindsight."
    )


def _certificate(diagnosis: "Diagnosis") -> str:
    after, certificate = diagnosis.after, diagnosis.after.certificate
    if not certificate.feasible:
        return (
            f"No threshold can be certified to have a risk of {_promise(diagnosis)} from {certificate.n:,} samples: "
            "infeasible."
        )
    return (
        f"Certified threshold: {after.rule}. Its risk is {_promise(diagnosis)}, from {certificate.n:,} samples; it "
        f"accepts {100 * after.certified_coverage:.1f} % of the test samples"
        + (f" with {100 * after.certified_risk:.2f} % errors." if after.certified_coverage else ".")
    )


def _promise(diagnosis: "Diagnosis") -> str:
    return f"at most {100 * diagnosis.target_risk:g} % with probability {100 * (1 - diagnosis.delta):g} %"


def percent(interval: Interval, decimals: int = 1) -> str:
    """A fraction and its interval in percent."""
    point, low, high = (f"{100 * v:.{decimals}f}" for v in (interval.point, interval.low, interval.high))
    return f"{point} % [{low}, {high}]"


def points(interval: Interval, decimals: int = 1) -> str:
    """A difference of fractions and its interval in percentage points."""
    point, low, high = (f"{100 * v:+.{decimals}f}" for v in (interval.point, interval.low, interval.high))
    return f"{point} points [{low}, {high}]"


def signed(interval: Interval) -> str:
    """A number and its interval with signs."""
    return f"{interval.point:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def p_text(value: float) -> str:
    """A p-value with two digits."""
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"
