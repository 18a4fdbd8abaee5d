"""Softmax outputs in place of logits: recognising them, their logarithms, and what these can and cannot say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.checks import row_blocks, to_numpy

if TYPE_CHECKING:
    from torch import Tensor

    from unsmooth.logits.logits_file import LogitsFile

__all__ = [
    "Converted",
    "are_log_probabilities",
    "are_probabilities",
    "as_logits",
    "check_probabilities",
    "depends_on_mean",
    "logits_from_probabilities",
    "refuse_log_probabilities",
    "refuse_probabilities",
    "refuse_softmax",
    "refuse_unnormalised",
    "refuse_zeros",
]

Floats = NDArray[np.floating[Any]]
ROUNDED_ZERO = -1e-6  # the lowest that rounding leaves of a probability
ENOUGH_ROWS = 20  # of numbers whose kind is told from their values, which few logits may have by chance


class Converted(NamedTuple):
    """Logits to be scored, and what they cannot say.

    Attributes:
        logits: (N, K).
        from_probabilities: the mean of the logits is unknown; see :func:`depends_on_mean`.
        only_msp: some probabilities were zero, so that MSP is the one score that can be had.
        note: the conversion in one sentence; empty for logits.
    """

    logits: Floats
    from_probabilities: bool
    only_msp: bool
    note: str


def are_probabilities(rows: "Tensor | NDArray[Any]", *, whole: float = 1.0) -> bool:
    """Whether rows (N, K) of a tensor or array are softmax outputs: none below `ROUNDED_ZERO`, each summing to one.

    Sums may miss the whole, 100 for percent, by a hundredth of it, which covers softmax outputs in half precision;
    logits of which this holds in every row do not occur. False for anything empty or not of two axes.

    Example:
        >>> are_probabilities(np.array([[0.7, 0.3]])), are_probabilities(np.array([[0.7, -0.3]]))
        (True, False)
    """
    # The first row alone clears nearly all logits.
    if rows.ndim != 2 or 0 in rows.shape or bool((rows[0] < ROUNDED_ZERO).any()):
        return False
    return bool(rows.min() >= ROUNDED_ZERO) and bool((abs(rows.sum(axis=1) - whole) < 0.01 * whole).all())  # type: ignore[call-overload]


def are_log_probabilities(rows: "NDArray[Any]", *, scale: float = 1.0) -> bool:
    """Whether the rows of an (N, K) array are logarithms of softmax outputs, whose exponentials sum to one.

    Args:
        rows: (N, K).
        scale: factor that makes them natural logarithms: log(10) for those of base 10, -1 for negative ones.

    Example:
        >>> are_log_probabilities(np.log([[0.7, 0.3]])), are_log_probabilities(np.array([[-0.7, -0.3]]))
        (True, False)
    """
    if rows.ndim != 2 or 0 in rows.shape or not scale * (rows.max() if scale > 0 else rows.min()) <= 1e-3:
        return False
    return all(
        bool((abs(np.exp(scale * block.astype(np.float64)).sum(axis=1) - 1) < 0.01).all()) for block in row_blocks(rows)
    )


def depends_on_mean(name: str, params: Mapping[str, Any]) -> bool:
    """Whether a score sees the mean of the logits, which softmax outputs do not hold.

    Example:
        >>> depends_on_mean("energy", {}), depends_on_mean("max_logit_pnorm", {"p": 5, "centring": "mean"})
        (True, False)
    """
    return name in ("max_logit", "energy", "vim", "rl_geo_m") or params.get("centring") == "none"


def refuse_log_probabilities(name: str, params: Mapping[str, Any], logits: "Tensor | NDArray[Any]") -> None:
    """Raise ValueError where a score sees the mean of (N, K) logits, and these are logarithms of softmax outputs.

    Example:
        >>> refuse_log_probabilities("energy", {}, np.log([[0.7, 0.3]]))
        Traceback (most recent call last):
        ValueError: energy depends on the mean of the logits, which log-probabilities do not hold
    """
    # The first row alone clears nearly all logits.
    if depends_on_mean(name, params) and all(are_log_probabilities(to_numpy(rows)) for rows in (logits[:1], logits)):
        raise ValueError(f"{name} depends on the mean of the logits, which log-probabilities do not hold")


def refuse_probabilities(logits: "Tensor | NDArray[Any]") -> None:
    """Raise ValueError where (N, K) logits are outputs of softmax, as of scikit-learn's `predict_proba`, or sigmoid."""
    if bool((logits[:1] < ROUNDED_ZERO).any()):  # true of nearly all logits, and spares them the passes below
        return
    refuse_softmax(logits)
    if len(logits) >= ENOUGH_ROWS and (lowest := float(logits.min())) < (highest := float(logits.max())):
        refuse_unnormalised("logits", lowest, highest)


def refuse_softmax(logits: "Tensor | NDArray[Any]") -> None:
    """Raise ValueError where (N, K) logits are outputs of softmax, or percent."""
    if are_probabilities(logits, whole=100.0):
        raise ValueError("logits: every row is non-negative and sums to 100, as percent do; give their logarithms")
    if are_probabilities(logits):
        raise ValueError(
            "logits: every row is non-negative and sums to one, as softmax outputs and predict_proba do; give their "
            "logarithms, unsmooth.logits.probabilities.logits_from_probabilities(probs)"
        )


