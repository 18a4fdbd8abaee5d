"""Risk-coverage curves and the areas under them.

Samples are accepted from the most confident on. With n samples, r_j the error (0 or 1) at position j and
R_k = (r_1 + ... + r_k) / k the selective risk at coverage k / n:

- AURC ("harmonic") = (1/n) sum_k R_k = (1/n) sum_j r_j (H_n - H_(j-1)), H the harmonic numbers;
- AUGRC = trapezoid of the generalized risk (k/n) R_k from (0, 0) to (1, R_n).

Conventions every function shares: confidence is larger for more trusted samples; areas and risks are fractions and
lower is better; errors of tied samples are spread evenly over the tie, the expectation over random tie-breaks; a
sample weight of 2 counts as two copies and 0 as none; a metric without value is `nan` with an `UndefinedMetricWarning`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import Array, as_errors, as_fraction
from unsmooth.metrics.ranking import ErrorRanks, Levels, finish, rank_errors, rank_levels, rank_oracle
from unsmooth.metrics.sums import Floats

Convention = Literal["harmonic", "paper", "fd_shifts", "torch_uncertainty", "ln"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


@dataclass(frozen=True)
class RiskCoverageCurve:
    """One point per distinct confidence, from the most confident sample to full coverage.

    Attributes:
        coverage: (G,) float64 in (0, 1], ascending: fraction with confidence at least `threshold`.
        selective_risk: (G,) float64 in [0, 1]: error rate among the accepted.
        generalized_risk: (G,) float64 in [0, 1]: accepted errors over all samples, selective_risk * coverage.
        threshold: (G,) the distinct confidences, descending, in the dtype given.
    """

    coverage: Floats
    selective_risk: Floats
    generalized_risk: Floats
    threshold: Array


def risk_coverage_curve(
    confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> RiskCoverageCurve:
    """Risk-coverage curve with one point per distinct confidence t.

    coverage(t) = n(t) / n and selective risk(t) = errors(t) / n(t), n(t) the samples with confidence at least t.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1, or residuals in [0, 1].
        sample_weight: (N,) non-negative, or None for 1 each.

    Returns:
        The curve, risks lower is better; all arrays are empty for empty input.

    Raises:
        ValueError: non-finite confidence, errors outside [0, 1], lengths that differ.

    References:
        El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, JMLR 2010, section 2.

    Example:
        >>> curve = risk_coverage_curve([0.9, 0.8, 0.8, 0.1], [0, 1, 0, 0])
        >>> curve.coverage.tolist(), curve.generalized_risk.tolist()
        ([0.25, 0.75, 1.0], [0.0, 0.25, 0.25])
    """
    return curve_of(rank_levels(confidence, errors, sample_weight))


def curve_of(levels: Levels) -> RiskCoverageCurve:
    """Risk-coverage curve of confidences already sorted."""
    coverage = np.cumsum(levels.size, dtype=np.float64)
    generalized = np.cumsum(levels.errors, dtype=np.float64)
    selective = generalized / coverage
    total = coverage[-1:].copy()
    # In place: each array is as large as the data.
    return RiskCoverageCurve(
        coverage=np.divide(coverage, total, out=coverage),
        selective_risk=selective,
        generalized_risk=np.divide(generalized, total, out=generalized),
        threshold=levels.threshold,
    )


def aurc(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    convention: Convention = "harmonic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the risk-coverage curve, in one of five published conventions.

    With H the mean of the selective risks R_1..R_n, e = R_n the error rate:

    - "harmonic": H.
    - "paper": H - e / (2n), the trapezoid with R(0) = 0 that the paper's tables use.
    - "fd_shifts": trapezoid over one point per distinct confidence with R(0) = R_1; H + (R_1 - e) / (2n) without ties.
    - "torch_uncertainty": (H - (R_1 + e) / (2n)) / (1 - 1/n); nan for a single sample.
    - "ln": mean of r_j * -ln(j / (n + 1)).

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1, or residuals in [0, 1].
        convention: which of the above.
        sample_weight: (N,) non-negative; 2 counts as two copies.

    Returns:
        Area as a fraction, lower is better; nan with a warning for no samples.

    Raises:
        ValueError: unknown convention, or bad `confidence`, `errors` or `sample_weight`.

    References:
        Geifman, Uziel and El-Yaniv, ICLR 2019 (AURC); Zhou et al., A Novel Characterization of the Population AURC,
        ICML 2025, section 4 ("harmonic", "ln"); Traub et al., NeurIPS 2024 ("fd_shifts").

    Example:
        >>> round(aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.3333
        >>> round(aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], convention="paper"), 4)
        0.2708
    """
    _check_convention(convention)
    if convention == "fd_shifts":
        levels = rank_levels(confidence, errors, sample_weight)
        return finish(_grouped_aurc(levels), "aurc", levels.error_ranks())
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(aurc_of(ranks, convention), "aurc", ranks)


