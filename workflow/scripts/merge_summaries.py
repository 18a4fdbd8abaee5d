"""Merge the summaries of all experiments."""

from pathlib import Path

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job


def merge_summaries(summaries: list[str], output: Path) -> None:
    """Write the rows of all `summaries`, in their order."""
    with atomic_path(output) as temporary:
        pd.concat([pd.read_csv(path) for path in summaries]).to_csv(temporary, index=False)


if __name__ == "__main__":
    with job(snakemake, __file__):
        merge_summaries(list(snakemake.input), Path(snakemake.output[0]))
