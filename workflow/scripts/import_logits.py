"""Bring logits that were made elsewhere into the form of a cell."""

import json
from pathlib import Path
from typing import Any

from unsmooth.foreign_logits import logits_from_probabilities, read_any
from unsmooth.jobs import job_log
from unsmooth.logits import write_logits


def import_logits(source: Path, cell: dict[str, Any], output: Path) -> None:
    """Read any supported file and write it as the logits of `cell` on the split that `output` is named after."""
    file = read_any(source)
    logits = logits_from_probabilities(file.logits) if file.is_probabilities else file.logits
    if file.is_probabilities:
        print(f"{source} holds probabilities: their logarithms are taken as logits")
    write_logits(output, logits, file.targets, metadata={"cell": cell, "split": output.stem, "source": str(source)})
    print(f"{source}: {len(logits)} samples, {logits.shape[1]} classes")


if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        import_logits(Path(snakemake.input[0]), json.loads(snakemake.params.cell), Path(snakemake.output[0]))
