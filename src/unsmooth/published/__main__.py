"""`python -m unsmooth.published plan DATA`, then snakemake, then `python -m unsmooth.published write`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from unsmooth.config.errors import ConfigError
from unsmooth.published.page import write_page
from unsmooth.published.planning import PLAN, write_plan

RUN = Path()
EXPERIMENTS = Path("experiments")
app = typer.Typer(help="Run the published experiments and write the page of their results.", add_completion=False)


@app.command()
def plan(
    data: Annotated[Path, typer.Argument(help="Folder with one folder a source, such as DATA/cifar10.")],
    only: Annotated[list[str] | None, typer.Option(help="Experiment to run; may be repeated. Without: all.")] = None,
    as_released: Annotated[
        list[str] | None, typer.Option(help="Experiment to run as released too; may be repeated.")
    ] = None,
    finished: Annotated[bool, typer.Option("--finished", help="Only cells that are trained already.")] = False,
) -> None:
    """Write results/published/config.yaml for the experiments with local data."""
    try:
        left_out = write_plan(
            PLAN, EXPERIMENTS, data, only=only or (), as_released=as_released or (), finished=RUN if finished else None
        )
    except ConfigError as error:
        sys.exit(f"error: {error}")
    for line in left_out:
        print(f"Left out: {line}", file=sys.stderr)


@app.command()
def write(
    target: Annotated[Path, typer.Argument(help="Folder of the page; what it holds is replaced.")] = Path(
        "docs/results"
    ),
) -> None:
    """Write the page of the results of the published experiments that are finished in results/."""
    try:
        write_page(RUN, EXPERIMENTS, target)
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app()
