"""Every selective metric of one confidence from one sort, by name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any

from numpy.typing import ArrayLike

from unsmooth.metrics.inputs import as_fraction, warn_undefined
from unsmooth.metrics.ranking import ErrorRanks, rank_errors, rank_levels, rank_oracle, undefined_reason
from unsmooth.metrics.selective import RiskCoverageCurve, aurc_of, curve_of, normalized_aurc


def selective_metrics(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    risks: Sequence[float] = (0.01, 0.05),
    coverages: Sequence[float] = (0.1, 0.2, 0.5, 0.8),
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """Every selective metric of one confidence, from one sort: `aurc` = the function `aurc`, and so on.

    Other arguments and errors raised as `aurc`.

    Args:
        risks: target risks in [0, 1], one `coverage_at_risk_P` each (P in percent: 0.025 gives `coverage_at_risk_2.5`).
        coverages: coverages in (0, 1], one `risk_at_coverage_P` each.

    Returns:
        `error, aurc, aurc_paper, eaurc, naurc, augrc, failure_auroc, failure_fpr95` and operating points, fractions;
        higher is better for `failure_auroc` and `coverage_at_risk_P`, else lower. One warning names those that are nan.

    References:
        Those of the single functions.

    Example:
        >>> values = selective_metrics([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], risks=(0.35,), coverages=(0.5,))
        >>> values["failure_auroc"], values["coverage_at_risk_35"], values["risk_at_coverage_50"]
        (0.75, 0.75, 0.5)
    """
    return _values(rank_errors(confidence, errors, sample_weight), risks, coverages)


@dataclass(frozen=True)
class SelectiveSummary:
    """Selective metrics and the curve they belong to.

    Attributes:
        metrics: name -> value, exactly as `selective_metrics` returns them.
        curve: one point per distinct confidence, exactly as `risk_coverage_curve` returns it.
    """

    metrics: dict[str, float]
    curve: RiskCoverageCurve


def selective_summary(
    confidence: ArrayLike,
    errors: ArrayLike,
    *,
    risks: Sequence[float] = (0.01, 0.05),
    coverages: Sequence[float] = (0.1, 0.2, 0.5, 0.8),
    sample_weight: ArrayLike | None = None,
) -> SelectiveSummary:
    """Every selective metric of one confidence and its risk-coverage curve, from one sort without an index array.

    metrics = `selective_metrics` and curve = `risk_coverage_curve` of the same data; `selective_metrics` alone needs
    less time and memory. Arguments and errors raised as `selective_metrics`.

    Returns:
        Metrics and curve; risks, lower is better.

    References:
        Those of the single functions.

    Example:
        >>> summary = selective_summary([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        >>> summary.metrics["augrc"], summary.curve.generalized_risk.tolist()
        (0.1875, [0.0, 0.25, 0.25, 0.5])
    """
    levels = rank_levels(confidence, errors, sample_weight)
    # The ranks of many errors are large; they are freed before the curve is made.
    values = _values(levels.error_ranks(rank_oracle(errors, sample_weight)), risks, coverages)
    return SelectiveSummary(values, curve_of(levels))


def _values(ranks: ErrorRanks, risks: Sequence[float], coverages: Sequence[float]) -> dict[str, float]:
    values = {name: float(metric(ranks)) for name, metric in metric_functions(risks, coverages).items()}
    undefined = [name for name, value in values.items() if math.isnan(value)]
    if undefined:
        warn_undefined(", ".join(undefined), undefined_reason(ranks))
    return values


def metric_functions(risks: Sequence[float], coverages: Sequence[float]) -> dict[str, Callable[[ErrorRanks], Any]]:
    """Names and functions of the metrics of `selective_metrics`; each takes ranks of any batch shape."""
    functions: dict[str, Callable[[ErrorRanks], Any]] = {
        "error": attrgetter("error"),
        "aurc": attrgetter("aurc"),
        "aurc_paper": lambda ranks: aurc_of(ranks, "paper"),
        "eaurc": lambda ranks: ranks.aurc - ranks.ideal.aurc,
        "naurc": lambda ranks: normalized_aurc(ranks, ranks.aurc, ranks.ideal.aurc),
        "augrc": methodcaller("augrc"),
        "failure_auroc": methodcaller("auroc"),
        "failure_fpr95": methodcaller("fpr_at_tpr", 0.95),
    }
    for risk in risks:
        target = as_fraction(risk, "risks")
        functions[f"coverage_at_risk_{_percent(risk)}"] = methodcaller("coverage_at_risk", target)
    return functions | risk_functions(coverages)


def risk_functions(coverages: Sequence[float]) -> dict[str, Callable[[ErrorRanks], Any]]:
    """Names and functions of the risks at `coverages`; each takes ranks of any batch shape."""
    return {
        f"risk_at_coverage_{_percent(coverage)}": methodcaller(
            "risk_at_coverage", as_fraction(coverage, "coverages", open_low=True)
        )
        for coverage in coverages
    }


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.10g}"