def refuse_unnormalised(name: str, lowest: float, highest: float) -> None:
    """Raise ValueError for values in [0, 1] that are no softmax outputs.

    Args:
        name: name of the values in the message; they have at least `ENOUGH_ROWS` rows.
        lowest, highest: their extremes.
    """
    if lowest >= 0 and 0.5 < highest <= 1:
        raise ValueError(
            f"{name}: all lie in [0, 1] but rows do not sum to 1: sigmoid outputs, or softmax outputs that were "
            "rounded or cut; give logits"
        )


def refuse_zeros(probs: "Tensor | NDArray[Any]") -> None:
    """Raise ValueError, naming the first row, where a probability of an (N, K) tensor or array is zero."""
    zeros: Any = (probs <= 0).any(axis=1)  # type: ignore[call-overload]
    if zeros.any():
        remedy = "" if probs.dtype.itemsize >= 8 else ", or softmax in float64"
        raise ValueError(
            f"probs has {int(zeros.sum())} rows with a probability of zero, the first is row "
            f"{int(zeros.nonzero()[0][0])}: rounding in softmax lost their logits; save the logits{remedy}"
        )


def logits_from_probabilities(probs: Floats) -> NDArray[np.float32]:
    r"""Logits whose softmax is ``probs``: their logarithm, taken in float64.

    With :math:`\log p_k = z_k - \log\sum_j e^{z_j}` it restores the logits up to one number per row, which centring
    removes: MSP, margins, entropy, every temperature and the centred p-norm come out as from the true logits, while the
    scores of :func:`depends_on_mean` do not.

    Args:
        probs: (N, K), strictly positive, rows summing to one.

    Returns:
        (N, K) float32.

    Raises:
        ValueError: a probability is zero: rounding has destroyed the logit, and no score can rank that row.

    Example:
        >>> logits_from_probabilities(np.array([[0.5, 0.5]]))
        array([[-0.6931472, -0.6931472]], dtype=float32)
    """
    refuse_zeros(probs)
    return np.log(np.asarray(probs, dtype=np.float64)).astype(np.float32)


def check_probabilities(probs: Floats) -> Floats:
    """:func:`logits_from_probabilities`, or the reason why these softmax outputs cannot give them.

    Args:
        probs: (N, K), rows summing to one.

    Returns:
        (N, K) float32 logits.

    Raises:
        ValueError: probabilities of zero, or rounded so coarsely (a few decimals, half precision) that the logarithm of
            the smallest one is off by more than 5 %.

    Example:
        >>> check_probabilities(np.array([[0.7, 0.2, 0.1]]))
        Traceback (most recent call last):
        ValueError: probabilities are rounded to 1 decimals and the smallest is 0.1: ...
    """
    logits = logits_from_probabilities(probs)
    smallest = float(probs.min())
    sample = row_blocks(probs)[0].astype(np.float64)
    for decimals in range(1, 8):
        scaled = sample * 10.0**decimals
        # Single precision cannot hold decimals exactly; 2e-7 is its rounding.
        if (np.abs(scaled - np.round(scaled)) <= 2e-7 * scaled).all():
            _check_resolution(10.0**-decimals, smallest, f"rounded to {decimals} decimals")
            break
    if (sample == sample.astype(np.float16)).all():
        _check_resolution(2.0**-24, smallest, "stored in half precision")
    return logits


def as_logits(file: "LogitsFile") -> Converted:
    """Logits for whatever a file holds.

    Raises:
        ValueError: predicted classes instead of probabilities, or probabilities that :func:`check_probabilities`
            refuses, other than zero.
    """
    values = file.logits
    if file.form == "logits":
        return Converted(values, False, False, "")
    logarithms = file.form == "log-probabilities"
    zeros = (values <= (-np.inf if logarithms else 0)).any(axis=1)
    if not zeros.any():
        rows = "log-probabilities" if logarithms else "softmax outputs; using their logarithms"
        logits = values if logarithms else check_probabilities(values)
        return Converted(logits, True, False, f"rows are {rows}, which centring makes equal to the logits")
    if not logarithms and ((values == 0) | (values == 1)).all():
        raise ValueError("every row has one probability of one and otherwise a probability of zero: predicted classes")
    tiny = np.finfo(values.dtype).tiny
    logits = np.maximum(values, np.log(tiny)) if logarithms else np.log(np.maximum(values, tiny))
    note = (
        f"{int(zeros.sum())} rows of softmax outputs have a probability of zero, the first is row "
        f"{int(zeros.argmax())}; only MSP can be had, under which sure rows tie: save the logits to compare others"
    )
    return Converted(logits.astype(np.float32), True, True, note)


def _check_resolution(step: float, smallest: float, how: str) -> None:
    if step / 2 > 0.05 * smallest:
        raise ValueError(
            f"probabilities are {how} and the smallest is {smallest:g}: too coarse for their logarithms; "
            "save the logits, or softmax in float32 with all digits"
        )
