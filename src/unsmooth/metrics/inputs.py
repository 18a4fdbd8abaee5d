"""Conversion and checks shared by every metric: arrays, tensors and lists to checked numpy arrays.

Tensors are recognised by their `detach` method, without importing torch. Inputs are never modified.
"""

import math
import warnings
from itertools import islice
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.logits.checks import outside_hint, transpose_hint
from unsmooth.logits.checks import to_numpy as as_array

Array = NDArray[Any]


class UndefinedMetricWarning(RuntimeWarning):
    """A metric has no value for this input (no samples, no errors, ...); `nan` is returned."""


def warn_undefined(name: str, reason: str) -> float:
    """Warn that the metric `name` is undefined and return `nan`."""
    warnings.warn(f"{name} is undefined and returned as nan: {reason}", UndefinedMetricWarning, stacklevel=3)
    return float("nan")


def to_numpy(values: Any, name: str) -> Array:  # noqa: ANN401 - tensors are accepted without importing torch
    """Return `values` as a numpy array: float16 and bfloat16 become float32, wider than float64 becomes float64.

    `values` is an array, list, frame, or tensor on any device (gradients are dropped), whose memory the result may
    share; masked entries become nan. ValueError, with `name`, if they are not real numbers.

    Example:
        >>> to_numpy([0.5, 1.0], "confidence").dtype
        dtype('float64')
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = as_array(values)
    except ValueError as error:  # numpy's, which names nothing
        raise ValueError(f"{name} must hold rows of equal length, got {type(values).__name__}: {error}") from None
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    if array.dtype.kind not in "buif":
        columns = getattr(values, "columns", ())
        places = [f", column {c!r}" for c in columns if np.asarray(values[c]).dtype.kind not in "buif"]
        if array.dtype == object and array.ndim:
            strangers = (place for place, value in np.ndenumerate(array) if not isinstance(value, Real))
            places += [f", {array[place]!r} at row {place[0]}" for place in islice(strangers, 1)]
        where = places[0] if places else ""
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype} of {type(values).__name__}{where}")
    return array


def as_real(values: Any, name: str) -> Array:  # noqa: ANN401 - arrays, lists and data frames
    """Return `values` as float32 or float64; integers become float64."""
    array = to_numpy(values, name)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def refuse_rows(bad: NDArray[np.bool_], name: str, expected: str, values: Array, hint: str = "") -> None:
    """Raise ValueError with the first row of `values` at which `bad` (N, ...) is true."""
    if bad.any():
        row = int(np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0])
        raise ValueError(f"{name} must {expected}, got {values[row]} at row {row}{hint}")


def as_finite(values: Any, name: str, *, ndim: int = 1) -> Array:  # noqa: ANN401
    """Return `values` as a finite float32 or float64 array with `ndim` axes (float32 stays float32)."""
    array = to_numpy(values, name)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axis(es), got shape {array.shape}")
    if array.dtype.kind != "f":
        return array.astype(np.float64)
    # The extremes are finite exactly when every value is (nan propagates): no temporary mask for 100 million values.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        refuse_rows(~np.isfinite(array), name, "be finite", array)
    return array


def as_errors(errors: Any) -> Array:  # noqa: ANN401
    """Return `errors` as bool when every value is 0 or 1, as float64 residuals in [0, 1] otherwise."""
    array = to_numpy(errors, "errors")
    if array.ndim != 1:
        raise ValueError(f"errors must have 1 axis(es), got shape {array.shape}")
    if array.dtype.kind == "b":
        return array
    binary = (array == 0) | (array == 1)
    if binary.all():
        return array.astype(bool)
    residuals = array.astype(np.float64)
    refuse_rows(~((residuals >= 0) & (residuals <= 1)), "errors", "be bool, 0/1 or residuals in [0, 1]", array)
    return residuals


def as_binary_errors(errors: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    """Return `errors` as bool; continuous residuals are refused."""
    array = as_errors(errors)
    if array.dtype != bool:
        refuse_rows((array != 0) & (array != 1), "errors", "be bool or 0/1 for this metric", array)
    return array


def as_weight(sample_weight: Any, length: int, reference: str = "confidence") -> Array | None:  # noqa: ANN401
    """Return weights as int64 when all are whole numbers, as float64 otherwise; None stays None."""
    if sample_weight is None:
        return None
    weight = as_finite(sample_weight, "sample_weight").astype(np.float64)
    same_length(weight, "sample_weight", length, reference)
    refuse_rows(weight < 0, "sample_weight", "not be negative", weight)
    whole = weight.max(initial=0) <= 2**53 and (weight == np.floor(weight)).all()
    return weight.astype(np.int64) if whole else weight


def as_targets(targets: Any, shape: tuple[int, ...], name: str = "targets") -> NDArray[np.int64]:  # noqa: ANN401
    """Return `targets` as int64 class indices (N,) that fit predictions of `shape` (N, K)."""
    rows, classes = shape
    array = to_numpy(targets, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 axis (N,), got shape {array.shape}")
    same_length(array, name, rows, "the predictions", transpose_hint(shape, len(array)))
    if array.dtype.kind == "b" and classes > 2:
        raise ValueError(f"{name} must be class indices in 0..{classes - 1}, got truth values, as errors are")
    bad = ~((array >= 0) & (array < classes) & (array == np.floor(array)))
    if bad.any():
        refuse_rows(bad, name, f"be class indices in 0..{classes - 1}", array, outside_hint(array, classes))
    return array.astype(np.int64)


def same_length(array: Array, name: str, length: int, reference: str, hint: str = "") -> None:
    """Raise ValueError unless `array` has `length` rows, as `reference` has."""
    if len(array) != length:
        raise ValueError(f"{name} has {len(array)} rows but {reference} has {length}; they must match{hint}")


def as_pair(confidence: ArrayLike, errors: ArrayLike) -> tuple[Array, Array]:
    """Return checked `(confidence, errors)` of one length: finite scores and bool or residual errors.

    A confidence of 0 and 1 is a decision to reject. Pairs that are likely only in the other order are refused.
    """
    scores = as_finite(confidence, "confidence")
    residuals = as_errors(errors)
    same_length(residuals, "errors", len(scores), "confidence")
    binary = residuals.dtype != bool and bool(((scores == 0) | (scores == 1)).all())
    if binary and 0 < scores.mean() <= 0.5 < residuals.mean():
        raise ValueError(
            "confidence is 0 or 1, mostly 0, and errors are fractions with a mean above 0.5, as if in the wrong order; "
            "expected confidence first, then errors"
        )
    return scores, residuals


def as_fraction(value: float, name: str, *, open_low: bool = False, open_high: bool = False) -> float:
    """Return `value` as a float in [0, 1], without 0 when `open_low` and without 1 when `open_high`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    above = number > 0 if open_low else number >= 0
    if not (above and (number < 1 if open_high else number <= 1)):
        bounds = f"{'(' if open_low else '['}0, 1{')' if open_high else ']'}"
        raise ValueError(f"{name} must be in {bounds}, got {value!r}")
    return number
