"""Self-contained HTML page with inlined style, script, plotly and data; it opens offline."""

import json
import os
from collections.abc import Sequence

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from unsmooth.atomic_files import atomic_path
from unsmooth.page import ASSETS
from unsmooth.page.content import Content


def page(
    contents: Sequence[Content],
    *,
    title: str,
    lead: str,
    models: str = "Losses",
    tables: Sequence[Content] = (),
    tables_heading: str = "",
) -> str:
    """The page as HTML text without external resources.

    Args:
        contents: content per choice of the first control, from `experiment_content` or `diagnoses_content`.
        title, lead: heading, and a sentence below the first plots.
        models: noun for the compared models.
        tables, tables_heading: of all contents together, from `plain_table`.

    Raises:
        ValueError: a number is nan or infinite.
    """
    # The data must not open or close a tag.
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
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
