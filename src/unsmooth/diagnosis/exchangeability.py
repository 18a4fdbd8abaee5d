"""Do validation and test samples come from one population? A certificate holds for no other test samples.

Two looks at what a shift changes: the error rates, by Fisher's exact test, and the distributions of MSP, by the
two-sample Kolmogorov-Smirnov test. Each is taken at half of the level (Bonferroni), so that exchangeable samples are
called different with a probability of at most 5 %.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.diagnosis.wording import p_text

_LEVEL = 0.05
_LOOKS = 2


@dataclass(frozen=True)
class Exchangeability:
    """Evidence against validation and test samples being draws of one population.

    Attributes:
        val_error: error rate of the validation samples, in [0, 1].
        test_error: error rate of the test samples.
        error_p: p-value of their difference.
        confidence_distance: largest distance between the distribution functions of MSP, in [0, 1].
        confidence_p: its p-value.
        level: probability of calling exchangeable samples different, over both looks.
    """

    val_error: float
    test_error: float
    error_p: float
    confidence_distance: float
    confidence_p: float
    level: float = _LEVEL

    @property
    def differs(self) -> bool:
        """Whether either p-value is at most half of the level."""
        return min(self.error_p, self.confidence_p) <= self.level / _LOOKS

    @property
    def reason(self) -> str:
        """Both comparisons in one sentence."""
        verdict = "differ beyond chance" if self.differs else "agree"
        return (
            f"Validation and test samples {verdict}: error rates {100 * self.val_error:.2f} % and "
            f"{100 * self.test_error:.2f} % (p {p_text(self.error_p)}), distributions of MSP at most "
            f"{100 * self.confidence_distance:.1f} points apart (p {p_text(self.confidence_p)}); each p is compared "
            f"with {self.level / _LOOKS:g}."
        )


def check_exchangeability(
    val_confidence: NDArray[np.floating[Any]],
    val_errors: NDArray[np.bool_],
    test_confidence: NDArray[np.floating[Any]],
    test_errors: NDArray[np.bool_],
) -> Exchangeability:
    """Compare MSP and errors of (M,) validation and (N,) test samples of one classifier; see the top of this module.

    Example:
        >>> confidence = np.linspace(0, 1, 200)
        >>> check_exchangeability(confidence, confidence < 0.1, confidence + 0.5, confidence < 0.4).differs
        True
    """
    from scipy.stats import fisher_exact, ks_2samp  # half a second of start-up, for these alone

    table = [[int(errors.sum()), int((~errors).sum())] for errors in (val_errors, test_errors)]
    distance = ks_2samp(val_confidence, test_confidence, method="asymp")
    return Exchangeability(
        val_error=float(val_errors.mean()),
        test_error=float(test_errors.mean()),
        error_p=float(fisher_exact(table).pvalue),
        confidence_distance=float(distance.statistic),
        confidence_p=float(distance.pvalue),
    )
