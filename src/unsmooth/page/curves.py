"""Risk-coverage curves and operating points of one model, as the page holds them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.metrics import certified_threshold
from unsmooth.metrics.ranking import rank_errors, rank_levels
from unsmooth.metrics.selective import curve_of

__all__ = ["DELTA", "RESOLUTION", "RISKS", "operating_points", "thinned", "thinned_curve"]

Floats = NDArray[np.floating[Any]]

RESOLUTION = 500  # parts of the error rate that a thinned curve may be off by: half a pixel of a plot 350 pixels high
DELTA = 0.05  # probability that a certified threshold misses its target
RISKS = (*np.arange(1, 20) / 1000, *np.arange(4, 60) / 200)  # 0.1 to 1.9 % and 2 to 29.5 %: stops of the slider


def thinned(x: Floats, y: Floats, tolerance: float) -> NDArray[np.int64]:
    """Indices of the points to keep so that straight lines between them stay within `tolerance` of all the others.

    A stretch is split where the line over it errs most, vertically, until none errs by more (Ramer, 1972; Douglas and
    Peucker, 1973).

    Args:
        x: (N,) ascending, N at least 1.
        y: (N,).
        tolerance: largest vertical distance, in the unit of y, at least 0.

    Returns:
        Ascending indices with the first and the last point among them.

    Example:
        >>> thinned(np.arange(5.0), np.array([0.0, 1.0, 2.0, 1.0, 0.01]), 0.1).tolist()
        [0, 2, 4]
    """
    kept, stretches = {0, len(x) - 1}, [(0, len(x) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        line = y[first] + (x[inner] - x[first]) * ((y[last] - y[first]) / (x[last] - x[first]))
        gap = np.abs(y[inner] - line)
        worst = int(gap.argmax())
        if gap[worst] > tolerance:
            split = first + 1 + worst
            kept.add(split)
            stretches += [(first, split), (split, last)]
    return np.array(sorted(kept), dtype=np.int64)


def thinned_curve(confidence: Floats, errors: NDArray[np.bool_]) -> tuple[dict[str, list[float]], float]:
    """A risk-coverage curve of few points, and how far it is from the whole one.

    Args:
        confidence: (N,) finite, larger = more trusted.
        errors: (N,) bool.

    Returns:
        `accepted` and `errors`, the samples and the errors among them with at least the confidence `threshold`, from
        the most confident on: exact counts, so that coverage and risk are not rounded; and the largest vertical
        distance of the whole curve from the lines between these points, a fraction.
    """
    curve = curve_of(rank_levels(confidence, errors))
    kept = thinned(curve.coverage, curve.selective_risk, float(errors.mean()) / RESOLUTION)
    drawn = np.interp(curve.coverage, curve.coverage[kept], curve.selective_risk[kept])
    count = len(errors)
    points = {
        "accepted": np.rint(curve.coverage[kept] * count).astype(int).tolist(),
        "errors": np.rint(curve.generalized_risk[kept] * count).astype(int).tolist(),
        "threshold": [_short(value) for value in curve.threshold[kept]],
    }
    return points, float(np.abs(drawn - curve.selective_risk).max())


def operating_points(
    confidence: Floats,
    errors: NDArray[np.bool_],
    *,
    certifying: tuple[Floats, NDArray[np.bool_]],
    certified: Floats,
    risks: Sequence[float],
    delta: float = DELTA,
) -> dict[str, list[float | None]]:
    """What one score keeps at every target risk, with hindsight and by a certified threshold.

    Args:
        confidence: (N,) of the test samples, larger = more trusted.
        errors: (N,) bool.
        certifying: (M,) confidence and errors of samples that did not fit the score that they certify.
        certified: (N,) confidence of the test samples by that score.
        risks: target risks in (0, 1).
        delta: probability in (0, 1) that the risk of a certified threshold exceeds its target.

    Returns:
        One entry a target: `coverage`, the largest at the target on the test samples; `threshold` certified, None where
        infeasible; `certified_coverage` and `certified_risk` of it on the test samples, None where it accepts none.
    """
    ranks = rank_errors(confidence, errors)
    points: dict[str, list[float | None]] = {
        name: [] for name in ("coverage", "threshold", "certified_coverage", "certified_risk")
    }
    for risk in risks:
        certificate = certified_threshold(*certifying, risk=risk, delta=delta)
        accepted = certified >= certificate.threshold
        points["coverage"].append(float(ranks.coverage_at_risk(risk)))
        points["threshold"].append(_short(certificate.threshold) if certificate.feasible else None)
        points["certified_coverage"].append(float(accepted.mean()))
        points["certified_risk"].append(float(errors[accepted].mean()) if accepted.any() else None)
    return points


def _short(value: float) -> float:
    """Six digits: what a reader sees."""
    return float(f"{value:.6g}")
