"""Write the table of losses under MSP and its repairs, with its summary in words."""

import json
from pathlib import Path

import pandas as pd

from unsmooth.atomic_files import atomic_path
from unsmooth.runtime.jobs import job
from unsmooth.tables.labels import Losses
from unsmooth.tables.losses import losses_summary, losses_table
from unsmooth.tables.writing import write_table

if __name__ == "__main__":
    with job(snakemake, __file__):
        losses = Losses.of(json.loads(snakemake.params.losses))
        summary, differences = pd.read_csv(snakemake.input.summary), pd.read_csv(snakemake.input.differences)
        write_table(losses_table(summary, differences, losses=losses), Path(snakemake.output.csv).with_suffix(""))
        with atomic_path(Path(snakemake.output.summary)) as temporary:
            temporary.write_text("\n\n".join(losses_summary(differences, losses=losses)) + "\n", encoding="utf-8")
