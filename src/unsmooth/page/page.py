"""One HTML page that holds its style, its script, plotly and its data: it opens from a disk, without a network."""

import json
import os
from collections.abc import Sequence

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from unsmooth.atomic_files import atomic_path
from unsmooth.page import ASSETS
from unsmooth.page.content import Content

__all__ = ["page", "write_page"]


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
        lead: a sentence below the first plots.
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
    template, style, *scripts = (path.read_text(encoding="utf-8") for path in ASSETS)
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
            scripts=scripts,
            plotly=get_plotlyjs(),
            data=data.replace("<", "\\u003c"),
        )
    )


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write the page to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
