"""Fit a score's parameters on validation data, by the area under the risk-coverage curve or by likelihood.

Fits are deterministic and, for scores free of scale, equivariant: logits times ten give temperatures times ten.
(``bk``, ``ets`` and ``hts`` depend on the scale of the logits.) AURC is a step function with many local minima, so it
is searched on a grid and then, ever finer, around the best point; p has few values, so its search is exhaustive. The
likelihood of a temperature is convex in 1/T, and its minimum is the root of the derivative. A fitted score that does
not beat MSP on the same data falls back to MSP, with the reason. :mod:`unsmooth.diagnosis.recommendation` decides
whether to replace MSP at all.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import product
from operator import methodcaller
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmooth.logits.guards import refuse_target_column
from unsmooth.logits.probabilities import refuse_log_probabilities, refuse_probabilities
from unsmooth.metrics import aurc
from unsmooth.metrics.inputs import as_real, as_targets
from unsmooth.registry import resolve
from unsmooth.registry.scores import find_score
from unsmooth.scores.logit_scores import msp
from unsmooth.scores.peers import ets_combination, hts_log_odds, log_relative_entropy
from unsmooth.scores.pnorm import pnorm_units
from unsmooth.scores.rows import Array, Centring, Formula, Rows, check_shape, map_rows

Objective = Literal["aurc", "nll"]
Params = dict[str, Any]
Point = tuple[float, ...]

DEFAULT_PS: tuple[float, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, math.inf)

# Logits that a search may exponentiate: a second or two on one core, and a dense grid on small data.
_BUDGET = 1_000_000_000
# Results that are copied by columns at a time: 256 MB in double precision.
_CELLS = 32_000_000
# Beyond, an index array costs more than it saves.
_FEW_ROWS = 100_000
# The search zooms in around this many of the best grid points, this many times, by this factor.
_STARTS, _ZOOMS, _ZOOM = 3, 3, 4.0


@dataclass(frozen=True)
class FittedScore:
    """A score with its parameters: ``fitted(logits)`` gives (N,) confidences, larger = more trusted.

    Attributes:
        name: score in the registry.
        params: its parameters; those of the search even when it fell back.
        objective: minimised objective, ``"aurc"`` or ``"nll"``; None without validation data.
        objective_value: its value on the validation data.
        baseline_value: the value of MSP on the same data.
        fell_back: whether calls use MSP instead.
        reason: of the fallback.
        num_samples: size of the validation data.

    Raises:
        ValueError: a score that is unknown or needs more than logits, or a parameter unknown, missing or out of range.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective | None = None
    objective_value: float | None = None
    baseline_value: float | None = None
    fell_back: bool = False
    reason: str | None = None
    num_samples: int = 0

    def __post_init__(self) -> None:
        entry = find_score(self.name)
        if not self.fell_back:
            entry.formula(self.params)

    def __call__(self, logits: Array) -> Array:
        """Confidence of (N, K) logits, (N,) float64; tensor in, tensor out, array in, array out."""
        return msp(logits) if self.fell_back else find_score(self.name).function(logits, **self.params)

    @property
    def formula(self) -> Formula:
        """The score of a block of rows."""
        return find_score("msp").formula({}) if self.fell_back else find_score(self.name).formula(self.params)

    def refusal(self, num_classes: int) -> str | None:
        """Reason why the score ranks nothing for so many classes; None if it ranks."""
        return None if self.fell_back else find_score(self.name).refusal(num_classes, self.params)

    def to_json(self) -> str:
        """JSON text; :meth:`from_json` returns an equal object."""
        content = asdict(self)
        content["params"] = {key: "inf" if value == math.inf else value for key, value in self.params.items()}
        return json.dumps(content, allow_nan=False, sort_keys=True, default=methodcaller("item"))  # of numpy's numbers

    @classmethod
    def from_json(cls, text: str) -> "FittedScore":
        """Read what :meth:`to_json` wrote; ValueError for anything else."""
        try:
            content = json.loads(text)
            content["params"] = {key: math.inf if value == "inf" else value for key, value in content["params"].items()}
            return cls(**content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a fitted score: {error} in {text[:80]!r}") from error


def usable_scores(fitted: Mapping[str, Mapping[str, Any]]) -> dict[str, FittedScore]:
    """The scores of :func:`unsmooth.tables.collection.read_fitted` that rank the samples of their logits."""
    found = {name: FittedScore.from_json(json.dumps(fields)) for name, fields in fitted.items()}
    return {name: score for name, score in found.items() if score.objective_value is not None}


def fit_score(
    name: str,
    logits: Array | None = None,
    targets: Tensor | NDArray[Any] | None = None,
    *,
    objective: Objective = "aurc",
    ps: Sequence[float] = DEFAULT_PS,
    centring: Centring = "mean",
    fallback: bool = True,
) -> FittedScore:
    """Fit a score on validation data, or return its default without data.

    Without data only scores that need no fitting are available, and ``max_logit_pnorm`` with p = 5, see
    :func:`max_logit_pnorm`.

    Args:
        name: score of logits in the registry. Scores of features have classes of their own with statistics of
            training data: ``Mahalanobis.fit(features, targets)`` and so on.
        logits: (N, K) validation logits, never the data that is evaluated later; None for the default.
        targets: (N,) class indices in [0, K).
        objective: ``"aurc"``, or ``"nll"`` for ``msp_temperature``.
        ps: norm orders to try; the first wins a tie.
        centring: of the p-norm scores.
        fallback: return MSP if the fit is not strictly better on these data.

    Returns:
        The fitted score, with the values of the objective for it and for MSP. A centred p-norm of two classes, which
        ranks nothing, and a likelihood without a finite optimum fall back to MSP with the reason.

    Raises:
        ValueError: unknown name, a score of features, a score without that objective or without default, ps or centring
            out of range, mismatched or bad data.

    Example:
        >>> fit_score("max_logit_pnorm").params
        {'p': 5, 'centring': 'mean'}
        >>> logits, targets = torch.tensor([[4.0, 0.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
        >>> fitted = fit_score("msp_temperature", logits, targets, objective="nll")
        >>> round(fitted.params["temperature"], 3)  # 3 of 4 are right: softmax must say 0.75
        2.232
    """
    entry = find_score(name)
    # A score that needs more than logits is refused by FittedScore, with what to call instead.
    if not entry.of_logits or (logits is None and targets is None and entry.has_default):
        return FittedScore(name, dict(entry.defaults))
    if logits is None or targets is None:
        if logits is not None or targets is not None:
            raise ValueError("logits and targets must be given together")
        raise ValueError(f"{name} has no default for {', '.join(entry.fitted)}; fit it on validation data")
    if objective not in ("aurc", "nll") or (objective == "nll" and name != "msp_temperature"):
        raise ValueError(f"objective of {name} must be 'aurc' (or 'nll' for msp_temperature), got {objective!r}")
    data = Validation.of(logits, targets, *((ps, centring) if name == "max_logit_pnorm" else ()))
    refuse_probabilities(data.logits)
    refuse_target_column(data.logits, data.targets)
    return fit_to(data, name, objective=objective, ps=ps, centring=centring, fallback=fallback)


def fit_to(
    data: "Validation",
    name: str,
    *,
    objective: Objective = "aurc",
    ps: Sequence[float] = DEFAULT_PS,
    centring: Centring = "mean",
    fallback: bool = True,
) -> FittedScore:
    """Fit one of several scores to the same data; arguments and errors as of :func:`fit_score`."""
    entry = find_score(name)
    refuse_log_probabilities(name, {"centring": centring}, data.logits)
    baseline = data.nll(1.0)[0] if objective == "nll" else data.msp_aurc
    try:
        if objective == "nll":
            params, value = _fit_likelihood(data)
        elif entry.fitted:
            params, value = resolve(entry.fit)(data, ps, centring)
        else:
            params = dict(entry.defaults)
            value = data.aurc(map_rows(data.logits, entry.formula(params)))
    except NothingToFit as error:
        return FittedScore(name, {}, objective, None, baseline, True, str(error), len(data.logits))
    reason = None
    if entry.fitted and fallback and not value < baseline:
        reason = f"{objective} {value:.6g} on the validation data is not below {baseline:.6g} of MSP"
    return FittedScore(name, params, objective, value, baseline, reason is not None, reason, len(data.logits))


class NothingToFit(ValueError):
    """The data leave the parameter undetermined."""


@dataclass(frozen=True)
class Validation:
    """Validation logits and statistics of one pass over them."""

    logits: Tensor  # (N, K)
    targets: Tensor  # (N,) int64
    errors: NDArray[np.bool_]  # (N,) whether the prediction is wrong
    log_odds: Tensor  # (N,) of the prediction, which ranks like MSP
    norm_orders: tuple[list[float], Centring]  # p and centring of the columns of `normalised`
    normalised: Tensor  # (N, P) normalised maxima

    @classmethod
    def of(
        cls,
        logits: Tensor | NDArray[Any],
        targets: Tensor | NDArray[Any],
        ps: Sequence[float] = (),
        centring: Centring = "mean",
    ) -> "Validation":
        """Pass once over the logits, and check the targets; `ps` are norm orders that will be tried."""
        values = logits if isinstance(logits, Tensor) else torch.from_numpy(np.array(as_real(logits, "logits")))
        values = values.detach()
        check_shape(values)
        classes = torch.from_numpy(as_targets(targets, tuple(values.shape))).to(values.device)
        orders = [p for p in ps if _refusal(p, centring, values.shape[1]) is None]

        def columns(rows: Rows) -> Tensor:
            ranked = torch.stack((rows.predictions.to(rows.fine), rows.log_odds), dim=1)
            return torch.cat((ranked, rows.normalised_maximum(orders, centring)), dim=1) if orders else ranked

        table = map_rows(values, columns)
        predictions = table[:, 0].long()
        errors = (predictions != classes).cpu().numpy()
        return cls(values, classes, errors, table[:, 1], (orders, centring), table[:, 2:])

    @cached_property
    def spread(self) -> float:
        """Root mean square distance of the logits from their row's mean, masked classes left out."""
        norms = map_rows(self.logits, lambda rows: rows.norms([2], "mean")[1][:, 0])
        count = map_rows(self.logits, lambda rows: torch.isfinite(rows.logits).sum(dim=1)).sum()
        largest = norms.amax()  # divided out, so that no square overflows
        return float(largest * ((norms / largest).square().sum() / count).sqrt()) if largest > 0 else 0.0

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """Contribution of an error to AURC at each position, the least confident first."""
        count = len(self.errors)
        return np.cumsum(1 / np.arange(count, 0, -1)) / count

    def aurc(self, confidence: Tensor | NDArray[np.float64]) -> float:
        """AURC of (N,) confidences on these data, in half of the general function's time."""
        values = confidence.double().cpu().numpy() if isinstance(confidence, Tensor) else confidence
        if len(values) > _FEW_ROWS:
            return aurc(values, self.errors)
        order = np.argsort(values)
        ordered = values[order]
        if not np.isfinite(ordered[[0, -1]]).all():
            return aurc(values, self.errors)
        weights, tied = self._weights, ordered[1:] == ordered[:-1]
        if tied.any():  # in a group of ties an error takes every position equally often
            first = np.flatnonzero(np.append(True, ~tied))
            count = np.diff(first, append=len(values))
            weights = np.repeat(np.add.reduceat(weights, first) / count, count)
        return float(weights[self.errors[order]].sum())

    @cached_property
    def msp_aurc(self) -> float:
        """AURC of MSP on these data."""
        return self.aurc(self.log_odds)

    def aurcs(self, found: Tensor | Callable[[Rows], Tensor]) -> NDArray[np.float64]:
        """AURC of each column of (N, G) confidences, or of a formula of them."""
        table = found if isinstance(found, Tensor) else map_rows(self.logits, found)
        group = max(_CELLS // len(table), 1)
        # Whole columns at a time: the table in double precision, and again by columns, would be three of it.
        return np.array(
            [
                self.aurc(column)
                for start in range(0, table.shape[1], group)
                for column in table[:, start : start + group].T.double().contiguous().cpu().numpy()
            ]
        )

    @cached_property
    def best_temperatures(self) -> list[tuple[Point, float]]:
        """Best logarithms of a temperature of MSP, each with its AURC."""
        # Beyond two decades on either side of the logits' spread the ranking is that of its limits, margin and maximum.
        axis = self.axis(0.01, 100, min(self.evaluations, 1000))
        return self.search([axis], lambda rows, points: [rows.log_odds_at(math.exp(-x)) for (x,) in points])

    def search(
        self, axes: Sequence[NDArray[np.float64]], formula: Callable[[Rows, list[Point]], list[Tensor]]
    ) -> list[tuple[Point, float]]:
        """Grid search of AURC, zooming in on the best starts; ``formula(rows, points)`` are the scores. Best first."""

        def evaluate(points: list[Point]) -> NDArray[np.float64]:
            return self.aurcs(lambda rows: torch.stack(formula(rows, points), dim=1))

        grid: list[Point] = list(product(*(axis.tolist() for axis in axes)))
        values = evaluate(grid)
        found = [(grid[i], float(values[i])) for i in np.argsort(values, kind="stable")[:_STARTS]]
        steps = np.array([axis[1] - axis[0] for axis in axes])
        for start in range(len(found)):
            reach = steps
            for _ in range(_ZOOMS):
                offsets = [np.linspace(-1, 1, 17 if len(axes) == 1 else 9) * step for step in reach]
                near: list[Point] = [tuple(np.add(found[start][0], offset).tolist()) for offset in product(*offsets)]
                values = evaluate(near)
                index = int(np.argmin(values))
                if values[index] < found[start][1]:
                    found[start] = near[index], float(values[index])
                reach = reach / _ZOOM
        return sorted(found, key=lambda result: result[1])

    def axis(self, low: float, high: float, points: int) -> NDArray[np.float64]:
        """Logarithms of temperatures from ``low`` to ``high`` times the spread of the logits."""
        if self.spread == 0:
            raise NothingToFit("every row of logits is constant")
        return np.linspace(math.log(low), math.log(high), points) + math.log(self.spread)

    @property
    def evaluations(self) -> int:
        """Number of score evaluations that a search may spend on these data."""
        return max(_BUDGET // self.logits.numel(), 64)

    def nll(self, inverse_temperature: float) -> tuple[float, float]:
        """Mean negative log-likelihood at 1/T and its derivative."""
        total = slope = 0.0
        for start in range(0, len(self.logits), 1024):
            block, classes = self.logits[start : start + 1024].double(), self.targets[start : start + 1024]
            gaps = block - block.amax(dim=1, keepdim=True)
            chosen = gaps.gather(1, classes[:, None])[:, 0]
            masked = torch.isneginf(chosen)
            if bool(masked.any()):
                raise ValueError(f"targets: row {start + int(masked.int().argmax())} is of a masked class")
            # At 1/T = 0 a masked class would be exp(-inf * 0).
            weights = torch.where(torch.isneginf(gaps), 0.0, torch.exp(gaps * inverse_temperature))
            partition = weights.sum(dim=1)
            mean = (weights * gaps.clamp(min=-1e300)).sum(dim=1) / partition
            total += float((torch.log(partition) - inverse_temperature * chosen).sum())
            slope += float((mean - chosen).sum())
        return total / len(self.logits), slope / len(self.logits)


def _fit_likelihood(data: Validation) -> tuple[Params, float]:
    if data.spread == 0:
        raise NothingToFit("every row of logits is constant, so no temperature changes the likelihood")
    chosen = data.logits.gather(1, data.targets[:, None])[:, 0]
    if bool((chosen == data.logits.amax(dim=1)).all()):
        raise NothingToFit("every sample is classified correctly, so the likelihood grows without end as T -> 0")
    if data.nll(0.0)[1] >= 0:
        raise NothingToFit("the true classes' logits are not above the mean, so the likelihood is best as T -> inf")
    low = high = math.log(1 / data.spread)
    while data.nll(math.exp(low))[1] >= 0:
        low -= 2
    while data.nll(math.exp(high))[1] < 0:
        high += 2
    from scipy.optimize import brentq  # half a second of start-up, for this alone

    inverse = math.exp(brentq(lambda x: data.nll(math.exp(x))[1], low, high, xtol=1e-12, rtol=1e-12))
    return {"temperature": 1 / inverse}, data.nll(inverse)[0]


def fit_p(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    usable = _usable(data, ps, centring)
    known = data.norm_orders == (usable, centring)
    values = data.aurcs(data.normalised if known else lambda rows: rows.normalised_maximum(usable, centring))
    index = int(np.argmin(values))
    return {"p": usable[index], "centring": centring}, float(values[index])


def _refusal(p: float, centring: Centring, num_classes: int) -> str | None:
    """Reason why a norm order ranks nothing; None if it ranks."""
    return FittedScore("max_logit_pnorm", {"p": p, "centring": centring}).refusal(num_classes)


def _usable(data: Validation, ps: Sequence[float], centring: Centring) -> list[float]:
    if not ps:
        raise ValueError("ps must name at least one norm order")
    num_classes = data.logits.shape[1]
    refusals = {p: _refusal(p, centring, num_classes) for p in ps}
    usable = [p for p in ps if refusals[p] is None]
    # With two classes only p = 0 is left, which is a logit margin and no repair.
    if num_classes == 2 and centring != "none" or not usable:
        raise NothingToFit(next(filter(None, refusals.values()), "p = 0 is no repair for K = 2"))
    return usable


def fit_temperature(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    (x,), value = data.best_temperatures[0]
    return {"temperature": math.exp(x)}, value


def fit_pnorm_temperature(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    usable = _usable(data, ps, centring)
    norms = map_rows(data.logits, lambda rows: rows.norms(usable, centring)[1]).mean(dim=0)
    if bool((norms == 0).any()):
        raise NothingToFit("every row of logits is constant")
    # Temperatures in units of the mean norm temper as strongly for every p.
    units = dict(zip(usable, norms.log().tolist(), strict=True))

    def log_odds(rows: Rows, p: float, logarithms: Iterable[float]) -> list[Tensor]:
        norm = pnorm_units(rows, p, centring)
        return [rows.log_odds_at(1 / (math.exp(x - units[p]) * norm)) for x in logarithms]

    coarse = data.axis(0.01, 100, max(32, min(data.evaluations // len(usable), 100))).tolist()
    values = data.aurcs(
        lambda rows: torch.stack([column for p in usable for column in log_odds(rows, p, coarse)], dim=1)
    )
    p = usable[int(np.argmin(values)) // len(coarse)]
    axis = data.axis(0.01, 100, min(data.evaluations, 1000))
    (x,), value = data.search([axis], lambda rows, points: log_odds(rows, p, (x for (x,) in points)))[0]
    return {"p": p, "temperature": math.exp(x - units[p]), "centring": centring}, value


def fit_bk(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    # Only beta / alpha matters to the ranking; it lives in (-1, inf).
    ratios = np.concatenate((np.linspace(-0.99, 2, 300), np.geomspace(2, 1000, 101)[1:]))

    def formula(rows: Rows) -> Tensor:
        by_ratio = torch.as_tensor(ratios, dtype=rows.fine, device=rows.logits.device)
        return -rows.log_uncertainty[:, None] - torch.log1p(rows.runner_up_share[:, None] * by_ratio)

    values = data.aurcs(formula)
    index = int(np.argmin(values))
    return {"alpha": 1.0, "beta": float(ratios[index])}, float(values[index])


def fit_ets(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    weights = np.linspace(0, 1, 101).tolist()
    best: tuple[Params, float] = {}, math.inf
    for (x,), _ in data.best_temperatures:
        temperature = math.exp(x)

        def formula(rows: Rows, temperature: float = temperature) -> Tensor:
            tempered = rows.log_odds_at(1 / temperature)
            return torch.stack([ets_combination(tempered, rows.log_odds, weight) for weight in weights], dim=1)

        values = data.aurcs(formula)
        index = int(np.argmin(values))
        if values[index] < best[1]:
            best = {"temperature": temperature, "weight": weights[index]}, float(values[index])
    return best


def fit_hts(data: Validation, ps: Sequence[float], centring: Centring) -> tuple[Params, float]:
    points = int(min(data.evaluations, 900) ** 0.5)
    # T = log1p(e^b + |w| h) with h >= 0: the axes are the least temperature log1p(e^b) and the ratio |w| / e^b.
    axes = [data.axis(0.01, 30, points), np.linspace(math.log(0.001), math.log(100), points)]

    def log_odds(rows: Rows, found: list[Point]) -> list[Tensor]:
        log_entropy = log_relative_entropy(rows)
        return [hts_log_odds(rows, log_entropy, **_hts_params(*point)) for point in found]

    (x, ratio), value = data.search(axes, log_odds)[0]
    return _hts_params(x, ratio), value


def _hts_params(log_least_temperature: float, log_ratio: float) -> Params:
    # Above 600 log1p(e^b) is b to the last digit, and e^b must stay finite.
    scale = math.expm1(min(math.exp(log_least_temperature), 600.0))
    return {"weight": -scale * math.exp(log_ratio), "bias": math.log(scale)}
