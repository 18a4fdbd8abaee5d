"""Every score on the test rows, under the same resamples, and its change against MSP."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.diagnosis.parts import Samples
from unsmooth.diagnosis.result import ScoreResult
from unsmooth.metrics import Interval, aurc, bootstrap_replicates, holm
from unsmooth.metrics.intervals import p_value
from unsmooth.registry.scores import score_label
from unsmooth.scores import DEFAULT_PS, SCORES, FittedScore, pnorm_name, score_all

Floats = NDArray[np.floating[Any]]
Steps = Callable[[str], None]

_FINITE_PS = tuple(p for p in DEFAULT_PS if p < math.inf)


@dataclass(frozen=True)
class Comparison:
    """All scores on the test rows, under the same resamples."""

    scored: Mapping[str, Floats]
    errors: NDArray[np.bool_]
    replicated: Mapping[str, Mapping[str, Floats]]
    target_risk: float

    def aurc(self, score: str) -> Interval:
        return interval(aurc(self.scored[score], self.errors), self.replicated[score]["aurc"])

    @property
    def aurc_by_p(self) -> dict[float, float]:
        return {p: aurc(self.scored[pnorm_name(p)], self.errors) for p in _FINITE_PS}

    def results(self, fitted: Mapping[str, FittedScore]) -> tuple[ScoreResult, ...]:
        areas = {score: aurc(self.scored[score], self.errors) for score in self.replicated}
        baseline = self.replicated["msp"]["aurc"]
        changes = {
            score: difference(areas[score] - areas["msp"], self.replicated[score]["aurc"] - baseline) for score in areas
        }
        compared = [score for score in areas if score != "msp"]
        adjusted = dict(zip(compared, holm([changes[score].p_value or 1.0 for score in compared]), strict=True))
        unfitted = {name: values for name, values in self.scored.items() if name.endswith(":before")}
        before = {name.removesuffix(":before"): aurc(values, self.errors) for name, values in unfitted.items()}
        before |= {score: areas["msp"] for score in fitted if score.startswith("msp_temperature")}
        return tuple(
            ScoreResult(
                score,
                before.get(score),
                areas[score],
                changes[score],
                float(adjusted.get(score, 1.0)),
                fitted[score].params if score in fitted else {},
                fitted[score].reason if score in fitted else None,
            )
            for score in areas
        )


def compare(
    test: Samples, fitted: Mapping[str, FittedScore], target_risk: float, seed: int, replicates: int, steps: Steps
) -> Comparison:
    """Score the test rows and resample them; ``steps`` is called with the name of each step."""
    with_default = [score for score in fitted if score in SCORES and SCORES[score].has_default]
    unfitted = {f"{score}:before": FittedScore(score, dict(SCORES[score].defaults)) for score in with_default}
    scored = score_all(test.logits, scores=dict(fitted) | unfitted, ps=_FINITE_PS)
    errors, confidences = scored.predictions != test.targets, {**scored, **test.others}
    replicated = {}
    for score in (*fitted, *test.others):
        steps(f"bootstrap of {score_label(score)}")
        drawn = bootstrap_replicates(
            confidences[score],
            errors,
            metrics=["error", "aurc", f"coverage_at_risk_{100 * target_risk:.10g}"],
            replicates=replicates,
            seed=seed,
            risks=(target_risk,),
            coverages=(),
        )
        replicated[score] = dict(zip(("error", "aurc", "coverage"), drawn.values(), strict=True))
    return Comparison(confidences, errors, replicated, target_risk)


def interval(point: float, replicates: Floats) -> Interval:
    """Percentile interval, as `unsmooth.metrics.bootstrap` defines it."""
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Interval(point, float(low), float(high))


def difference(point: float, replicates: Floats) -> Interval:
    """Percentile interval and two-sided p-value, as `unsmooth.metrics.paired_bootstrap` defines them."""
    return replace(interval(point, replicates), p_value=p_value(replicates))
