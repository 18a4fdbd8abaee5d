"""Plain JSON-ready data, which is what the page is made from."""

from typing import Any

import numpy as np
from pandas import DataFrame

from unsmooth.tables import Table

__all__ = ["Content", "plain_columns", "plain_table"]

Content = dict[str, Any]


def plain_table(table: Table) -> Content:
    """What a reader sees of a table, as plain data."""
    return {
        "caption": table.caption,
        "columns": [str(name) for name in table.display.columns],
        "rows": table.display.astype(str).to_numpy().tolist(),
        "labels": table.label_columns,
        "notes": list(table.notes),
    }


def plain_columns(frame: DataFrame) -> Content:
    """The columns of numbers as lists of five digits; None for nan."""
    return {
        str(name): [None if np.isnan(value) else float(f"{value:.5g}") for value in values]
        for name, values in frame.items()
    }
