"""Atomic file writes, readable disk errors and checksums."""

import errno
import fcntl
import hashlib
import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from tempfile import mkstemp

OF_A_USER = {errno.EDQUOT, errno.EACCES, errno.EPERM}
REFUSED = OF_A_USER | {errno.ENOSPC, errno.EFBIG, errno.EROFS}


class WriteError(OSError):
    """The disk is full or read-only, or a quota, a limit or a permission forbids what was asked of a file."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path of the same suffix beside `path`, which it replaces when the block succeeds.

    Content and folder are flushed to disk, so a crash leaves either the old file or the new one. When the block raises,
    `path` is untouched and the temporary file is removed. Missing parent folders are created.

    Raises:
        WriteError: the disk, a quota, a limit or a permission forbids it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        temporary = Path(name)
        try:
            _lock(handle)
            with explained_write_errors(path):  # while what was written still counts in what is free
                yield temporary
                # mkstemp makes private files; results are for everyone the umask allows.
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)
                _sync(temporary)
                temporary.replace(path)
                _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def explained_write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise a `WriteError` in place of an error that a disk, a quota, a limit or a permission is behind.

    Args:
        path: what the block writes; the message starts with it, unless the error is about another folder.
    """
    path = Path(path)
    try:
        yield
    except Exception as error:
        number, named = _refusal(error)
        if number not in REFUSED:
            raise
        refused = path if named is None or named.absolute().parent == path.absolute().parent else named
        raise WriteError(f"{refused}: {_reason(number, refused.absolute().parent)}") from None


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what a process left beside `path` that was killed while it wrote in `atomic_path`.

    What a living process writes stays: the job of a killed run may live on while another run makes the same file.
    """
    path = Path(path)
    for left in path.parent.glob(f".{escape(path.stem)}-????????{escape(path.suffix)}"):
        with suppress(FileNotFoundError, PermissionError), left.open("r+b") as file:  # NFS locks no file opened to read
            if _lock(file.fileno()):
                left.unlink()


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; return whether no other process holds it (True where locks are unknown)."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # any other is of a file system without locks
        return not isinstance(error, BlockingIOError)
    return True


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(error: BaseException) -> tuple[int, Path | None]:
    """Return the number of the system's error behind `error`, or 0, and the file that it names, if any.

    Libraries in Rust give the number in the text alone, and matplotlib hides it behind an error of its own.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno, Path(error.filename) if isinstance(error.filename, str) else None
    if found := re.search(r"\(os error (\d+)\)", str(error)):
        return int(found[1]), None
    if error.__context__ is None or error.__suppress_context__:
        return 0, None
    return _refusal(error.__context__)


def _reason(number: int, folder: Path) -> str:
    reason = os.strerror(number)
    if number == errno.ENOSPC:
        disk = shutil.disk_usage(next(each for each in (folder, *folder.parents) if os.path.exists(each)))
        return f"{reason}: {_mebibytes(disk.free)} of {_mebibytes(disk.total)} are free in {folder}"
    if number == errno.EFBIG and (limit := resource.getrlimit(resource.RLIMIT_FSIZE)[0]) != resource.RLIM_INFINITY:
        return f"{reason}: files may have {_mebibytes(limit)} at most (ulimit -f) in {folder}"
    if number in OF_A_USER:
        return f"{reason}: user {os.geteuid()} in {folder}"
    return f"{reason}: {folder}"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.2f} MiB"
