"""Write the findings of an experiment in sentences."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job
from unsmooth.tables.findings import findings_text
from unsmooth.tables.labels import Losses


def write_findings(summary: str, differences: str, losses: Losses, output: Path) -> None:
    """Write the headline and the sentences of every architecture, in Markdown."""
    text = findings_text(pd.read_csv(summary), pd.read_csv(differences), losses=losses)
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    with job(snakemake, __file__):
        write_findings(
            snakemake.input.summary,
            snakemake.input.differences,
            Losses.of(json.loads(snakemake.params.losses)),
            Path(snakemake.output[0]),
        )
