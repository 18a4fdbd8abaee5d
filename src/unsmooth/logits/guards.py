"""Signs that logits and targets, or test and validation data, are not what they are taken for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.checks import LogitsFileError, row_blocks
from unsmooth.logits.probabilities import ENOUGH_ROWS

_FEW_CLASSES = 3  # without targets, where columns are no classes; test sets of other kinds lack more
Floats = NDArray[np.floating[Any]]


def chance_remark(logits: Floats, targets: NDArray[np.int64]) -> str | None:
    """A warning where predictions agree with the targets no more often than by chance; None where they do.

    Chance is the error rate of the same predictions in random order. Where targets moved by one class would fit far
    better, the warning says so.

    Example:
        >>> chance_remark(np.eye(4), np.arange(4))
        >>> chance_remark(np.eye(3)[np.arange(300) % 3], (np.arange(300) + 1) % 3)
        'error rate 1.000 is no better than chance (0.667): do the targets belong to these rows, in this order?'
    """
    classes = logits.shape[1]
    predictions = logits.argmax(axis=1)
    error = float((predictions != targets).mean())
    shares = (np.bincount(labels, minlength=classes) / len(labels) for labels in (predictions, targets))
    chance = 1 - float(np.dot(*shares))
    least = chance - 2 * (chance * (1 - chance) / len(targets)) ** 0.5
    if error <= least or not 0 < chance < 1 or least <= 0:  # of so few rows none could be better
        return None
    remark = f"error rate {error:.3f} is no better than chance ({chance:.3f}): "
    for shift, counted in ((-1, "1, so subtract 1"), (1, "-1, so add 1")):
        moved = float((predictions != targets + shift).mean())
        if moved < chance / 2 and targets.min() + shift >= 0 and targets.max() + shift < classes:
            return f"{remark}with targets that count from {counted}, it would be {moved:.3f}"
    return f"{remark}do the targets belong to these rows, in this order?"


def check_not_sorted(logits: Floats, targets: NDArray[np.int64], path: Path) -> None:
    """Raise LogitsFileError where every row of (N, K) falls from left to right and the targets do not fit that.

    Example:
        >>> check_not_sorted(np.tile([0.7, 0.2, 0.1], (30, 1)), np.arange(30) % 3, Path("top3.csv"))
        Traceback (most recent call last):
        unsmooth.logits.checks.LogitsFileError: top3.csv: every row is sorted from large to small, as the 3 best ...
    """
    classes = logits.shape[1]
    falls = classes > 2 and len(logits) >= ENOUGH_ROWS and bool((logits[:, :-1] >= logits[:, 1:]).all())
    if falls and bool((logits[:, 0] > logits[:, -1]).all()) and chance_remark(logits, targets):
        raise LogitsFileError(
            f"{path}: every row is sorted from large to small, as the {classes} best of more values are; expected the "
            "value of class 0 in the first column, of class 1 in the second, and so on"
        )


def check_classes_occur(logits: Floats, targets: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Raise LogitsFileError where a class is predicted but never a target, as a column that is no class makes one.

    Example:
        >>> logits = np.c_[np.eye(2)[np.arange(60) % 2], np.linspace(0, 9, 60)]
        >>> check_classes_occur(logits, np.arange(60) % 2, ["cat", "dog", "age"], Path("test.csv"))
        Traceback (most recent call last):
        unsmooth.logits.checks.LogitsFileError: test.csv: 'age' is predicted in 88 % of the rows and never a target; ...
    """
    rows, classes = logits.shape
    missing = np.flatnonzero(np.bincount(targets, minlength=classes) == 0)
    if rows < ENOUGH_ROWS * classes or len(missing) > min(_FEW_CLASSES, classes - 2):
        return
    shares = np.bincount(logits.argmax(axis=1), minlength=classes) / rows
    for index in missing[shares[missing] > 0.05]:
        raise LogitsFileError(
            f"{path}: {names[index]!r} is predicted in {100 * shares[index]:.0f} % of the rows and never a target; "
            f"are {', '.join(map(repr, names[:12]))} all classes? Choose their columns with --logits-key"
        )


def check_same_ids(
    ids: Mapping[str, NDArray[Any]], path: Path, other_ids: Mapping[str, NDArray[Any]], other_path: Path
) -> None:
    """Raise LogitsFileError where a column of ids that two files share says that their rows are in another order.

    Example:
        >>> check_same_ids({"id": np.array([1, 2])}, Path("a.csv"), {"id": np.array([2, 1])}, Path("b.csv"))
        Traceback (most recent call last):
        unsmooth.logits.checks.LogitsFileError: b.csv: row 0: 'id' is 2, but 1 in a.csv; expected the same order of ...
    """
    for name in ids.keys() & other_ids.keys():
        mine, others = ids[name], other_ids[name]
        # Equal lengths of other ids: an index may have been numbered anew.
        if len(mine) == len(others) and set(mine) == set(others) and (mine != others).any():
            row = int((mine != others).argmax())
            raise LogitsFileError(
                f"{other_path}: row {row}: {name!r} is {others[row]}, but {mine[row]} in {path}; "
                "expected the same order of the rows in both"
            )


