r"""Thresholds with a guaranteed true selective risk, from independent labelled samples without further assumptions.

**Procedure.** Sort the n samples by confidence. For k accepted samples with S errors, p(k) = P(Binomial(k, risk) <= S)
is the exact binomial (Clopper-Pearson) p-value of "the risk exceeds the target". A chain starts at a rank k0 fixed
before seeing the data, tests p at the first tie-group end at or after k0 with k0 - 1 trials in place of k (all S
errors kept), walks down the confidences one tie group at a time, and stops before the first p > level. The starts are
k0 = n, n/2, n/4, ...; each chain has its share of `delta`, fixed by n alone, and the chain that accepts most wins.

**Claim.** With probability at least 1 - delta no returned threshold t has R(t) = P(error | confidence >= t) > risk,
whatever the joint distribution of confidence and error: no monotone risk, no continuity.

**Proof.** By a union bound over chains it is enough to treat one chain at its level. Break ties by independent uniform
numbers, so that positions in the extended order are continuous, and let D(t) = E[(error - risk) 1{position above t}]: a
continuous function, 0 at the top, and t is bad when D(t) > 0. The bad set is a union of intervals; call their upper
ends entries b_1 > b_2 > ... and their lower ends exits (finitely many; otherwise apply the proof to the finitely many
bad intervals longer than some length and let it shrink: the events grow to the one claimed). D is 0 at every entry and
exit, so between two consecutive ones the error probability averages exactly `risk`. These points are fixed numbers, not
data. Condition on how many samples fall between them: the samples of each piece are then independent draws of that
piece, and the errors above entry b are Binomial(N(b), risk), with N(b) the samples above b. This is where conditioning
on the number of acceptances makes the binomial exact although that number is random.

1. *The start is good.* Let b be the first entry with N(b) >= k0, a choice made by the counts alone. To certify any bad
threshold the chain must first pass its test of the samples above b or, when b lies inside a tie, above that tie's end:
the rest of the tie, entered at b, has an error probability above `risk`, so in both cases the errors are stochastically
at least Binomial(k, risk), and the test passes with probability at most the level.

2. *The start is bad*: N(b) < k0 for the entry b of the bad interval that holds the k0-th sample. Condition on that
sample's position s too. The N(b) samples above b have errors Binomial(N(b), risk); the other samples above s are
independent draws between s and b, where the error probability averages more than `risk` since D(b) = 0 < D(s). So the
errors among the first k0 - 1 are stochastically at least Binomial(k0 - 1, risk), later ones only add, and the start
passes with probability at most the level. Only this start test needs the one trial less: s was chosen by its rank.

The cases are told apart by the counts, so the total is at most the level.

Testing all ranks at once by a Bonferroni correction, as SGR does over its binary search, is valid too when its ranks
are fixed, but pays for every rank; the chain pays only for its start. The walk stops at the first failure, so a chain
cannot cross a region of bad thresholds; the smaller starts cover confidences that are good only near the top.

References: Geifman and El-Yaniv, NeurIPS 2017 (SGR); Angelopoulos et al., Learn then Test, 2021 (fixed-sequence
testing); Clopper and Pearson, Biometrika 1934.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincinv

from unsmooth.metrics.inputs import as_binary_errors, as_fraction
from unsmooth.metrics.ranking import Levels, rank_levels

# Shares of delta for the starts n, n/2, n/4, ...; later ones get the last. The middle ones pass most often.
_SHARES = (0.3, 0.3, 6.0, 3.0, 0.3, 1.0, 0.1)
_BLOCK = 65_536


@dataclass(frozen=True)
class CertifiedThreshold:
    """A threshold with a guaranteed selective risk; accepts confidence >= threshold.

    Attributes:
        threshold: inf when infeasible: nothing is accepted.
        coverage: fraction of the calibration samples accepted, in [0, 1].
        empirical_risk: error rate among them; nan when infeasible.
        bound: Clopper-Pearson upper limit of the risk at the winning chain's level, at most `risk`; nan if infeasible.
        n: calibration samples.
        accepted: calibration samples accepted.
        risk: the target.
        delta: allowed probability that the true risk exceeds the target.
        feasible: whether any threshold could be certified.
    """

    threshold: float
    coverage: float
    empirical_risk: float
    bound: float
    n: int
    accepted: int
    risk: float
    delta: float
    feasible: bool


def certified_threshold(
    confidence: ArrayLike, errors: ArrayLike, *, risk: float, delta: float = 0.05
) -> CertifiedThreshold:
    """Threshold whose true selective risk is at most `risk` with probability at least 1 - `delta` over the data drawn.

    P(R(threshold) <= risk) >= 1 - delta, R(t) = P(error | confidence >= t). Exact binomial tests in fixed sequence from
    several starts; procedure and proof are at the top of this module. The samples must be independent draws of the
    target population, and must not have trained or tuned the confidence. There are no sample weights: the number of
    errors among k weighted samples is not binomial, so the guarantee would be lost.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1.
        risk: target selective risk, in (0, 1).
        delta: probability of failure allowed, in (0, 1).

    Returns:
        The threshold that accepts most (more coverage is better), or an infeasible result (threshold inf, coverage 0):
        too few samples, or too many errors among the most confident.

    Raises:
        ValueError: risk or delta outside (0, 1), errors not 0/1, or bad data.

    References:
        Geifman and El-Yaniv, NeurIPS 2017; Angelopoulos et al., Learn then Test, 2021, section 3.

    Example:
        >>> import numpy as np
        >>> result = certified_threshold(np.arange(1000.0), np.arange(1000) < 100, risk=0.05, delta=0.05)
        >>> result.feasible, result.empirical_risk < result.bound <= 0.05
        (True, True)
        >>> certified_threshold([0.9, 0.8], [0, 0], risk=0.05, delta=0.05).feasible
        False
    """
    risk = as_fraction(risk, "risk", open_low=True, open_high=True)
    delta = as_fraction(delta, "delta", open_low=True, open_high=True)
    levels = rank_levels(confidence, as_binary_errors(errors))
    n = int(levels.accepted[-1]) if len(levels.size) else 0
    best, best_level = -1, math.nan
    for start, level in _chains(n, delta):
        last = _walk(levels, start, risk, level)
        if last > best:
            best, best_level = last, level
    if best < 0:
        return CertifiedThreshold(math.inf, 0.0, math.nan, math.nan, n, 0, risk, delta, False)
    accepted, failed = int(levels.accepted[best]), int(levels.accepted_errors[best])
    bound = float(betaincinv(failed + 1, accepted - failed, 1 - best_level))  # a passed test has failed < accepted
    threshold = float(levels.threshold[best])
    return CertifiedThreshold(threshold, accepted / n, failed / accepted, bound, n, accepted, risk, delta, True)


def _chains(n: int, delta: float) -> list[tuple[int, float]]:
    """Start ranks n, n/2, n/4, ... down to 2, and their levels, which add up to delta."""
    count = max(0, n.bit_length() - 1)
    shares = np.array([_SHARES[min(step, len(_SHARES) - 1)] for step in range(count)])
    return [(-(-n // 2**step), delta * float(share / shares.sum())) for step, share in enumerate(shares)]


def _walk(levels: Levels, start: int, risk: float, level: float) -> int:
    """Index of the last tie group a chain certifies, -1 for none."""
    first = int(np.searchsorted(levels.accepted, start))
    if not _binomial_cdf(levels.accepted_errors[first], start - 1, risk) <= level:
        return -1
    for low in range(first + 1, len(levels.size), _BLOCK):
        block = slice(low, low + _BLOCK)
        passed = _binomial_cdf(levels.accepted_errors[block], levels.accepted[block], risk) <= level
        if not passed.all():
            return low + int(np.argmin(passed)) - 1
    return len(levels.size) - 1


def _binomial_cdf(failed: Any, accepted: Any, risk: float) -> Any:  # noqa: ANN401
    """P(Binomial(accepted, risk) <= failed), as an incomplete beta function."""
    return np.where(failed < accepted, betainc(np.maximum(accepted - failed, 1), failed + 1, 1 - risk), 1.0)
