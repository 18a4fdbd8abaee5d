"""Registries: one entry for each loss, score and metric, from which names, labels, settings and documentation follow.

No entry imports what it names: a target, written "module:name", is imported where it is used.
"""

from importlib import import_module
from typing import Any

__all__ = ["resolve"]


def resolve(target: str) -> Any:  # noqa: ANN401
    """Import what "module:name" names."""
    module, name = target.split(":")
    return getattr(import_module(module), name)
