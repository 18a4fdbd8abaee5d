"""Fetch a file of weights from the Hugging Face hub."""

from pathlib import Path

from unsmooth.data.download import download_from_hub
from unsmooth.jobs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        download_from_hub(
            snakemake.params.reference,
            Path(snakemake.output[0]),
            mirrors=snakemake.config.get("downloads", {}).get("mirrors"),
        )
