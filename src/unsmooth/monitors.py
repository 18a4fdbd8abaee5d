"""Selective metrics for a training loop, as torchmetrics classes.

`update(logits, targets)` takes a batch of logits (N, K) or softmax outputs and class indices (N,), and scores it with
MSP or a score of your choice; `update(confidence, errors)` takes one-dimensional confidences and errors instead.
Results equal those of the functions in :mod:`unsmooth.metrics` on all samples together, whatever the batches and
processes, including processes without samples. `compute` takes rows for softmax outputs, which count as their
logarithms, if all rows of all batches are non-negative and sum to one, or to 100 as percent do. A probability that
rounded to zero has no logarithm: MSP lets such rows tie as the surest, every other score refuses them, and a score that
depends on the mean of the logits refuses softmax outputs altogether. Sigmoid outputs, all in [0, 1] with other sums,
are refused.

**Cost.** An update is one pass over the logits and keeps 9 bytes a sample (a float64 confidence and an error) on the
metric's device; 17 as long as all rows may be softmax outputs. `compute` gathers those bytes from every process once,
sorts on the CPU in O(n log n), and caches. AURC is not a sum over samples, so no state of fixed size that processes add
up can be exact; :class:`unsmooth.metrics.StreamingMetrics` has constant memory, certified bounds and `merge`.

Example:
    >>> metric = AURC()
    >>> metric.update(torch.tensor([[4.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([0, 2]))
    >>> metric.update(torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.5, 0.0]]), torch.tensor([1, 0]))
    >>> round(float(metric.compute()), 4)
    0.2083
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unsmooth.extras import named_extras
from unsmooth.logits.probabilities import ENOUGH_ROWS, are_probabilities, depends_on_mean, refuse_unnormalised
from unsmooth.metrics import augrc, aurc, coverage_at_risk
from unsmooth.metrics.inputs import as_fraction
from unsmooth.scores import SCORES, FittedScore
from unsmooth.scores.rows import map_rows

with named_extras():
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat

__all__ = ["AUGRC", "AURC", "CoverageAtRisk"]


class _SelectiveMetric(Metric):
    """A metric of (confidence, errors) that keeps them all; arguments as of `AURC`."""

    is_differentiable = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    confidence: list[Tensor]
    confidence_of_probabilities: list[Tensor]
    errors: list[Tensor]
    met_logits: Tensor
    lowest: Tensor
    highest: Tensor
    settings: Tensor
    _value: Callable[..., float]  # of confidence and errors, (N,) each

    def __init__(
        self,
        *,
        score: Callable[[Tensor], Tensor] | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,  # noqa: ANN401 - torchmetrics' own arguments
    ) -> None:
        super().__init__(**kwargs)
        if score is not None and not callable(score):
            raise ValueError(f"score must be a function of logits, such as fit_score({score!r}), got {score!r}")
        self.score = FittedScore("msp") if score is None else _registered(score)
        self.ignore_index = ignore_index
        self._logits_before = False
        for name in ("confidence", "confidence_of_probabilities", "errors"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.add_state("met_logits", default=torch.tensor(0), dist_reduce_fx="max")
        self.add_state("lowest", default=torch.tensor(torch.inf), dist_reduce_fx="min")
        self.add_state("highest", default=torch.tensor(-torch.inf), dist_reduce_fx="max")
        # Metrics of one state share it in a MetricCollection; without samples the states of all are equal.
        self.add_state("settings", default=_fingerprint(self.score, ignore_index), dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add samples.

        Args:
            preds: (N, K) logits, or softmax outputs (recognised by rows that are non-negative and sum to one); or (N,)
                finite confidences, larger = more trusted.
            target: (N,) class indices for logits; for confidences the errors, bool or 0/1.

        Raises:
            TypeError: no tensors.
            ValueError: shapes that do not match, NaN or ``+inf``, targets that are no class, errors other than 0 and 1,
                a score of another shape, softmax outputs for a score that cannot be had from them.
        """
        if not (isinstance(preds, Tensor) and isinstance(target, Tensor)):
            raise TypeError(f"preds and target must be tensors, got {type(preds).__name__} and {type(target).__name__}")
        if preds.ndim not in (1, 2) or target.shape != preds.shape[:1]:
            raise ValueError(
                "preds must be (N, K) logits or (N,) confidences and target (N,), "
                f"got {tuple(preds.shape)} and {tuple(target.shape)}"
            )
        preds = preds.detach()
        if target.dtype == torch.bool and preds.ndim == 2 and preds.shape[1] > 2:
            raise ValueError(
                f"target must be class indices in 0..{preds.shape[1] - 1}, got truth values, as errors are"
            )
        if not target.is_floating_point():
            target = target.long()  # before comparing: -100 in uint8 is 156
        if self.ignore_index is not None and preds.ndim == 2:
            kept = target != self.ignore_index
            preds, target = preds[kept], target[kept]
        if not len(preds):
            return
        probable = False
        if preds.ndim == 2:
            values = preds if preds.dtype == torch.float64 else preds.float()
            confidence = self._confidence(values)
            outside = (target < 0) | (target >= preds.shape[1]) | (target != target.floor())
            if bool(outside.any()):
                raise ValueError(
                    f"target must be class indices in 0..{preds.shape[1] - 1}, or ignore_index, got "
                    f"{target[outside][0].item()}"
                )
            errors = preds.argmax(dim=1) != target
            if not (self.met_logits or self._logits_before):
                probable = are_probabilities(values) or are_probabilities(values, whole=100.0)
        else:
            confidence, errors = preds, target
            if not bool(((target == 0) | (target == 1)).all()):
                raise ValueError("target must be errors, 0 or 1, where preds are confidences")
        if not probable:
            _check_finite(confidence)
        # From here on nothing is refused: a batch changes all states or none.
        if preds.ndim == 2:
            self.lowest = torch.minimum(self.lowest, values.min().to(self.lowest.dtype))
            self.highest = torch.maximum(self.highest, values.max().to(self.highest.dtype))
        if probable:
            self.confidence_of_probabilities.append(self._of_probabilities(values).to(self._float))
        else:
            self.met_logits = torch.ones_like(self.met_logits)
            self.confidence_of_probabilities.clear()
        self.confidence.append(confidence.to(self._float))
        # gloo gathers no bool.
        self.errors.append(errors.to(torch.uint8))

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - torchmetrics' own arguments
        """Add samples as `update` does, and return the metric of this batch; after logits, it counts as logits too."""
        self._logits_before = bool(self.met_logits)
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._logits_before = False

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the samples of another metric of the same class and settings, or of its state.

        Raises:
            ValueError: a metric of another class, score, ignore_index or risk, or a state of another score or
                ignore_index; a state does not say its class and risk.
        """
        if isinstance(incoming_state, type(self)):
            mine, theirs = self._settings(), incoming_state._settings()
            if mine != theirs:
                raise ValueError(f"merge_state needs a metric with the settings {mine}, got one with {theirs}")
        elif isinstance(incoming_state, dict) and not torch.equal(
            incoming_state.get("settings", self.settings).to(self.device), self.settings
        ):
            raise ValueError(
                f"merge_state needs the state of a metric with the settings {self._settings()}, got another"
            )
        super().merge_state(incoming_state)

    def _settings(self) -> dict[str, Any]:
        """What metrics must share to be merged."""
        return {"score": self.score, "ignore_index": self.ignore_index}

    def sync(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torchmetrics' own arguments
        """As torchmetrics', which from a process without samples would send a type that the others do not."""
        dtypes = {"confidence": self._float, "confidence_of_probabilities": self._float, "errors": torch.uint8}
        for name, dtype in dtypes.items():
            if not len(getattr(self, name)):
                setattr(self, name, [torch.zeros(0, dtype=dtype, device=self.device)])
        super().sync(*args, **kwargs)

    def compute(self) -> Tensor:
        """The metric of all samples, float64 scalar; nan with a warning for none."""
        kept = self.confidence if self.met_logits else self.confidence_of_probabilities
        confidence, errors = np.zeros(0), np.zeros(0, bool)
        if len(kept):
            values = dim_zero_cat(kept)
            if not self.met_logits:
                self._refuse_unknown(values)
            elif len(values) >= ENOUGH_ROWS:
                refuse_unnormalised("preds", float(self.lowest), float(self.highest))
            _check_finite(values)
            confidence, errors = values.cpu().numpy(), dim_zero_cat(self.errors).cpu().numpy().astype(bool)
        return torch.tensor(self._value(confidence, errors), dtype=self._float, device=self.device)

    def plot(self, val: Any = None, ax: Any = None) -> Any:  # noqa: ANN401 - torchmetrics' own arguments
        """Draw one value of the metric, or several, as `torchmetrics.Metric.plot` says; needs matplotlib."""
        return self._plot(val, ax)

    @property
    def _float(self) -> torch.dtype:
        """float64, which Apple's GPUs lack."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def _confidence(self, logits: Tensor) -> Tensor:
        """Confidence of logits; of softmax outputs too, which `compute` knows when all batches have come."""
        if isinstance(self.score, FittedScore):
            return map_rows(logits, self.score.formula)
        confidence = self.score(logits)
        if not isinstance(confidence, Tensor) or confidence.shape != logits.shape[:1]:
            got = f"{type(confidence).__name__} {tuple(getattr(confidence, 'shape', ()))}"
            raise ValueError(f"score must return a tensor of shape {tuple(logits.shape[:1])}, got {got}")
        return confidence

    def _of_probabilities(self, probs: Tensor) -> Tensor:
        """Confidence of softmax outputs, from their logarithms; nan where it cannot be had."""
        name, params = _identity(self.score)
        if depends_on_mean(name, params):
            return torch.full_like(probs[:, 0], torch.nan)
        # Saturated rows are the surest for MSP, and tie.
        confidence = self._confidence(probs.clamp(min=torch.finfo(probs.dtype).tiny).log())
        return confidence if name == "msp" else confidence.masked_fill((probs <= 0).any(dim=1), torch.nan)

    def _refuse_unknown(self, confidence: Tensor) -> None:
        """Raise ValueError if the rows are softmax outputs from which the score cannot be had."""
        unknown = confidence.isnan()
        if not bool(unknown.any()):
            return
        name, params = _identity(self.score)
        if depends_on_mean(name, params):
            raise ValueError(f"{name} depends on the mean of the logits, which softmax outputs do not hold")
        raise ValueError(
            f"preds has {int(unknown.sum())} rows with a probability of zero, the first is row "
            f"{int(unknown.int().argmax())}: rounding in softmax lost their logits; give logits, or score by MSP"
        )


class AURC(_SelectiveMetric):
    """Area under the risk-coverage curve; see :func:`unsmooth.metrics.aurc`. In [0, 1], lower is better.

    Args:
        score: confidence of logits; MSP unless another, such as :func:`unsmooth.scores.fit_score` returns, is given.
        ignore_index: target whose samples are left out.
        kwargs: as for every torchmetrics metric.

    Example:
        >>> metric = AURC()
        >>> metric.update(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1]))
        >>> round(float(metric.compute()), 4)
        0.3333
    """

    higher_is_better = False
    _value = staticmethod(aurc)


class AUGRC(_SelectiveMetric):
    """Area under the generalized-risk-coverage curve; see :func:`unsmooth.metrics.augrc`. In [0, 1/2], lower is better.

    Args:
        score: confidence of logits; MSP unless another is given.
        ignore_index: target whose samples are left out.
        kwargs: as for every torchmetrics metric.

    Example:
        >>> metric = AUGRC()
        >>> metric.update(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1]))
        >>> float(metric.compute())
        0.1875
    """

    higher_is_better = False
    _value = staticmethod(augrc)


class CoverageAtRisk(_SelectiveMetric):
    """Largest coverage of a threshold with selective risk at most `risk`; see
    :func:`unsmooth.metrics.coverage_at_risk`. In [0, 1], higher is better.

    Args:
        risk: target selective risk in [0, 1].
        score: confidence of logits; MSP unless another is given.
        ignore_index: target whose samples are left out.
        kwargs: as for every torchmetrics metric.

    Example:
        >>> metric = CoverageAtRisk(risk=0.25)
        >>> metric.update(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, 0, 0]))
        >>> float(metric.compute())
        1.0
    """

    higher_is_better = True

    def __init__(
        self,
        *,
        risk: float,
        score: Callable[[Tensor], Tensor] | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,  # noqa: ANN401 - torchmetrics' own arguments
    ) -> None:
        super().__init__(score=score, ignore_index=ignore_index, **kwargs)
        self.risk = as_fraction(risk, "risk")
        self._value = partial(coverage_at_risk, risk=self.risk)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"risk": self.risk}


def _registered(score: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A score of the registry, with its parameters where `partial` gives them, as a fitted one; others as they are."""
    function, params = (score.func, score.keywords) if isinstance(score, partial) and not score.args else (score, {})
    name = next((name for name, entry in SCORES.items() if entry.function is function), None)
    return score if name is None else FittedScore(name, params)


def _identity(score: Callable[[Tensor], Tensor]) -> tuple[str, Mapping[str, Any]]:
    """Name in the registry and parameters of a score; ("", {}) for a function that the registry does not know."""
    if not isinstance(score, FittedScore):
        return "", {}
    return ("msp", {}) if score.fell_back else (score.name, score.params)


def _fingerprint(score: Callable[[Tensor], Tensor], ignore_index: int | None) -> Tensor:
    """Small integers that differ between metrics of other settings."""
    which = repr(score) if isinstance(score, FittedScore) else str(id(score))
    return torch.tensor(list(hashlib.sha256(f"{which} {ignore_index}".encode()).digest()))


def _check_finite(confidence: Tensor) -> None:
    finite = confidence.isfinite()
    if not bool(finite.all()):
        raise ValueError(f"preds: confidence of row {int((~finite).int().argmax())} is not finite")
