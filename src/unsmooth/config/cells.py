"""Cells, the units of training, and the canonical text of numbers in their paths.

A **cell** is one trained model: (experiment, architecture, loss, alpha, seed).
"""

from dataclasses import dataclass
from decimal import Decimal

WITHIN_ARCHITECTURE = "{loss}_alpha-{alpha}/seed-{seed}"
CELL_NAME = f"{{experiment}}/{{architecture}}/{WITHIN_ARCHITECTURE}"
CELL = f"results/cells/{CELL_NAME}"
IMPORTED = "imported"  # architecture name of imported logits


@dataclass(frozen=True, order=True)
class Cell:
    """One trained model of an experiment."""

    experiment: str
    architecture: str
    loss: str
    alpha: float
    seed: int

    @property
    def folder(self) -> str:
        """Return the folder of the cell's results, relative to the working directory."""
        return CELL.format(**vars(self) | {"alpha": format_number(self.alpha)})


def cell_name(loss: str, alpha: float, seed: int) -> str:
    """Return the name of a cell within its architecture, as in ls_alpha-0.2/seed-0."""
    return WITHIN_ARCHITECTURE.format(loss=loss, alpha=format_number(alpha), seed=seed)


def format_number(value: float) -> str:
    """Write a number in its canonical form for paths: shortest, no exponent, no trailing zeros.

    Example:
        >>> format_number(0.10), format_number(-0.2), format_number(1.0), format_number(-0.0)
        ('0.1', '-0.2', '1', '0')
    """
    number = Decimal(repr(float(value)))
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
