"""What the numbers of a whole file are: logits, softmax outputs, their logarithms, percent, or nothing usable."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.checks import LogitsFileError, as_float32, check_axes, row_blocks
from unsmooth.logits.logits_file import Form
from unsmooth.logits.probabilities import ENOUGH_ROWS, are_log_probabilities, are_probabilities

_LOGARITHMS = {
    1.0: "",
    -1.0: "negative log-probabilities",
    math.log(2): "log-probabilities of base 2",
    math.log(10): "log-probabilities of base 10",
}
_LEAST_MASK = 5e3  # the smallest magnitude in use for a masked class is 1e4
_EXACT_IN_FLOAT32 = 1e4  # above, float32 has fewer than three decimals


def recognise(values: NDArray[Any], path: Path) -> tuple[NDArray[np.floating[Any]], Form, list[str]]:
    """Say what the rows of a file are, from all of them together.

    Args:
        values: (N, K) numbers of any precision.
        path: the file, for messages.

    Returns:
        The rows as float32, or as float64 where float32 would round them away; percent as fractions, logarithms of
        another base or sign as natural ones, and a number that stands for a masked class as ``-inf``. What they are.
        What was decided, a sentence each.

    Raises:
        LogitsFileError: more than two axes, no real numbers, fractions that do not sum to one in every row, or
            integers of eight bits, whose scale is unknown.
    """
    if values.ndim > 2:  # one axis may be targets in place of logits, which the targets tell
        check_axes(values, path)
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)  # sums of halves overflow
    if values.dtype.kind not in "fiu" or values.ndim != 2 or 0 in values.shape or np.isnan(values.min()):
        return as_float32(values, path), "logits", []
    if are_probabilities(values):
        return (values if values.dtype == np.float64 else as_float32(values, path)), "probabilities", []
    for scale, what in _LOGARITHMS.items():
        if (len(values) >= ENOUGH_ROWS or not what) and are_log_probabilities(values, scale=scale):
            notes = [f"rows are {what} and are read as natural ones"] if what else []
            return as_float32(values * scale if what else values, path), "log-probabilities", notes
    if _are_log_odds(values):
        notes = ["rows are log-odds of softmax outputs, log p / (1 - p), and are read as log p"]
        return as_float32(-np.logaddexp(0, -values), path), "log-probabilities", notes
    if values.shape[1] > 1 and values.min() >= 0:
        if whole := _common_sum(values):
            return values / whole, "probabilities", [f"rows sum to {whole:g} and are read as shares of it"]
        _refuse_fractions(values, path)
    if values.dtype.itemsize == 1:
        raise LogitsFileError(
            f"{path}: logits are {values.dtype}, as quantised outputs are; save them multiplied by their scale"
        )
    values, notes = _without_masks(values)
    kept = values.dtype == np.float64 and np.abs(values).max(where=np.isfinite(values), initial=0) > _EXACT_IN_FLOAT32
    return values if kept else as_float32(values, path), "logits", notes


def _are_log_odds(values: NDArray[Any]) -> bool:
    """Whether the sigmoids of every row sum to one; of two classes logits may have this too."""
    if values.shape[1] < 3 or len(values) < ENOUGH_ROWS:
        return False
    blocks = [values[:1], *row_blocks(values)]  # the first row clears nearly all logits
    return all(are_log_probabilities(-np.logaddexp(0, -block.astype(np.float64))) for block in blocks)


def _common_sum(values: NDArray[Any]) -> float | None:
    """What every row of numbers sums to, such as 100 of percent or the number of votes; None if to no one number."""
    sums = values.sum(axis=1, dtype=np.float64)
    whole = float(np.round(np.median(sums)))
    if whole != 100 and (whole <= 1 or len(sums) < ENOUGH_ROWS):
        return None
    # Shares are often rounded; the sums of logits far from 0 are nearly equal, but their extremes are too.
    rounded = values.min() <= whole / values.shape[1] / 10 and values.max() > whole / 2
    tolerance = 0.02 * whole if rounded and len(sums) >= ENOUGH_ROWS else 1 if whole == 100 else 1e-3
    return whole if bool((abs(sums - whole) < tolerance).all()) else None


def _refuse_fractions(values: NDArray[Any], path: Path) -> None:
    columns = values.sum(axis=0, dtype=np.float64)
    if values.max() <= 1 and len(values) > 1 and bool((abs(columns - max(1, round(columns[0]))) < 1e-3).all()):
        raise LogitsFileError(f"{path}: columns sum to one instead of rows: softmax over samples; take it over classes")
    if not 0.5 < values.max() <= 1:
        return
    sums = values.sum(axis=1, dtype=np.float64)
    row = int((abs(sums - 1) >= 0.01).argmax())
    raise LogitsFileError(
        f"{path}: row {row}: all values lie in [0, 1] but this row sums to {sums[row]:.4g}, not 1: sigmoid outputs, or "
        "softmax outputs that were rounded or cut; save the logits"
    )


def _without_masks(values: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """The logits with ``-inf`` for numbers far below all others, such as -1e9, which stand for masked classes."""
    notes: list[str] = []
    while True:
        lowest = float(values.min(where=np.isfinite(values), initial=0))
        if lowest > -_LEAST_MASK:
            return values, notes
        masked = np.isfinite(values) & (values <= lowest / 2)
        others = np.isfinite(values) & ~masked
        if not others.any() or float(np.abs(values[others]).max()) >= -lowest / 10:
            return values, notes
        notes.append(f"{int(masked.sum()):,} logits near {lowest:.6g} are read as masked classes (-inf)")
        values = np.where(masked, -np.inf, values)