def check_same_targets(
    targets: NDArray[np.int64], path: Path, other_targets: NDArray[np.int64], other_path: Path
) -> None:
    """Raise LogitsFileError where two files of targets, (N,) each, are not those of the same samples in one order.

    Example:
        >>> check_same_targets(np.array([0, 2]), Path("ls.npz"), np.array([0, 1]), Path("ce.npz"))
        Traceback (most recent call last):
        unsmooth.logits.checks.LogitsFileError: ls.npz: row 1: target 2, but 1 in ce.npz; expected the same samples ...
    """
    expected = "expected the same samples in the same order, because losses are compared row by row"
    if len(targets) != len(other_targets):
        raise LogitsFileError(f"{path}: {len(targets)} targets, but {len(other_targets)} in {other_path}; {expected}")
    differs = targets != other_targets
    if differs.any():
        row = int(differs.argmax())
        raise LogitsFileError(
            f"{path}: row {row}: target {targets[row]}, but {other_targets[row]} in {other_path}; {expected}"
        )


def refuse_target_column(logits: Any, targets: Any, name: str = "logits") -> None:  # noqa: ANN401 - arrays or tensors
    """Raise ValueError where a column of (N, K) logits, called `name`, holds the targets (N,), as a whole table does.

    Example:
        >>> refuse_target_column(np.arange(60.0).reshape(30, 2) % 3, np.arange(0, 60, 2) % 3)
        Traceback (most recent call last):
        ValueError: logits: column 0 holds the targets; leave it out
    """
    if len(targets) < ENOUGH_ROWS or bool((targets == targets[0]).all()):
        return
    head = slice(ENOUGH_ROWS)
    for column, same in enumerate((logits[head] == targets[head, None]).all(0).tolist()):
        if same and bool((logits[:, column] == targets).all()):
            raise ValueError(f"{name}: column {column} holds the targets; leave it out")


def column_names(values: Any) -> list[str]:  # noqa: ANN401
    """Names of the columns of a data frame or an Arrow table; none of anything else."""
    return [str(name) for name in getattr(values, "column_names", getattr(values, "columns", ()))]


def refuse_other_columns(values: Any, name: str, expected: Sequence[str]) -> None:  # noqa: ANN401
    """Raise ValueError where a data frame, called `name`, has other columns or another order than expected.

    Values or expectations without names of columns pass.

    Example:
        >>> import pandas as pd
        >>> refuse_other_columns(pd.DataFrame([[0.3, 0.7]], columns=["dog", "cat"]), "logits", ["cat", "dog"])
        Traceback (most recent call last):
        ValueError: logits must have the columns ['cat', 'dog'], got ['dog', 'cat']
    """
    columns = column_names(values)
    if columns and expected and columns != list(expected):
        raise ValueError(f"{name} must have the columns {list(expected)}, got {columns}")


def check_disjoint(tested: Floats, name: str, fitting: Floats, fitting_name: str) -> float:
    """Raise ValueError where most rows that test, (N, K), also fit, (M, K); otherwise their share.

    Example:
        >>> check_disjoint(np.eye(3), "the rows of test.npz", np.eye(3), "val.npz")
        Traceback (most recent call last):
        ValueError: 100 % of the rows of test.npz are also in val.npz; what fits and what tests must be other samples
    """
    share = shared_rows(tested, fitting)
    if share > 0.5:
        raise ValueError(
            f"{100 * share:.3g} % of {name} are also in {fitting_name}; what fits and what tests must be other samples"
        )
    return share


def shared_rows(first: Floats, second: Floats) -> float:
    """Share of the different rows of (N, K) logits that are also rows of others, (M, K).

    Rows that differ by one number in all classes, as logits and the logarithms of their softmax do, count as the same
    where half of the rows at least are so. Rows that are equal by chance, as coarsely rounded ones of two classes or
    shares of a few votes are, do not count, unless all rows are the same in the same order.

    Example:
        >>> shared_rows(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[3.0, 5.0]]))
        0.5
    """
    exact = _share(_digests(first), _digests(second))
    if exact > 0.5:
        return exact
    shifted = _share(_digests(_projections(first)), _digests(_projections(second)))
    return shifted if shifted > 0.5 else exact


def _share(mine: NDArray[np.uint64], others: NDArray[np.uint64]) -> float:
    """Share of the different numbers that are also among the others, beyond what chance explains."""
    if not len(others):
        return 0.0
    if np.array_equal(mine, others):
        return 1.0
    different = np.unique(mine)
    found = float(np.isin(different, others).mean())
    repeated = float(np.isin(np.unique(others[::2]), others[1::2]).mean())
    chance = 1 - (1 - repeated) ** 2  # at most, among twice as many others
    chance += 3 * (chance * (1 - chance) / len(different)) ** 0.5
    return max(0.0, (found - chance) / (1 - chance)) if chance < 1 else 0.0


def _projections(rows: Floats) -> Floats:
    """Random sums of the differences of each row to its maximum, rounded: (N, 3), the same whatever their mean."""
    classes = rows.shape[1]
    weights = np.random.default_rng(0).normal(size=(classes, 3)) / classes**0.5
    # The one difference of two classes must say all; three sums of more do so in a coarser rounding.
    decimals = 4 if classes == 2 else 2
    lowest = np.log(np.finfo(np.float32).tiny)
    blocks = (block.astype(np.float64) for block in row_blocks(rows))
    gaps = (np.maximum(block - block.max(axis=1, keepdims=True), lowest) for block in blocks)
    return np.concatenate([(gap @ weights).round(decimals) for gap in gaps])


def _digests(rows: Floats) -> NDArray[np.uint64]:
    """A number for each row, equal for equal rows in single precision: sums of random multiples, modulo 2^64."""
    weights = np.random.default_rng(0).integers(1 << 63, size=rows.shape[1], dtype=np.uint64)
    blocks = (np.ascontiguousarray(block, np.float32) for block in row_blocks(rows))
    return np.concatenate([(block.view(np.uint32) * weights).sum(axis=1, dtype=np.uint64) for block in blocks])