def aurc_conventions(
    confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> dict[Convention, float]:
    """AURC in every convention of `aurc`, from one sort: "paper" = "harmonic" - error / (2n), and so on.

    Arguments and errors raised as `aurc`.

    Returns:
        Convention -> area as a fraction, lower is better; nan with a warning where undefined.

    References:
        Those of `aurc`.

    Example:
        >>> {name: round(area, 3) for name, area in aurc_conventions([4, 3, 2, 1], [0, 1, 0, 1]).items()}
        {'harmonic': 0.333, 'paper': 0.271, 'fd_shifts': 0.271, 'torch_uncertainty': 0.361, 'ln': 0.285}
    """
    levels = rank_levels(confidence, errors, sample_weight)
    ranks = levels.error_ranks()
    areas = {name: _grouped_aurc(levels) if name == "fd_shifts" else aurc_of(ranks, name) for name in CONVENTIONS}
    return {name: finish(area, f"aurc ({name})", ranks) for name, area in areas.items()}


def optimal_aurc(
    errors: ArrayLike, *, convention: Convention = "harmonic", sample_weight: ArrayLike | None = None
) -> float:
    """AURC of the best possible confidence for these errors: every correct sample before every error.

    With E errors among n samples, "harmonic" = (1/n) sum_(k > n - E) (k - n + E) / k. For 0/1 errors "fd_shifts" means
    the large-sample formula e + (1 - e) ln(1 - e), e = E / n; for continuous residuals the trapezoid of the perfect
    ranking. Arguments and errors raised as `aurc`.

    Returns:
        Area as a fraction, the least that `aurc` can be: lower is better; nan with a warning for no samples.

    References:
        Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation, ICLR 2019, section 3.

    Example:
        >>> round(optimal_aurc([0, 1, 0, 1]), 4)
        0.2083
    """
    confidence = np.zeros(len(as_errors(errors)))
    ranks, _, optimum = _area_and_optimum(confidence, errors, convention, sample_weight)
    return finish(optimum, "optimal_aurc", ranks)


def eaurc(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    convention: Convention = "harmonic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Excess AURC = `aurc` - `optimal_aurc`, the AURC of the best possible confidence for the same errors.

    "harmonic" and "paper" give the same number. In "fd_shifts" the optimum for 0/1 errors is e + (1 - e) ln(1 - e),
    so small samples can be slightly negative. Arguments and errors raised as `aurc`.

    Returns:
        Fraction, 0 is ideal, lower is better; nan with a warning for no samples.

    References:
        Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation, ICLR 2019, section 3.

    Example:
        >>> round(eaurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 12)
        0.125
    """
    ranks, area, optimum = _area_and_optimum(confidence, errors, convention, sample_weight)
    return finish(area - optimum, "eaurc", ranks)


def naurc(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    convention: Convention = "harmonic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Normalized AURC = (AURC - optimal AURC) / (error - optimal AURC).

    Arguments and errors raised as `aurc`.

    Returns:
        0 for the best ranking, about 1 for a random one, above 1 possible; lower is better. nan with a warning when
        all are correct, all are wrong, or there are no samples.

    References:
        Cattelan and Silva, How to Fix a Broken Confidence Estimator, UAI 2024, section 3.

    Example:
        >>> round(naurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.4286
    """
    ranks, area, optimum = _area_and_optimum(confidence, errors, convention, sample_weight)
    return finish(normalized_aurc(ranks, area, optimum), "naurc", ranks)


def augrc(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    convention: Literal["trapezoid", "torch_uncertainty"] = "trapezoid",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the generalized-risk-coverage curve.

    Trapezoid of coverage * selective risk over coverage, from (0, 0); with acc the accuracy
    AUGRC = (1 - failure_auroc) * acc * (1 - acc) + (1 - acc)^2 / 2 exactly, ties included. The SELE loss of Franc
    et al. (JMLR 2023) is AUGRC + error / (2n). Other arguments and errors raised as `aurc`.

    Args:
        convention: "trapezoid" (fd-shifts); "torch_uncertainty" leaves out coverages below 1/n and divides by 1 - 1/n.

    Returns:
        Fraction in [0, 1/2], lower is better; nan with a warning for no samples.

    References:
        Traub et al., Overcoming Common Flaws in the Evaluation of Selective Classification Systems,
        NeurIPS 2024, eq. 7.

    Example:
        >>> augrc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        0.1875
    """
    if convention not in ("trapezoid", "torch_uncertainty"):
        raise ValueError(f"convention must be trapezoid or torch_uncertainty, got {convention!r}")
    ranks = rank_errors(confidence, errors, sample_weight)
    area, n = float(ranks.augrc()), float(ranks.total)
    if convention == "torch_uncertainty":
        area = (area - ranks.first_risk() / (2 * n**2)) / (1 - 1 / n) if n > 1 else math.nan
    return finish(area, "augrc", ranks)


def eaugrc(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Excess AUGRC = AUGRC minus that of the best possible confidence, error^2 / 2 for 0/1 errors.

    Arguments and errors raised as `aurc`.

    Returns:
        Fraction, 0 is ideal, lower is better; nan with a warning for no samples.

    References:
        Traub et al., NeurIPS 2024, eq. 7, less its optimum, as Geifman, Uziel and El-Yaniv (ICLR 2019) do for AURC.

    Example:
        >>> eaugrc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        0.0625
    """
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(ranks.augrc() - ranks.ideal.augrc(), "eaugrc", ranks)


def partial_aurc(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    coverage: tuple[float, float] = (0.0, 1.0),
    sample_weight: ArrayLike | None = None,
) -> float:
    """Integral of the selective risk over a range of coverage, not divided by the width of the range.

    The accepted errors E(c) are linear between curve points, so R(c) = E(c) / c is a hyperbola, integrated exactly: per
    piece, slope * (c2 - c1) + intercept * ln(c2 / c1). Over (0, 1) within O(1/n) of `aurc`. Other arguments as `aurc`.

    Args:
        coverage: lower and upper limit, 0 <= lower < upper <= 1.

    Returns:
        Area as a fraction, lower is better; nan with a warning for no samples.

    Raises:
        ValueError: limits out of order or range, or bad data.

    References:
        Traub et al., NeurIPS 2024, appendix A.1 (non-linear interpolation).

    Example:
        >>> round(partial_aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], coverage=(0.25, 0.5)), 4)
        0.0767
    """
    low, high = (as_fraction(limit, "coverage") for limit in coverage)
    if not low < high:
        raise ValueError(f"coverage must be (lower, upper) with lower < upper, got {coverage}")
    ranks = rank_errors(confidence, errors, sample_weight)
    if not ranks.total:
        return finish(math.nan, "partial_aurc", ranks)
    return _risk_integral(*ranks.knots(), low, high)


def achievable_aurc(confidence: ArrayLike, errors: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """AURC of the best threshold rules, without thresholds that a mixture of two others beats.

    The accepted errors E(c) are replaced by their lower convex hull, reached by mixing two thresholds at random, and
    R(c) = E(c) / c is integrated exactly. The hull comes from isotonic regression of the errors on the rank; continuous
    residuals have none, as in fd-shifts, and every point counts. Arguments and errors raised as `aurc`.

    Returns:
        Area as a fraction, at most `partial_aurc` over (0, 1), lower is better; nan with a warning for no samples.

    References:
        Traub et al., NeurIPS 2024, appendix A.1.

    Example:
        >>> round(achievable_aurc([4, 3, 2, 1], [1, 0, 0, 0]), 4)
        0.25
    """
    levels = rank_levels(confidence, errors, sample_weight)
    if not len(levels.size):
        return finish(math.nan, "achievable_aurc", levels.error_ranks())
    corners = levels.lower_hull() if levels.binary else levels.error_ranks().knots()
    return _risk_integral(*corners, 0.0, 1.0)


def _check_convention(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")


def _area_and_optimum(
    confidence: ArrayLike, errors: ArrayLike, convention: Convention, sample_weight: ArrayLike | None
) -> tuple[ErrorRanks, float, float]:
    """Ranks of the errors, their AURC and that of the best possible confidence."""
    _check_convention(convention)
    levels = rank_levels(confidence, errors, sample_weight)
    ranks = levels.error_ranks(rank_oracle(errors, sample_weight))
    if convention != "fd_shifts":
        return ranks, aurc_of(ranks, convention), aurc_of(ranks.ideal, convention)
    if ranks.oracle is not None:
        residuals = as_errors(errors)
        return ranks, _grouped_aurc(levels), _grouped_aurc(rank_levels(-residuals, residuals, sample_weight))
    error = float(ranks.error)  # nan without samples
    return ranks, _grouped_aurc(levels), 1.0 if error >= 1 else error + (1 - error) * math.log1p(-error)


def aurc_of(ranks: ErrorRanks, convention: Convention) -> Any:  # noqa: ANN401
    """AURC of ranks in any convention but "fd_shifts", which needs the groups without errors too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.true_divide(0.5, ranks.total)
        if convention == "harmonic":
            return ranks.aurc
        if convention == "paper":
            return ranks.aurc - ranks.error * half
        if convention == "torch_uncertainty":
            ends = (ranks.first_risk() + ranks.error) * half
            return (ranks.aurc - ends) / (1 - 2 * half) if ranks.total > 1 else math.nan
        return ranks.ln_aurc()


def normalized_aurc(ranks: ErrorRanks, area: Any, optimum: Any) -> Any:  # noqa: ANN401
    """(area - optimum) / (error - optimum), nan where all are correct or all are wrong."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding must not turn 0 / 0 into a number.
        certain = (ranks.error_count == 0) | (ranks.correct_count == 0)
        return np.where(certain, np.nan, np.true_divide(area - optimum, ranks.error - optimum))[()]


def _grouped_aurc(levels: Levels) -> float:
    """Trapezoid over one point per distinct confidence, the first risk extended to coverage 0."""
    if not len(levels.size):
        return math.nan
    accepted = levels.accepted.astype(np.float64)
    risk = levels.accepted_errors / accepted
    area = risk[0] * accepted[0] + np.sum((risk[1:] + risk[:-1]) * np.diff(accepted)) / 2
    return float(area / accepted[-1])


def _risk_integral(accepted: Floats, held: Floats, low: float, high: float) -> float:
    """Integral over coverage in [low, high] of held / accepted, both linear between the given corners from (0, 0)."""
    keep = np.concatenate([[True], np.diff(accepted) > 0])
    coverage, held = accepted[keep] / accepted[-1], held[keep] / accepted[-1]
    slope = np.diff(held) / np.diff(coverage)
    intercept = held[:-1] - slope * coverage[:-1]
    left, right = np.clip(coverage[:-1], low, high), np.clip(coverage[1:], low, high)
    inside = right > left
    slope, intercept, left, right = slope[inside], intercept[inside], left[inside], right[inside]
    # The first piece starts at (0, 0), where the intercept is 0 and the logarithm would not be finite.
    logs = np.log1p((right - left) / np.where(left > 0, left, 1))
    return float(np.sum(slope * (right - left) + intercept * logs))
