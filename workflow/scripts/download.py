"""Fetch one source of the workflow."""

import json
from pathlib import Path

from unsmooth.data.download import fetch_source
from unsmooth.runtime.jobs import job

if __name__ == "__main__":
    with job(snakemake, __file__):
        source, downloads = snakemake.wildcards.source, snakemake.config.get("downloads", {})
        fetch_source(
            source,
            Path(snakemake.output[0]).parent,
            mirrors=downloads.get("mirrors"),
            checksums=json.loads(snakemake.params.archives),
            local=downloads.get("folders", {}).get(source),
        )
