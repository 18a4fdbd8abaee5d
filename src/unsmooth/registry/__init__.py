"""Registries: one entry per loss and score, the source of settings, labels, documentation and tests.

An entry names its class or function as "module:name", which is imported on use.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A number or option of a loss or a score.

    Attributes:
        meaning: a short description.
        default: its default value; `...` if it is required.
        values: float, int, or the allowed words.
        optional: whether it may be None.
        low, high: the closed range; None is unbounded.
        open_low, open_high: whether `low` and `high` are excluded.
    """

    meaning: str
    default: Any = ...
    values: type[float] | type[int] | tuple[str, ...] = float
    optional: bool = False
    low: float | None = 0
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        """Return its meaning and its range.

        Example:
            >>> str(Parameter("weight of the penalty", high=1, open_low=True)), str(Parameter("gamma"))
            ('weight of the penalty, in (0, 1]', 'gamma, in [0, ∞)')
        """
        low = "(-∞" if self.low is None else f"{'(' if self.open_low else '['}{self.low:g}"
        high = "∞)" if self.high is None else f"{self.high:g}{')' if self.open_high else ']'}"
        return f"{self.meaning}, in {low}, {high}"


@cache
def resolve(target: str) -> Any:  # noqa: ANN401
    """Import "module:name"."""
    module, name = target.split(":")
    return getattr(import_module(module), name)
