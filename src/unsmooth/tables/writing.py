"""Tables as CSV, Markdown and LaTeX files."""

from collections.abc import Hashable, Iterator
from pathlib import Path
from textwrap import wrap

from pandas import Series
from tabulate import tabulate

from unsmooth.atomic_files import atomic_path
from unsmooth.tables.labels import DAGGER, DASH
from unsmooth.tables.layouts import Table

TEXT_WIDTH, CHARACTER, GAP = 345.0, 4.3, 6.0  # pt: an article's text, a character of footnotesize, a gap
HEADING = 13  # characters
ESCAPES = str.maketrans(
    {character: rf"\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    | {"±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\to$", DASH: "--", DAGGER: r"$^{\dagger}$"}
)


def write_table(table: Table, stem: Path) -> None:
    notes = "".join(f"\n{note}\n" for note in table.notes)
    cells = table.display.replace({r"\|": r"\\|", r"\s*\n\s*": " "}, regex=True).to_dict("list")
    markdown = tabulate(cells, headers="keys", tablefmt="pipe", disable_numparse=True)
    texts = {
        ".csv": table.data.to_csv(index=False, lineterminator="\n"),
        ".md": f"{table.caption}\n\n{markdown}\n{notes}",
        ".tex": "\n".join(_latex_lines(table)) + "\n",
    }
    for suffix, text in texts.items():
        with atomic_path(stem.with_name(stem.name + suffix)) as path:
            path.write_text(text, encoding="utf-8", newline="\n")


def _latex_lines(table: Table) -> Iterator[str]:
    """One or several floats, each at most as wide as the text, with the label columns first."""
    labels = list(table.display.columns[: table.label_columns])
    panels = _panels(table)
    yield "% Needs the package booktabs."
    for place, values in enumerate(panels, start=1):
        chosen = [*labels, *values]
        part = f" ({place} of {len(panels)})" if len(panels) > 1 else ""
        yield r"\begin{table}"
        yield r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"
        yield rf"\caption{{{_latex(table.caption + part)}}}"
        yield rf"\begin{{tabular}}{{@{{}}{'l' * len(chosen)}@{{}}}}"
        yield r"\toprule"
        yield " & ".join(_stacked(wrap(str(title), HEADING)) for title in chosen) + r" \\"
        yield r"\midrule"
        for row in table.display[chosen].itertuples(index=False):
            yield " & ".join(_stacked(_lines(cell)) for cell in row) + r" \\"
        yield r"\bottomrule"
        yield r"\end{tabular}\par\smallskip"
        yield from (_latex(note) + r"\par" for note in table.notes)
        yield r"\end{table}"


def _panels(table: Table) -> list[list[Hashable]]:
    """The columns of numbers in panels of about equal size that fit the text width."""
    widths = {title: _width(title, cells) for title, cells in table.display.items()}
    labels, values = (list(widths)[part] for part in (slice(table.label_columns), slice(table.label_columns, None)))
    room = TEXT_WIDTH - sum(widths[title] for title in labels)
    for panels in range(1, len(values) + 1):
        size = -(-len(values) // panels)
        found = [values[start : start + size] for start in range(0, len(values), size)]
        if all(sum(widths[title] for title in panel) <= room for panel in found):
            break
    return found


def _width(title: Hashable, cells: Series) -> float:
    lines = [*wrap(str(title), HEADING), *(line for cell in cells for line in _lines(cell))]
    return CHARACTER * max(map(len, lines)) + GAP


def _lines(cell: str) -> list[str]:
    """A value above its interval; other text unchanged."""
    value, bracket, interval = cell.partition(" [")
    return [value, f"[{interval}"] if bracket else [cell]


def _stacked(lines: list[str]) -> str:
    """Stacked lines, so that a column is only as wide as the longest."""
    if len(lines) == 1:
        return _latex(lines[0])
    return r"\shortstack[l]{" + r" \\ ".join(f"{{{_latex(line)}}}" for line in lines) + "}"


def _latex(text: str) -> str:
    return str(text).replace(f" {DAGGER}", DAGGER).translate(ESCAPES)
