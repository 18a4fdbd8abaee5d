"""One HTML page that holds its style, its script, plotly and its data: it opens from a disk, without a network."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment
from pandas import DataFrame
from plotly.offline import get_plotlyjs

from unsmooth.explorer import ASSETS
from unsmooth.files import atomic_path
from unsmooth.tables import Table

__all__ = ["Content", "page", "plain_columns", "plain_table", "write_page"]

Content = dict[str, Any]


def page(
    contents: Sequence[Content],
    *,
    title: str,
    lead: str,
    models: str = "Losses",
    tables: Sequence[Content] = (),
    tables_heading: str = "",
) -> str:
    """The page as HTML text.

    Args:
        contents: what each choice of the first control shows, from `experiment_content` or `diagnoses_content`.
        title: heading.
        lead: a sentence or two below it.
        models: what the curves are of.
        tables: of all contents together, from `plain_table`.
        tables_heading: their heading.

    Returns:
        HTML that loads nothing from elsewhere.

    Raises:
        ValueError: a number that JSON does not have.
    """
    # No tag can end or begin inside the data.
    data = json.dumps({"groups": contents, "tables": tables}, allow_nan=False, separators=(",", ":"))
    template, style, script = (path.read_text(encoding="utf-8") for path in ASSETS)
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            title=title,
            lead=lead,
            models=models,
            tables=tables,
            tables_heading=tables_heading,
            style=style,
            script=script,
            plotly=get_plotlyjs(),
            data=data.replace("<", "\\u003c"),
        )
    )


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write the page to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
