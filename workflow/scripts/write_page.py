"""Write the page of a run."""

import json
from collections.abc import Sequence
from pathlib import Path

from unsmooth.page.content import scorecard_contents
from unsmooth.page.page import page, write_page
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_costs, read_summaries


def write_page_of_run(
    contents: list[Path],
    summaries: Sequence[str | Path],
    costs: Sequence[str | Path],
    descriptions: dict[str, str],
    compared: dict,
    output: Path,
) -> None:
    """Write one page of all experiments, with the scorecard of those with published numbers."""
    groups = [group for path in contents for group in json.loads(path.read_text(encoding="utf-8"))]
    text = page(
        [{**group, "description": descriptions[group["experiment"]]} for group in groups],
        title="What label smoothing does to selective classification",
        lead="Intervals are 95 % bootstrap intervals over the test samples. Thresholds of MSP are those of "
        "−log(1 − MSP), which keeps apart what rounds to 1.",
        tables=scorecard_contents(compared, read_summaries(summaries), read_costs(costs)) if compared else [],
        tables_heading="Scorecard against published numbers",
    )
    write_page(text, output)


if __name__ == "__main__":
    with job(snakemake, __file__):
        write_page_of_run(
            [Path(path) for path in snakemake.input.contents],
            snakemake.input.summaries,
            snakemake.input.costs,
            json.loads(snakemake.params.descriptions),
            json.loads(snakemake.params.compared),
            Path(snakemake.output[0]),
        )
