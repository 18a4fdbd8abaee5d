"""Numbers with their intervals in the words of a report."""

from unsmooth.metrics import Interval


def percent(interval: Interval, decimals: int = 1) -> str:
    """A fraction and its interval in percent."""
    point, low, high = (f"{100 * v:.{decimals}f}" for v in (interval.point, interval.low, interval.high))
    return f"{point} % [{low}, {high}]"


def points(interval: Interval, decimals: int = 1) -> str:
    """A difference of fractions and its interval in percentage points."""
    point, low, high = (f"{100 * v:+.{decimals}f}" for v in (interval.point, interval.low, interval.high))
    return f"{point} points [{low}, {high}]"


def signed(interval: Interval) -> str:
    """A number and its interval with signs."""
    return f"{interval.point:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def p_text(value: float) -> str:
    """A p-value with two digits."""
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"
