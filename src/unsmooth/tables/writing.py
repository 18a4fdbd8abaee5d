"""Tables as CSV, Markdown and LaTeX files."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from tabulate import tabulate

from unsmooth.atomic_files import atomic_path
from unsmooth.tables.labels import DAGGER, DASH
from unsmooth.tables.layouts import Table

PANEL_COLUMNS = 6  # of numbers; more would shrink a page-wide table below reading size


def write_table(table: Table, stem: Path) -> None:
    """Write `stem`.csv (numbers), `stem`.md and `stem`.tex (text), each whole or not at all."""
    notes = "".join(f"\n{note}\n" for note in table.notes)
    markdown = tabulate(
        table.display.to_dict("list"),
        headers="keys",
        tablefmt="pipe",
        disable_numparse=True,
    )
    texts = {
        ".csv": table.data.to_csv(index=False, lineterminator="\n"),
        ".md": f"{table.caption}\n\n{markdown}\n{notes}",
        ".tex": "\n".join(_latex_lines(table)) + "\n",
    }
    for suffix, text in texts.items():
        with atomic_path(stem.with_name(stem.name + suffix)) as path:
            path.write_text(text, encoding="utf-8", newline="\n")


def _latex_lines(table: Table) -> Iterator[str]:
    """A table of panels one below the other, each with the label columns and at most `PANEL_COLUMNS` of the others."""
    columns = list(table.display.columns)
    labels, values = columns[: table.label_columns], columns[table.label_columns :]
    panels = -(-len(values) // PANEL_COLUMNS)
    size = -(-len(values) // panels)
    yield "% Needs the packages booktabs and graphicx."
    yield r"\begin{table}"
    yield r"\centering\footnotesize"
    yield rf"\caption{{{_latex(table.caption)}}}"
    for start in range(0, len(values), size):
        chosen = [*labels, *values[start : start + size]]
        yield r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
        yield rf"\begin{{tabular}}{{{'l' * len(chosen)}}}"
        yield r"\toprule"
        yield " & ".join(map(_heading, chosen)) + r" \\"
        yield r"\midrule"
        for row in table.display[chosen].itertuples(index=False):
            yield " & ".join(map(_latex, row)) + r" \\"
        yield r"\bottomrule"
        yield r"\end{tabular}}\par\medskip"
    yield from (_latex(note) for note in table.notes)
    yield r"\end{table}"


def _heading(title: str) -> str:
    """A column title over several lines, so that it is not wider than the numbers below it."""
    return r"\shortstack[l]{" + r" \\ ".join(map(_latex, wrap(title, 13))) + "}"


def _latex(text: str) -> str:
    escapes = {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "→": r"$\to$",
    }
    escapes |= {
        DASH: "--",
        f" {DAGGER}": r"$^{\dagger}$",
        DAGGER: r"$^{\dagger}$",
        "<": "$<$",
        ">": "$>$",
    }
    escapes |= {character: rf"\{character}" for character in "&%$#_{}"}
    escapes |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    pattern = re.compile("|".join(map(re.escape, sorted(escapes, key=len, reverse=True))))
    return pattern.sub(lambda match: escapes[match.group()], str(text))
