"""Bank Marketing (Moro et al., 2014) and Online Shoppers (Sakar et al., 2019), prepared as the released experiments do.

Categories become one column each, every column is standardised, and a seeded draw of 20 % of the rows trains. The
released preprocessing also standardises by the statistics of all rows, test rows included, and loses the column
`contact` of Bank Marketing; `statistics="all"` and `contact="constant"` repeat both.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.splits import draw_out, hold_out

RELEASED_SEED = 21893027
TEST_SHARE = 0.8

BANK_NUMBERS = [
    *["age", "duration", "campaign", "pdays", "previous"],
    *["emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"],
]
BANK_CATEGORIES = [
    *["job", "marital", "education", "default", "housing", "loan"],
    *["contact", "month", "day_of_week", "poutcome"],
]
SHOPPERS_NUMBERS = [
    *["Administrative", "Administrative_Duration", "Informational", "Informational_Duration"],
    *["ProductRelated", "ProductRelated_Duration", "BounceRates", "ExitRates", "PageValues", "SpecialDay"],
    *["OperatingSystems", "Browser", "Region", "TrafficType"],
]
SHOPPERS_CATEGORIES = ["Month", "VisitorType"]


def build_bank_marketing(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    split_seed: int,
    statistics: str,
    contact: str,
) -> Manifest:
    """Prepare, divide and write Bank Marketing: whether a client subscribes a deposit after a call.

    It has 63 features, or 62 with `contact` "constant", of which the one for contact is 0. The rows of the released
    test part that `num_val` leaves are the test split.
    """
    path = sources["bank_marketing"] / "bank-additional" / "bank-additional-full.csv"
    table = _read_table(path, ";", [*BANK_NUMBERS, *BANK_CATEGORIES, "y"])
    targets = _binary(path, table["y"], "no", "yes")
    categories = BANK_CATEGORIES
    numbers = _numbers(path, table[BANK_NUMBERS])
    if contact == "constant":
        # The released rule makes a column of two values (value == "yes"); these two are cellular and telephone.
        categories = [name for name in categories if name != "contact"]
        numbers["contact"] = 0.0
    features = numbers.join(pd.get_dummies(table[categories], dtype=float))
    return _write(folder, features, targets, num_val, split_seed, statistics, dataset=dataset)


def build_online_shoppers(
    folder: Path, *, dataset: str, sources: dict[str, Path], num_val: int, split_seed: int, statistics: str
) -> Manifest:
    """Prepare, divide and write Online Shoppers: whether a visit ends in a purchase, from 28 features.

    The rows of the released test part that `num_val` leaves are the test split.
    """
    path = sources["online_shoppers"] / "online_shoppers_intention.csv"
    table = _read_table(path, ",", [*SHOPPERS_NUMBERS, *SHOPPERS_CATEGORIES, "Weekend", "Revenue"])
    targets = _binary(path, table["Revenue"], "FALSE", "TRUE")
    numbers = _numbers(path, table[SHOPPERS_NUMBERS])
    numbers["Weekend"] = _binary(path, table["Weekend"], "FALSE", "TRUE")
    features = numbers.join(pd.get_dummies(table[SHOPPERS_CATEGORIES], dtype=float))
    return _write(folder, features, targets, num_val, split_seed, statistics, dataset=dataset)


def _read_table(path: Path, separator: str, columns: list[str]) -> pd.DataFrame:
    """Return the table as text; its columns must be `columns`, in any order."""
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path} is not a table: {error}") from None
    if set(table.columns) != set(columns):
        missing, unknown = set(columns) - set(table.columns), set(table.columns) - set(columns)
        raise DatasetError(
            f"{path} lacks the columns {sorted(missing) or 'none'} and has unknown ones {sorted(unknown) or 'none'}"
        )
    return table


def _numbers(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    try:
        numbers = table.astype(float)
    except ValueError as error:
        raise DatasetError(f"{path} must hold numbers in {', '.join(table.columns)}: {error}") from None
    if not np.isfinite(numbers.to_numpy()).all():
        raise DatasetError(f"{path} must hold finite numbers in {', '.join(table.columns)}")
    return numbers


def _binary(path: Path, column: "pd.Series[str]", negative: str, positive: str) -> "pd.Series[int]":
    if wrong := set(column) - {negative, positive}:
        raise DatasetError(f"{path}: {column.name} must be {negative} or {positive}, got {min(wrong)!r}")
    return (column == positive).astype(int)


def _write(
    folder: Path,
    features: pd.DataFrame,
    targets: "pd.Series[int]",
    num_val: int,
    split_seed: int,
    statistics: str,
    *,
    dataset: str,
) -> Manifest:
    count = len(targets)
    train, left = draw_out(count, int((1 - TEST_SHARE) * count), RELEASED_SEED)
    val, test = (left[chosen] for chosen in hold_out(len(left), num_val, split_seed))
    assert len(torch.cat([train, val, test]).unique()) == count

    inputs = torch.tensor(features.to_numpy(), dtype=torch.float64)
    known = inputs if statistics == "all" else inputs[train]
    std = known.std(dim=0)
    inputs = ((inputs - known.mean(dim=0)) / torch.where(std == 0, 1.0, std)).float()
    labels = torch.tensor(targets.to_numpy())
    splits = {
        name: Split(inputs[rows], labels[rows], indices=rows)
        for name, rows in {"train": train, "val": val, "test": test}.items()
    }
    return write_dataset(folder, splits, dataset=dataset, classes=["no", "yes"], mean=[], std=[])
