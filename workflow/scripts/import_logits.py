"""Bring logits that were made elsewhere into the form of a cell."""

import json
from pathlib import Path
from typing import Any

from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.logits_file import LogitsFileError, write_logits
from unsmooth.logits.probabilities import check_probabilities
from unsmooth.runtime.jobs import job


def import_logits(source: Path, cell: dict[str, Any], output: Path) -> None:
    """Read any supported file and write it as the logits of `cell` on the split that `output` is named after."""
    file = read_any(source)
    logits = file.logits
    if file.is_probabilities:
        try:
            logits = check_probabilities(file.logits)
        except ValueError as error:
            raise LogitsFileError(f"{source}: {error}") from None
        print(f"{source} holds probabilities: their logarithms are taken as logits")
    metadata = {"cell": cell, "split": output.stem, "source": str(source), "log_probabilities": file.is_probabilities}
    write_logits(output, logits, file.targets, metadata=metadata)
    print(f"{source}: {len(logits)} samples, {logits.shape[1]} classes")


if __name__ == "__main__":
    with job(snakemake, __file__):
        import_logits(
            Path(snakemake.input[0]),
            json.loads(snakemake.params.cell),
            Path(snakemake.output[0]),
        )
