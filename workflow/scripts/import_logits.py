"""Import logits as those of a cell."""

import json
from pathlib import Path
from typing import Any

from unsmooth.logits.checks import validate
from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.guards import chance_remark, check_same_targets
from unsmooth.logits.logits_file import LogitsFileError, read_logits, write_logits
from unsmooth.logits.probabilities import as_logits
from unsmooth.runtime.jobs import job


def import_logits(source: Path, cell: dict[str, Any], output: Path, compared: Path | None = None) -> None:
    """Read a supported file and write it as the logits of `cell` on the split named by `output`.

    Args:
        source: file of any supported format.
        cell: keys of the cell, for the metadata.
        output: file to write.
        compared: imported logits of another cell, whose samples must be the same in the same order: differences
            between cells are paired by row.
    """
    file = read_any(source, split=output.stem)
    try:
        converted = as_logits(file)
    except ValueError as error:
        raise LogitsFileError(f"{source}: {error}") from None
    if converted.only_msp:
        raise LogitsFileError(f"{source}: {converted.note}")
    validate(converted.logits, file.targets, source)
    if compared is not None:
        other = read_logits(compared, mmap=True, verify=False)
        check_same_targets(file.targets, source, other.targets, Path(other.metadata["source"]))
        if file.num_classes != other.num_classes:
            raise LogitsFileError(
                f"{source}: {file.num_classes} classes, but {other.num_classes} in {other.metadata['source']}; "
                "expected losses of the same task"
            )
    found = (*file.notes, converted.note, chance_remark(converted.logits, file.targets))
    notes = [note for note in found if note]
    metadata = {"cell": cell, "split": output.stem, "source": str(source), "form": file.form, "notes": notes}
    write_logits(output, converted.logits, file.targets, metadata=metadata)
    for note in (f"{file.num_samples} samples, {file.num_classes} classes", *notes):
        print(f"{source}: {note}")


if __name__ == "__main__":
    with job(snakemake, __file__):
        import_logits(
            Path(snakemake.input.source),
            json.loads(snakemake.params.cell),
            Path(snakemake.output[0]),
            *map(Path, snakemake.input.compared),
        )
