"""Scores of logits from formulas of a block of rows."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec

from torch import Tensor

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
        rows, *parameters = signature(of_rows).parameters.values()

        def refuse(num_classes: int, **params: object) -> None:
            _call(exists, {**params, "num_classes": num_classes})

        def formula(*args: P.args, **params: P.kwargs) -> Formula:
            bound = signature(of_rows).bind(None, *args, **params)
            bound.apply_defaults()
            _call(limits, bound.arguments)
            if (scale := bound.arguments.get("scale", "log")) not in ("log", "natural"):
                raise ValueError(f"scale must be 'log' or 'natural', got {scale!r}")

            def of_block(block: Rows) -> Tensor:
                refuse(block.num_classes, **params)
                return of_rows(block, *args, **params)

            return of_block

        @wraps(of_rows)
        def score(logits: Array, *args: P.args, **params: P.kwargs) -> Array:
            return map_rows(refusing_softmax(logits), formula(*args, **params))

        public = signature(of_rows).replace(parameters=[rows.replace(name="logits", annotation="Array"), *parameters])
        vars(score).update(formula=formula, refuse=refuse, __signature__=public)
        return score  # type: ignore[return-value]

    return decorate


def _call(check: Check, params: Mapping[str, Any]) -> None:
    """Call a check with the parameters that it takes."""
    check(**{name: params[name] for name in signature(check).parameters if name in params})
