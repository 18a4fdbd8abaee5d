"""Registries: one entry per loss, score and metric, the source of settings, labels, documentation and tests.

An entry names its class or function as "module:name", which is imported on use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

Entry = TypeVar("Entry")


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


def by_name(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    """Return the entries of a registry by name; ValueError if two share one."""
    found: dict[str, Entry] = {}
    for entry in entries:
        name = entry.name  # type: ignore[attr-defined]
        if name in found:
            raise ValueError(f"the registry has two entries called {name!r}; rename one")
        found[name] = entry
    return found


@cache
def resolve(target: str) -> Any:  # noqa: ANN401
    module, name = target.split(":")
    return getattr(import_module(module), name)
