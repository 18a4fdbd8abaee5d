"""Scores of logits from formulas of a block of rows."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec

import numpy as np
from torch import Tensor

from unsmooth.logits.probabilities import ENOUGH_ROWS, refuse_log_probabilities
from unsmooth.scores.rows import Array, Formula, Rows, map_rows, refusing_softmax

P = ParamSpec("P")
Check = Callable[..., None]


def of_logits(
    *, limits: Check = lambda: None, exists: Check = lambda: None
) -> Callable[[Callable[Concatenate[Rows, P], Tensor]], Callable[Concatenate[Array, P], Array]]:
    """Return a decorator that makes a score of logits (N, K) from its formula, `formula(rows, **params)`.

    The score has two more functions as attributes: ``formula(**params)``, the formula with these parameters, which
    raises TypeError for an unknown or missing one, and ``refuse(num_classes, **params)``.

    Args:
        limits: called with those parameters of the score that it takes; raises ValueError for one out of range.
        exists: called with `num_classes` too; raises ValueError where the score ranks nothing for K classes.
    """

    def decorate(of_rows: Callable[Concatenate[Rows, P], Tensor]) -> Callable[Concatenate[Array, P], Array]:
        own = signature(of_rows)
        rows, *parameters = own.parameters.values()
        limited, needed = (signature(check).parameters for check in (limits, exists))

        def refuse(num_classes: int, **params: object) -> None:
            exists(**_those_of({**params, "num_classes": num_classes}, needed))

        def formula(*args: P.args, **params: P.kwargs) -> Formula:
            bound = own.bind(None, *args, **params)
            bound.apply_defaults()
            for key, value in bound.arguments.items():
                bound.arguments[key] = value.item() if hasattr(value, "item") else value  # a learned one is a tensor
            limits(**_those_of(bound.arguments, limited))
            if (scale := bound.arguments.get("scale", "log")) not in ("log", "natural"):
                raise ValueError(f"scale must be 'log' or 'natural', got {scale!r}")

            _, *positional = bound.args
            keywords = bound.kwargs

            def of_block(block: Rows) -> Tensor:
                refuse(block.num_classes, **params)
                return of_rows(block, *positional, **keywords)

            return of_block

        @wraps(of_rows)
        def score(logits: Array, *args: P.args, **params: P.kwargs) -> Array:
            source = refusing_softmax(logits)
            if isinstance(source, Tensor | np.ndarray) and len(source) >= ENOUGH_ROWS:
                refuse_log_probabilities(of_rows.__name__, params, source)
            return map_rows(source, formula(*args, **params))

        public = own.replace(parameters=[rows.replace(name="logits", annotation="Array"), *parameters])
        vars(score).update(formula=formula, refuse=refuse, __signature__=public)
        return score  # type: ignore[return-value]

    return decorate


def _those_of(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: params[name] for name in names if name in params}
