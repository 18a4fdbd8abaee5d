"""Write the headline and the findings of every architecture of an experiment, in Markdown."""

import json

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job
from unsmooth.tables.findings import findings_text
from unsmooth.tables.labels import Losses

if __name__ == "__main__":
    with job(snakemake, __file__):
        summary, differences = pd.read_csv(snakemake.input.summary), pd.read_csv(snakemake.input.differences)
        text = findings_text(summary, differences, losses=Losses.of(json.loads(snakemake.params.losses)))
        with atomic_path(snakemake.output[0]) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(text)
