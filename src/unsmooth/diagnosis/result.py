"""Result of a diagnosis: numbers with their intervals, and everything that a report draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.diagnosis import wording
from unsmooth.diagnosis.exchangeability import Exchangeability
from unsmooth.diagnosis.recommendation import Recommendation
from unsmooth.diagnosis.signature import Signature
from unsmooth.metrics import CertifiedThreshold, Interval
from unsmooth.scores import FittedScore

if TYPE_CHECKING:
    from unsmooth.classifier import SelectiveClassifier

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ScoreResult:
    """One score on the test rows.

    Attributes:
        score: its name.
        before: AURC with the default parameters; None where there are none.
        after: AURC with the parameters fitted on the fit rows; equal to ``before`` where nothing is fitted.
        change: ``after`` minus the AURC of MSP with its paired interval and p-value; below 0 is better.
        adjusted_p: p-value of ``change`` after Holm's correction over all scores; the recommended score alone, chosen
            on other rows, needs none.
        params: parameters in use.
        note: why it fell back to MSP, if it did.
    """

    score: str
    before: float | None
    after: float
    change: Interval
    adjusted_p: float
    params: Mapping[str, Any]
    note: str | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """One score at the target risk.

    Attributes:
        coverage: largest coverage of the test rows at the target risk, with hindsight.
        certificate: threshold certified on the certify rows, on the scale of the score.
        threshold: the same in the unit of ``rule``, such as a probability; nan where infeasible.
        rule: when it accepts a sample, in words.
        certified_coverage: share of the test rows that this threshold accepts.
        certified_risk: error rate among them; nan when it accepts none.
        excess_p: p-value of so many errors among them if their risk were the target; nan when it accepts none.
    """

    coverage: Interval
    certificate: CertifiedThreshold
    threshold: float
    rule: str
    certified_coverage: float
    certified_risk: float
    excess_p: float

    @property
    def exceeds_target(self) -> bool:
        """Whether the accepted test samples err more often than was certified."""
        return self.certified_risk > self.certificate.risk


@dataclass(frozen=True)
class Diagnosis:
    """Result of :func:`unsmooth.diagnosis.diagnose.diagnose`.

    All numbers are fractions of the test rows unless they say otherwise. `no_better_than_chance` says so of the
    predictions; None where they are better, or the rows too few.
    """

    name: str
    num_classes: int
    rows: Mapping[str, int]
    split: str
    from_probabilities: bool
    target_risk: float
    delta: float
    replicates: int
    error: Interval
    aurc: Interval
    no_better_than_chance: str | None
    exchangeability: Exchangeability | None
    signature: Signature
    scores: tuple[ScoreResult, ...]
    left_out: Mapping[str, str]
    aurc_by_p: Mapping[float, float]
    recommended: FittedScore
    recommendation: Recommendation
    repaired_aurc: Interval
    before: OperatingPoint
    after: OperatingPoint
    coverage_gain: Interval
    confidences: Mapping[str, Floats] = field(repr=False)
    max_logits: Floats = field(repr=False)
    lookalike_shares: Mapping[str, float] = field(repr=False)
    errors: NDArray[np.bool_] = field(repr=False)
    certify_confidences: Mapping[str, Floats] = field(repr=False)
    certify_errors: NDArray[np.bool_] = field(repr=False)

    @property
    def classifier(self) -> "SelectiveClassifier":
        """The recommended score with its certified threshold."""
        from unsmooth.classifier import SelectiveClassifier  # scikit-learn takes a second to start

        return SelectiveClassifier.of(
            self.recommended,
            self.after.certificate,
            num_classes=self.num_classes,
            lookalike_shares=self.lookalike_shares,
        )

    @property
    def repaired(self) -> bool:
        """Whether a score other than MSP is recommended."""
        return self.recommended.name != "msp"

    def result(self, score: str) -> ScoreResult:
        """The result of one score; KeyError for an unknown one."""
        return {result.score: result for result in self.scores}[score]

    @property
    def verdict(self) -> str:
        """The diagnosis in one line; what speaks against data or certificate comes first."""
        return self.findings()[0]

    @property
    def next_step(self) -> str:
        """What to do with it, in one sentence."""
        return self.findings()[-1]

    def findings(self) -> list[str]:
        """The diagnosis in sentences: the verdict, the numbers, what to do next."""
        return wording.findings(self)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain JSON-ready values; nan and infinities become null."""
        content = {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self) if entry.repr}
        return content | {"verdict": self.verdict, "next_step": self.next_step, "findings": self.findings()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks values of any type
    if hasattr(value, "__dataclass_fields__"):
        content = {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
        if isinstance(value, Interval) and value.p_value is None:
            del content["p_value"]
        return content
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
