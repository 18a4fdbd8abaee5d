"""Every selective metric of one confidence from one sort, by name."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_fraction, warn_undefined
from unsmooth.metrics.ranking import ErrorRanks, rank_errors, undefined_reason
from unsmooth.metrics.selective import aurc_of, normalized_aurc


def selective_metrics(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    risks: Sequence[float] = (0.01, 0.05),
    coverages: Sequence[float] = (0.1, 0.2, 0.5, 0.8),
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """Every selective metric of one confidence, from one sort.

    Args:
        confidence: (N,) finite scores, larger = more trusted.
        errors: (N,) bool or 0/1, or residuals in [0, 1].
        risks: target risks in [0, 1], one `coverage_at_risk_P` each (P in percent: 0.025 gives `coverage_at_risk_2.5`).
        coverages: coverages in (0, 1], one `risk_at_coverage_P` each.
        sample_weight: (N,) non-negative.

    Returns:
        `error, aurc, aurc_paper, eaurc, naurc, augrc, failure_auroc, failure_fpr95` and the operating points, as
        fractions. Undefined ones are nan, named in one warning.

    Raises:
        ValueError: as the single functions.

    Example:
        >>> values = selective_metrics([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], risks=(0.35,), coverages=(0.5,))
        >>> values["failure_auroc"], values["coverage_at_risk_35"], values["risk_at_coverage_50"]
        (0.75, 0.75, 0.5)
    """
    ranks = rank_errors(confidence, errors, sample_weight)
    values = {name: float(metric(ranks)) for name, metric in metric_functions(risks, coverages).items()}
    undefined = [name for name, value in values.items() if math.isnan(value)]
    if undefined:
        warn_undefined(", ".join(undefined), undefined_reason(ranks))
    return values


def metric_functions(risks: Sequence[float], coverages: Sequence[float]) -> dict[str, Callable[[ErrorRanks], Any]]:
    """Names and functions of the metrics of `selective_metrics`; each takes ranks of any batch shape."""
    functions: dict[str, Callable[[ErrorRanks], Any]] = {
        "error": lambda ranks: ranks.error,
        "aurc": lambda ranks: ranks.aurc,
        "aurc_paper": lambda ranks: aurc_of(ranks, "paper"),
        "eaurc": lambda ranks: ranks.aurc - ranks.ideal.aurc,
        "naurc": lambda ranks: normalized_aurc(ranks, ranks.aurc, ranks.ideal.aurc),
        "augrc": lambda ranks: ranks.augrc(),
        "failure_auroc": lambda ranks: ranks.auroc(),
        "failure_fpr95": lambda ranks: ranks.fpr_at_tpr(0.95),
    }
    for risk in risks:
        target = as_fraction(risk, "risks")
        functions[f"coverage_at_risk_{_percent(risk)}"] = partial(_coverage_at_risk, risk=target)
    for coverage in coverages:
        target = as_fraction(coverage, "coverages", open_low=True)
        name = f"risk_at_coverage_{_percent(coverage)}"
        functions[name] = partial(_risk_at_coverage, coverage=target)
    return functions


def _coverage_at_risk(ranks: ErrorRanks, *, risk: float) -> Any:  # noqa: ANN401
    return ranks.coverage_at_risk(risk)


def _risk_at_coverage(ranks: ErrorRanks, *, coverage: float) -> Any:  # noqa: ANN401
    return ranks.risk_at_coverage(coverage)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.10g}"
