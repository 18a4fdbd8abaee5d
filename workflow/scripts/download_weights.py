"""Fetch a file of weights from the Hugging Face Hub."""

from pathlib import Path

from unsmooth.data.hub import download_from_hub
from unsmooth.runtime.jobs import job

if __name__ == "__main__":
    with job(snakemake, __file__):
        download_from_hub(
            snakemake.params.reference,
            Path(snakemake.output[0]),
            mirrors=snakemake.config.get("downloads", {}).get("mirrors"),
        )
