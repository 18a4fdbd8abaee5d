"""Every score and every p in one pass over the logits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmooth.logits.logits_file import LogitsFile
from unsmooth.logits.probabilities import ENOUGH_ROWS, depends_on_mean
from unsmooth.registry.scores import SCORES
from unsmooth.scores.fitting import DEFAULT_PS, FittedScore, fit_score
from unsmooth.scores.rows import Centring, Rows, map_blocks, refusing_softmax

Source = Tensor | NDArray[Any] | LogitsFile | Iterable[Tensor | NDArray[Any]]


@dataclass(frozen=True)
class ScoredLogits(Mapping[str, NDArray[np.float64]]):
    """Confidences by score name; larger is more trusted.

    Attributes:
        confidences: name -> (N,) float64.
        predictions: (N,) int64, argmax of the logits.
        left_out: name -> reason why the score does not exist for these logits: p-norms and LDA for K = 2; scores of the
            mean, such as energy, for 20 or more rows of log-probabilities.
    """

    confidences: Mapping[str, NDArray[np.float64]]
    predictions: NDArray[np.int64]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name in self.left_out:
            raise KeyError(f"{name} was left out: {self.left_out[name]}")
        return self.confidences[name]

    def by_p(self, ps: Iterable[float]) -> dict[float, NDArray[np.float64]]:
        """Confidences of the p-norm scores of these orders, without those left out."""
        return {p: self[pnorm_name(p)] for p in ps if pnorm_name(p) not in self.left_out}

    def __iter__(self) -> Iterator[str]:
        return iter(self.confidences)

    def __len__(self) -> int:
        return len(self.confidences)


def pnorm_name(p: float) -> str:
    """Name of a p-norm score in :func:`score_all`.

    Example:
        >>> pnorm_name(5), pnorm_name(2.5), pnorm_name(float("inf"))
        ('max_logit_pnorm_p5', 'max_logit_pnorm_p2.5', 'max_logit_pnorm_pinf')
    """
    return f"max_logit_pnorm_p{float(p):g}"


def score_all(
    logits: Source,
    *,
    scores: Iterable[str | FittedScore] | Mapping[str, str | FittedScore] | None = None,
    ps: Sequence[float] = DEFAULT_PS,
    centring: Centring = "mean",
    chunk: int | None = None,
) -> ScoredLogits:
    """Compute many scores in one pass over the logits, in chunks that stay in cache.

    Each element is read and exponentiated once, whatever the number of scores; extra memory is a few chunks.
    Every value depends on its row alone, so the result is the same, bit for bit, for every ``chunk``.

    Args:
        logits: (N, K) tensor or array (also memory-mapped), a :class:`unsmooth.logits.logits_file.LogitsFile`, or an
            iterable of (n, K) batches; CPU or GPU.
        scores: names from the registry, or fitted scores; a mapping renames them. None takes every score of logits that
            has no parameter to fit.
        ps: orders of the p-norm scores to add, under :func:`pnorm_name`; empty for none.
        centring: of those p-norm scores.
        chunk: rows at a time; None chooses by K.

    Returns:
        (N,) float64 arrays by name, the predictions, and the scores left out with the reason.

    Raises:
        ValueError: unknown or doubled name, a score that needs features, NaN or ``+inf`` (row named), softmax outputs,
            K = 1, N = 0.

    Example:
        >>> scored = score_all(torch.tensor([[4.0, 1.0, 1.0], [0.0, 2.0, 1.0]]), scores=["logit_margin"], ps=[1])
        >>> dict(scored)
        {'logit_margin': array([3., 1.]), 'max_logit_pnorm_p1': array([0.5, 0.5])}
        >>> scored.predictions
        array([0, 1])
    """
    wanted = _wanted(scores)
    orders = [(pnorm_name(p), FittedScore("max_logit_pnorm", {"p": p, "centring": centring})) for p in ps]
    everything = dict([*wanted, *orders])
    if len(everything) < len(wanted) + len(orders):
        names = [name for name, _ in (*wanted, *orders)]
        raise ValueError(f"scores must have different names, got {names}; pass a mapping to rename")
    formulas = {name: fitted.formula for name, fitted in wanted}

    @cache
    def refused(num_classes: int) -> dict[str, str]:
        return {name: reason for name, fitted in everything.items() if (reason := fitted.refusal(num_classes))}

    of_mean = {
        name: f"{fitted.name} depends on the mean of the logits, which log-probabilities do not hold"
        for name, fitted in everything.items()
        if depends_on_mean(fitted.name, fitted.params) and not fitted.fell_back
    }

    def score(rows: Rows) -> tuple[Tensor, Tensor, int, bool]:
        left_out = refused(rows.num_classes)
        columns = [formula(rows) for name, formula in formulas.items() if name not in left_out]
        kept = [fitted.params["p"] for name, fitted in orders if name not in left_out]
        if kept:
            columns += rows.normalised_maximum(kept, centring).unbind(dim=1)
        table = torch.stack(columns) if columns else rows.top.new_empty(0, len(rows.top))  # (S, n)
        normalised = bool(of_mean) and bool((rows.top <= 1e-3).all())  # which clears nearly all logits
        normalised = normalised and bool((rows.logits.logsumexp(dim=1).abs() < 0.01).all())
        return table[:, : rows.count], rows.predictions[: rows.count], rows.num_classes, normalised

    source = logits.logits if isinstance(logits, LogitsFile) else logits
    blocks = list(map_blocks(refusing_softmax(source), score, chunk))
    if not blocks:
        raise ValueError("logits must have at least one row, got N = 0")
    tables, predictions, (num_classes, *_), normalised = zip(*blocks, strict=True)
    left_out = refused(num_classes)
    table = torch.cat(tables, dim=1).cpu().double().numpy()
    kept = [name for name in everything if name not in left_out]
    if all(normalised) and table.shape[1] >= ENOUGH_ROWS:
        left_out = of_mean | left_out
    confidences = {name: column for name, column in zip(kept, table, strict=True) if name not in left_out}
    return ScoredLogits(confidences, torch.cat(predictions).cpu().numpy(), left_out)


def _wanted(
    scores: Iterable[str | FittedScore] | Mapping[str, str | FittedScore] | None,
) -> list[tuple[str, FittedScore]]:
    """Names of results, with their scores."""
    if scores is None:
        scores = [name for name, entry in SCORES.items() if entry.of_logits and not entry.fitted]
    if isinstance(scores, str):
        raise ValueError(f"scores must be a collection of names, got the string {scores!r}")
    items = scores.items() if isinstance(scores, Mapping) else ((None, score) for score in scores)
    fitted = [(name, fit_score(score) if isinstance(score, str) else score) for name, score in items]
    return [(score.name if name is None else name, score) for name, score in fitted]
