"""Operating points: coverage and risk of one threshold, and their gap to a perfect ranking.

A threshold cannot split a tie: `coverage_at_risk` and `sac` accept it whole or not at all, `risk_at_coverage` and the
selective gap, which fix the number of accepted samples, take the expectation over random orders of the tie they cut.
Other arguments and errors raised are those of `aurc`; a parameter out of range raises ValueError too.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_fraction
from unsmooth.metrics.ranking import ErrorRanks, finish, first_position, rank_errors, rank_levels


def coverage_at_risk(
    confidence: ArrayLike, errors: ArrayLike, *, risk: float, sample_weight: ArrayLike | None = None
) -> float:
    """Largest coverage of a threshold whose selective risk is at most `risk`.

    max over thresholds t of n(t) / n with errors(t) / n(t) <= risk. All thresholds are scanned: the risk need not grow
    with coverage. Other arguments as `aurc`.

    Args:
        risk: target selective risk in [0, 1].

    Returns:
        Coverage in [0, 1], higher is better; 0 when no threshold qualifies; nan with a warning for no samples.

    References:
        Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017.

    Example:
        >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0], risk=0.25)
        1.0
    """
    target = as_fraction(risk, "risk")
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(ranks.coverage_at_risk(target), "coverage_at_risk", ranks)


def sac(confidence: ArrayLike, errors: ArrayLike, *, accuracy: float, sample_weight: ArrayLike | None = None) -> float:
    """Selective accuracy constraint: largest coverage of a threshold with selective accuracy at least `accuracy`.

    SAC = max over thresholds t of n(t) / n with 1 - errors(t) / n(t) >= accuracy. Other arguments as `aurc`.

    Args:
        accuracy: required accuracy among the accepted, in [0, 1].

    Returns:
        Coverage in [0, 1], higher is better; 0 when no threshold qualifies; nan with a warning for no samples.

    References:
        Galil, Dabbah and El-Yaniv, ICLR 2023; Cattelan and Silva, UAI 2024, appendix.

    Example:
        >>> sac([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], accuracy=0.6)
        0.75
    """
    target = as_fraction(accuracy, "accuracy")
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(ranks.coverage_at_accuracy(target), "sac", ranks)


def risk_at_coverage(
    confidence: ArrayLike, errors: ArrayLike, *, coverage: float, sample_weight: ArrayLike | None = None
) -> float:
    """Selective risk of the k = ceil(n * coverage) most confident samples, (1/k) sum_(j <= k) r_j.

    The accepted part of a tie holds the tie's mean error. Other arguments as `aurc`.

    Args:
        coverage: in (0, 1].
        sample_weight: (N,) non-negative; with fractional weights the weight accepted is exactly total * coverage.

    Returns:
        Risk in [0, 1], lower is better; nan with a warning for no samples.

    References:
        Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017, section 2.

    Example:
        >>> risk_at_coverage([0.9, 0.8, 0.8, 0.6], [0, 1, 0, 0], coverage=0.5)  # half an error among two
        0.25
    """
    target = as_fraction(coverage, "coverage", open_low=True)
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(ranks.risk_at_coverage(target), "risk_at_coverage", ranks)


def selective_gap(
    confidence: ArrayLike, errors: ArrayLike, *, coverage: float, sample_weight: ArrayLike | None = None
) -> float:
    """Selective-classification gap: how far the accuracy at a coverage is below that of a perfect ranking.

    gap(c) = min(1, a / c) - (1 - R(c)), a the accuracy at full coverage, R(c) as in `risk_at_coverage`. For 0/1
    errors its mean over all n coverages is `eaurc`. Other arguments as `aurc`.

    Args:
        coverage: in (0, 1].

    Returns:
        Gap in [0, 1], lower is better, 0 is a perfect ranking; nan with a warning for no samples.

    References:
        Rabanser and Papernot, What Does It Take to Build a Performant Selective Classifier?, NeurIPS 2025, section 3.

    Example:
        >>> selective_gap([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], coverage=0.5)
        0.5
    """
    target = as_fraction(coverage, "coverage", open_low=True)
    ranks = rank_errors(confidence, errors, sample_weight)
    return finish(_gap(ranks, target), "selective_gap", ranks)


@dataclass(frozen=True)
class GapTerms:
    """The selective gap at one coverage, in the parts that a risk-coverage curve identifies.

    Attributes:
        coverage: the coverage asked for.
        gap: the whole gap, `threshold_choice + ranking`.
        threshold_choice: selective risk minus the risk of the lower convex hull of the accepted errors; mixing two
            thresholds removes it without a new score.
        ranking: hull risk minus the perfect ranking's risk. It holds the paper's Bayes, approximation and ranking terms
            together: separating them needs the true class posteriors, which no curve contains.
        statistical: sqrt(ln(2 / delta) / (2 n c)), the Hoeffding half-width of R(c): the paper's statistical term as a
            bound on the sampling noise of `gap`, not part of the sum.
    """

    coverage: float
    gap: float
    threshold_choice: float
    ranking: float
    statistical: float


def selective_gap_terms(confidence: ArrayLike, errors: ArrayLike, *, coverage: float, delta: float = 0.05) -> GapTerms:
    """Split the selective gap at one coverage: gap = threshold choice + ranking, which the curve identifies.

    Of the five terms of the paper (Bayes noise, approximation, ranking, statistical, slack) only the statistical one is
    computable from confidences and errors alone; slack (shift, optimisation) is not. Other arguments as `aurc`.

    Args:
        coverage: in (0, 1].
        delta: probability in (0, 1) that the bound of the statistical term fails; it counts samples, not weights.

    Returns:
        The terms, fractions, lower is better; all nan with a warning for no samples.

    References:
        Rabanser and Papernot, NeurIPS 2025, theorem 1.

    Example:
        >>> terms = selective_gap_terms([4, 3, 2, 1], [1, 0, 0, 0], coverage=0.5)
        >>> terms.gap, terms.threshold_choice, terms.ranking
        (0.5, 0.25, 0.25)
    """
    target = as_fraction(coverage, "coverage", open_low=True)
    delta = as_fraction(delta, "delta", open_low=True, open_high=True)
    levels = rank_levels(confidence, errors)
    ranks = levels.error_ranks()
    gap = finish(_gap(ranks, target), "selective_gap_terms", ranks)
    if math.isnan(gap):
        return GapTerms(target, gap, gap, gap, gap)
    accepted, held = levels.lower_hull()
    position = float(first_position(ranks.total, target))
    choice = float(ranks.risk_at_coverage(target)) - float(np.interp(position, accepted, held)) / position
    return GapTerms(target, gap, choice, gap - choice, math.sqrt(math.log(2 / delta) / (2 * position)))


def _gap(ranks: ErrorRanks, coverage: float) -> float:
    if not ranks.total:
        return math.nan
    position = float(first_position(ranks.total, coverage))
    correct = float(ranks.total - ranks.error_count)
    return float(ranks.risk_at_coverage(coverage)) - max(0.0, (position - correct) / position)
