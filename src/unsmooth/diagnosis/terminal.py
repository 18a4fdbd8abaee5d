"""A diagnosis on a terminal: tables, sentences and a progress bar, plain text in a pipe."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from unsmooth.diagnosis.wording import label_of, score_rows
from unsmooth.registry.scores import score_label

if TYPE_CHECKING:
    from unsmooth.diagnosis.result import Diagnosis

_PIPE_WIDTH = 160


def print_diagnosis(result: "Diagnosis") -> None:
    """Verdict, findings, the table of scores and the next step of one diagnosis."""
    rows = result.rows
    verdict, *sentences, next_step = result.findings()
    console = _console()
    console.print(f"\n{result.name}", style="bold")
    console.print(verdict)
    console.print(
        f"{result.num_classes} classes. Split {result.split}: {rows['fit']:,} fit, {rows['certify']:,} certify, "
        f"{rows['test']:,} test."
    )
    for sentence in sentences:
        console.print(f"- {sentence}")
    print_table(
        ["score", "AURC % unfitted", "AURC % fitted", "change against MSP [95 %]", "p (Holm)", "parameters"],
        score_rows(result, mark=" *"),
        title=f"Scores on the test samples, best first (* recommended: {label_of(result.recommended)})",
    )
    for name, reason in result.left_out.items():
        console.print(f"{score_label(name)} left out: {reason}.")
    console.print(next_step)


def print_comparison(results: Sequence["Diagnosis"]) -> None:
    """One line for each of several diagnoses."""
    _console().print("\nComparison", style="bold")
    risk = f"{100 * results[0].target_risk:g} %"
    table = [
        [
            result.name,
            f"{100 * result.error.point:.2f}",
            result.signature.verdict,
            f"{100 * result.aurc.point:.2f}",
            f"{100 * result.repaired_aurc.point:.2f}",
            label_of(result.recommended),
            f"{100 * result.before.coverage.point:.1f} -> {100 * result.after.coverage.point:.1f}",
            result.after.rule if result.after.certificate.feasible else "infeasible",
        ]
        for result in results
    ]
    header = ["file", "error %", "smoothing", "AURC %", "repaired", "score", f"coverage % at {risk}", "certified"]
    print_table(header, table, title="Each file on its own test samples")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str) -> None:
    """Print a table; columns of numbers to the right, rows whose first cell ends in " *" bold."""
    table = Table(title=title, title_justify="left", title_style="", box=SIMPLE, pad_edge=False)
    for position, name in enumerate(header):
        numbers = position > 0 and all(row[position][:1] in "+-0123456789" for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row, style="bold" if row[0].endswith(" *") else "")
    _console().print(table)


def _console() -> Console:
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(width=_PIPE_WIDTH, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, if that and standard output are terminals: in a pipe the next command has its own."""
    shown = sys.stderr.isatty() and sys.stdout.isatty()
    name_column = TextColumn("{task.fields[name]}", markup=False)
    columns = (name_column, BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task("reading", name=name, total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
