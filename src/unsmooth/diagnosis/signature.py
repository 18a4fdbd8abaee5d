r"""Does a confidence bear the signature of label smoothing? Evidence from logits and targets alone.

Label smoothing suppresses the largest logit, and the more so the surer the prediction (Xia et al., ICLR 2025, section
4). Among predictions of equal confidence the wrong ones are therefore left with a larger centred maximum logit
v = max_k z_k - mean(z) than the correct ones; under cross-entropy they are not. We estimate that difference as
:math:`\gamma` in the regression

.. math:: v_i = \gamma\,[\hat y_i \ne y_i] + s(d_i) + \text{noise}

with s a linear spline of the prediction's log-odds d, with knots at every twentieth quantile. The interval is that of
least squares with errors of unequal variance (White, 1980). Smoothing also leaves the softmax less confident than it is
accurate, but so does a temperature that is too high, and then equal MSP is not equal chance of an error either: gamma
at equal MSP is above 0 for logits merely divided by a constant. So d is taken at the temperature that calibrates
(fitted by likelihood on other samples), where a mere temperature leaves gamma at 0. Both gamma above 0 there and a
softmax that is not confident enough make the verdict "smoothed". Neither says that harm was done: the AURC before and
after repair does.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unsmooth.diagnosis.wording import points, signed
from unsmooth.metrics import Interval
from unsmooth.metrics.inputs import as_targets
from unsmooth.scores import msp, msp_temperature
from unsmooth.scores.rows import check_shape

__all__ = ["Signature", "centred_maximum", "smoothing_signature"]

Floats = NDArray[np.floating[Any]]
Verdict = Literal["smoothed", "no sign", "unclear"]

_FEWEST = 30  # errors, and correct predictions, below which no regression is attempted
_Z95 = 1.959963984540054
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Signature:
    """Evidence of label smoothing; see the top of this module.

    Attributes:
        verdict: ``"smoothed"``, ``"no sign"`` or ``"unclear"``.
        max_logit_shift: gamma at the calibrating temperature, in standard deviations of the maximum logit at equal
            confidence; above 0 under smoothing.
        shift_at_msp: gamma at equal MSP, which a temperature that is too high moves above 0 as well.
        calibration_gap: mean MSP minus accuracy; below 0 means under-confident.
        reason: the verdict in one sentence.
    """

    verdict: Verdict
    max_logit_shift: Interval
    shift_at_msp: Interval
    calibration_gap: Interval
    reason: str


def smoothing_signature(logits: Floats, targets: NDArray[np.int64], *, temperature: float | None = None) -> Signature:
    """Look for what label smoothing does to logits; see the top of this module.

    Args:
        logits: (N, K).
        targets: (N,) class indices.
        temperature: what calibrates the softmax, from :func:`unsmooth.scores.fit_score` by likelihood on other samples;
            None where it has no finite optimum.

    Returns:
        Verdict, evidence with 95 % intervals (nan where it cannot be estimated), and the reason.

    Raises:
        ValueError: no samples, targets that are no class of the logits, or bad logits.

    References:
        Xia et al., ICLR 2025, section 4. White, Econometrica 1980 (the interval).
    """
    check_shape(logits)
    errors = logits.argmax(axis=1) != as_targets(targets, logits.shape)
    confidence = msp(logits)
    gaps = -np.expm1(-confidence) - ~errors
    gap = _normal_interval(float(gaps.mean()), float(gaps.std() / math.sqrt(len(gaps))))
    verdict: Verdict = "unclear"
    shift = at_msp = _UNKNOWN
    if logits.shape[1] == 2:
        reason = "Smoothing cannot be recognised with two classes: their centred logits say no more than MSP does."
    elif min(errors.sum(), (~errors).sum()) < _FEWEST:
        reason = f"Too few samples to look for smoothing: {_FEWEST} wrong and {_FEWEST} correct predictions are needed."
    elif temperature is None:
        reason = "Smoothing cannot be recognised: the samples that fit leave no temperature that calibrates."
    else:
        largest = centred_maximum(logits)
        at_msp = _shift_at_equal(confidence, largest, errors)
        shift = _shift_at_equal(msp_temperature(logits, temperature=temperature), largest, errors)
        verdict, reason = _verdict(shift, at_msp, gap)
    return Signature(verdict, shift, at_msp, gap, reason)


def _verdict(shift: Interval, at_msp: Interval, gap: Interval) -> tuple[Verdict, str]:
    """The verdict and its reason; arguments as the attributes of `Signature`."""
    if math.isnan(shift.point) or math.isnan(at_msp.point):
        return "unclear", "Smoothing cannot be recognised: the maximum logit follows from MSP."
    evidence = (
        f"at equal calibrated confidence the maximum logit of wrong predictions lies {signed(shift)} standard "
        f"deviations from that of correct ones (at equal MSP {signed(at_msp)}), and mean MSP minus accuracy is "
        f"{points(gap)}"
    )
    soft = gap.high < 0
    if shift.low > 0 and soft:
        return "smoothed", f"The confidence bears the signature of label smoothing: {evidence}."
    if at_msp.low > 0 and soft:
        cause = "by a temperature or by smoothing that left the order intact"
        return "unclear", f"The softmax is too soft, {cause}: {evidence}."
    if shift.low > 0:
        return "unclear", (
            f"Signs of smoothing disagree: {evidence}. Rescaled logits or a strong over-fit would do that; look up the "
            "loss in the training settings. The recommended score does not depend on the answer."
        )
    return "no sign", f"The confidence shows no sign of label smoothing: {evidence}."


def centred_maximum(logits: Floats) -> Floats:
    """max - mean of each row's logits that are not masked, (N,) float64."""
    return np.asarray(logits.max(axis=1) - logits.mean(axis=1, dtype=np.float64, where=np.isfinite(logits)))


def _shift_at_equal(confidence: Floats, values: Floats, errors: NDArray[np.bool_]) -> Interval:
    """Difference of `values` between wrong and correct rows at equal MSP, in residual standard deviations."""
    log_odds = confidence + np.log(-np.expm1(-confidence))
    knots = np.unique(np.quantile(log_odds, np.linspace(0, 1, 21)))[1:-1]
    columns = [np.ones_like(log_odds), log_odds, *(np.maximum(log_odds - knot, 0) for knot in knots)]
    basis, triangle = np.linalg.qr(np.column_stack(columns))
    # A knot without samples on one side adds no direction; its column is rounding noise.
    strength = np.abs(np.diag(triangle))
    basis = basis[:, strength > 1e-9 * strength.max()]
    values, wrong = (column - basis @ (basis.T @ column) for column in (values, errors.astype(np.float64)))
    spread, information = float(values.std()), float(wrong @ wrong)
    if spread <= 1e-6 * float(log_odds.std()) or information < 1:
        return _UNKNOWN
    shift = float(wrong @ values) / information
    standard_error = float(np.linalg.norm(wrong * (values - shift * wrong))) / information
    return _normal_interval(shift / spread, standard_error / spread)


def _normal_interval(point: float, standard_error: float) -> Interval:
    return Interval(point, point - _Z95 * standard_error, point + _Z95 * standard_error)
