"""Registries: one entry per loss, score and metric, the source of settings, labels, documentation and tests.

An entry names its class or function as "module:name", which is imported on use.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A number or option of a loss or a score."""

    meaning: str
    default: Any = ...  # `...` if it is required
    values: type[float] | type[int] | tuple[str, ...] = float  # float, int, or the allowed words
    optional: bool = False  # whether it may be None
    low: float | None = 0  # `low` and `high` bound the closed range; None is unbounded
    high: float | None = None
    open_low: bool = False  # whether `low` is excluded
    open_high: bool = False  # whether `high` is excluded

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
    module, name = target.split(":")
    return getattr(import_module(module), name)
