"""Fetch one source of the workflow."""

import json
from pathlib import Path
from typing import Any

from unsmooth.data.download import fetch_source
from unsmooth.runtime.jobs import job


def fetch(name: str, folder: Path, archives: str, downloads: dict[str, Any]) -> None:
    """Fetch the source `name` into `folder`; JSON `archives` holds the expected digests."""
    fetch_source(
        name,
        folder,
        mirrors=downloads.get("mirrors"),
        checksums=json.loads(archives),
        local=downloads.get("folders", {}).get(name),
    )


if __name__ == "__main__":
    with job(snakemake, __file__):
        fetch(
            snakemake.wildcards.source,
            Path(snakemake.output[0]).parent,
            snakemake.params.archives,
            snakemake.config.get("downloads", {}),
        )
