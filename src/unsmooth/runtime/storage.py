"""Where the files of a workflow lie: in its working folder, or in a volume of which every job works on copies.

The second is Snakemake's storage provider fs, by which jobs run that share no working folder, as those of Kubernetes.
The volume has the same absolute path wherever a job runs, so what no rule declares can be written straight into it.
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOGS", "Storage", "StorageError", "storage_of"]

COPIES = ".snakemake/storage/fs"  # where that provider puts the copy of /mnt/a: .snakemake/storage/fs/mnt/a
LOGS = "results/logs/"


class StorageError(ValueError):
    """The files of the workflow lie where their records could not."""


@dataclass(frozen=True)
class Storage:
    """Where the files of a workflow lie, and how a job calls them.

    Attributes:
        folder: what the workflow's own paths (results/..., resources/...) are relative to.
        copies: what the paths of a job's copies begin with; "" where it works on the files themselves.
    """

    folder: Path = Path()
    copies: str = ""

    def name(self, path: str) -> str:
        """Return the workflow's own path of a file of a job."""
        return path.removeprefix(self.copies)


def storage_of(log: str) -> Storage:
    """Return where the files of a workflow lie, of which one job has this `log`.

    Raises:
        StorageError: they do not lie in a folder that the job could write to.

    Example:
        >>> storage_of("results/logs/collect/glyphs.log").name("results/tables/glyphs/summary.csv")
        'results/tables/glyphs/summary.csv'
        >>> storage = storage_of(".snakemake/storage/fs/mnt/volume/results/logs/collect/glyphs.log")
        >>> storage.folder.as_posix()
        '/mnt/volume'
        >>> storage.name(".snakemake/storage/fs/mnt/volume/results/tables/glyphs/summary.csv")
        'results/tables/glyphs/summary.csv'
    """
    copies, found, _ = log.rpartition(LOGS)
    folder = copies.removeprefix(COPIES)
    if not found or (copies and not (copies.startswith(f"{COPIES}/") and copies.endswith("/"))):
        raise StorageError(
            f"results must lie in the working folder, or in a folder by the storage provider fs with its copies in "
            f"{COPIES}; the log of this job is {log}"
        )
    return Storage(Path(folder), copies)
