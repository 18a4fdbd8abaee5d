"""Harmonic and log-factorial sums over ranges of positions, exact to rounding for up to 10 billion positions.

AURC weighs the sample at position j by H_n - H_(j-1), with H the harmonic numbers. Differences of two nearby harmonic
numbers lose all digits when subtracted, so both sums are written as differences from the start:
with x = start + 1/2 and y = x + length,

    H_(start+length) - H_start = log1p(length / x) + c(y) - c(x),  c(x) = 1/(24 x^2) - 7/(960 x^4) + 31/(8064 x^6) - ...

(the midpoint expansion of the digamma function), after moving starts below 16 up by 16 terms, where the truncated
series is exact to 1e-15. Real arguments are allowed, which is what sample weights need.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_SHIFT = 16
_STEPS = np.arange(1.0, _SHIFT + 1.0)


def _digamma_tail(x: Floats) -> Floats:
    u = 1.0 / (x * x)
    return u * (1 / 24 - u * (7 / 960 - u * (31 / 8064 - u * (127 / 30720 - u * (511 / 67584)))))


def _log_gamma_tail(x: Floats) -> Floats:
    u = 1.0 / (x * x)
    return (1.0 / x) * (-1 / 24 + u * (7 / 2880 - u * (31 / 40320 - u * (127 / 215040 - u * (511 / 608256)))))


def _prepare(start: ArrayLike, length: ArrayLike) -> tuple[Floats, Floats, NDArray[np.bool_], Floats]:
    start_, length_ = np.broadcast_arrays(np.asarray(start, np.float64), np.asarray(length, np.float64))
    low = start_ < _SHIFT
    return start_, length_, low, np.where(low, start_ + _SHIFT, start_) + 0.5


def harmonic_span(start: ArrayLike, length: ArrayLike) -> Floats:
    """Sum of 1/k over the `length` positions after `start`: H_(start+length) - H_start, float64.

    Both are non-negative, of shapes that broadcast; real values continue the sum through the digamma function.

    Example:
        >>> float(harmonic_span(1, 2))  # 1/2 + 1/3
        0.8333333333333333
    """
    start_, length_, low, x = _prepare(start, length)
    total = np.asarray(np.log1p(length_ / x) + (_digamma_tail(x + length_) - _digamma_tail(x)))
    if low.any():
        s, m = start_[low][..., None] + _STEPS, length_[low][..., None]
        total[low] += (m / (s * (s + m))).sum(axis=-1)
    return total


def mean_harmonic_span(start: ArrayLike, length: ArrayLike) -> Floats:
    """Mean of H_(start+length) - H_(j-1) over the `length` positions j after `start`.

    Equals 1 - start / length * harmonic_span(start, length), which loses all digits when start is far above length:
    then it is about (length + 1) / (2 start). With r = length / x and t = r / (2 + r),

        1 - log1p(r) / r = t - (1 - t) (t^2 / 3 + t^4 / 5 + t^6 / 7 + ...)

    keeps them, and start = x - 1/2 adds log1p(r) / (2 length) and the small tail.

    Args:
        start: non-negative, any shape.
        length: positive, broadcast against `start`.

    Returns:
        float64 array of the broadcast shape.

    Example:
        >>> round(float(mean_harmonic_span(1e15, 1)) * (1e15 + 1), 13)  # the position is 1e15 + 1
        1.0
    """
    start_, length_, _, x = _prepare(start, length)
    r = length_ / x
    far = (start_ >= _SHIFT) & (r < 0.25)
    mean = np.asarray(1 - start_ / length_ * harmonic_span(start_, length_))
    x, r, m = x[far], r[far], length_[far]
    t = r / (2 + r)
    series = np.zeros_like(t)
    for power in range(17, 1, -2):  # t is below 1/9: the first term left out is below 1e-18 t
        series = t * t * (1 / power + series)
    tail = (x - 0.5) / m * (_digamma_tail(x + m) - _digamma_tail(x))
    mean[far] = t - (1 - t) * series + (np.log1p(r) / (2 * m) - tail)
    return mean


def log_span(start: ArrayLike, length: ArrayLike) -> Floats:
    """Sum of ln k over the `length` positions after `start`: ln((start+length)! / start!).

    Example:
        >>> round(float(np.exp(log_span(1, 2))), 12)  # 2 * 3
        6.0
    """
    start_, length_, low, x = _prepare(start, length)
    y = x + length_
    total = np.asarray(
        length_ * np.log(y) + (x * np.log1p(length_ / x) - length_) + (_log_gamma_tail(y) - _log_gamma_tail(x))
    )
    if low.any():
        total[low] -= np.log1p(length_[low][..., None] / (start_[low][..., None] + _STEPS)).sum(axis=-1)
    return total
