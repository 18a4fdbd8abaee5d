"""Safe unpacking of tar and zip archives from untrusted sources.

Only plain files and folders with relative paths below the target are unpacked; links, devices and escaping paths end
the extraction. Limits on size, number of members and compression ratio apply to the bytes read, not to the headers.
Owners, permissions and times in the archive are ignored.
"""

import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Protocol

from unsmooth.data.sources import WEIGHTS

CHUNK = 1 << 20  # bytes
SMALL = 1 << 20  # bytes that any archive may unpack to, whatever its ratio
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    NotImplementedError,  # a compression method that zipfile does not know
    ValueError,
)


class ExtractionError(ValueError):
    """An archive is damaged, exceeds the limits, or has an unsafe member; the message names both."""


class Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Limits:
    """Limits of an unpacked archive."""

    total_bytes: int = 1 << 39  # size of everything together
    members: int = 2_000_000  # number of files and folders
    ratio: float = 100.0  # unpacked over packed size


def extract(archive: Path, folder: Path, *, inner: str | None = None, limits: Limits | None = None) -> None:
    """Unpack a tar, tar.gz or zip file into the new `folder`, which appears whole or not at all.

    The format is read from the first bytes. With `inner` the archive of that name inside `archive` is unpacked instead.
    """
    with new_folder(folder) as temporary:
        for path, stream in members(archive, limits):
            if inner is None or path == PurePosixPath(inner):
                write_member(temporary, path, stream, archive.name)
        if inner is None:
            return
        packed = temporary / inner
        if not packed.exists():
            raise ExtractionError(f"{archive.name} has no member {inner}")
        for path, stream in members(packed, limits):
            write_member(temporary, path, stream, inner)
        packed.unlink()


def keep_weights(paths: Mapping[str, Path], folder: Path) -> None:
    """Copy a single unpacked weights file into the new `folder` as `WEIGHTS`."""
    [path] = paths.values()
    with new_folder(folder) as temporary:
        shutil.copyfile(path, temporary / WEIGHTS)


def members(archive: Path, limits: Limits | None = None) -> Iterator[tuple[PurePosixPath, Stream]]:
    """Yield path and content of every file in a tar, tar.gz or zip file; the content is read before the next one."""
    limits = limits or Limits()
    name = archive.name
    spend = _meter(name, archive.stat().st_size, limits)
    with archive.open("rb") as file:
        magic = file.read(2)
        file.seek(0)
        if magic == b"PK":
            yield from _zip_members(file, name, limits, spend)
        else:
            stream = gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file
            yield from tar_members(_Reader(stream, name, spend), name, limits)


def tar_members(stream: Stream, name: str, limits: Limits | None = None) -> Iterator[tuple[PurePosixPath, Stream]]:
    """Yield path and content of every file in an uncompressed tar, called `name` in errors; their number is limited."""
    limits = limits or Limits()
    source: Any = stream  # tarfile asks for a file, but only reads
    with _reading(name), tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK) as archive:
        for count, member in enumerate(archive, start=1):
            _check_count(count, name, limits)
            path = _checked_path(member.name, name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ExtractionError(f"{name}: {member.name!r} is neither a plain file nor a folder")
            content = archive.extractfile(member)
            assert content is not None
            yield path, _Reader(content, name, lambda count: None)


def write_member(folder: Path, path: PurePosixPath, stream: Stream, name: str) -> None:
    """Write the content of a member of the archive `name` to `folder` / `path`, which must be new."""
    target = folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
    except OSError as error:
        raise ExtractionError(f"{name}: {str(path)!r} cannot be written: {error.strerror}") from None


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, renamed to the new `folder` when the block succeeds, removed when it raises."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    temporary = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.sync()  # one flush for all files: a crash must not leave empty ones behind a name that says whole
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Reader:
    """A stream that counts the bytes read and raises `ExtractionError` for damage."""

    def __init__(self, stream: Stream | IO[bytes], name: str, spend: Callable[[int], None]) -> None:
        self._stream, self._name, self._spend = stream, name, spend

    def read(self, size: int = -1, /) -> bytes:
        with _reading(self._name):
            chunk = self._stream.read(size)
        self._spend(len(chunk))
        return chunk


def _zip_members(
    file: IO[bytes], name: str, limits: Limits, spend: Callable[[int], None]
) -> Iterator[tuple[PurePosixPath, Stream]]:
    with _reading(name), zipfile.ZipFile(file) as archive:
        _check_count(len(archive.infolist()), name, limits)
        for member in archive.infolist():
            path = _checked_path(member.filename, name)
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):  # 0: written by a system without file types
                raise ExtractionError(f"{name}: {member.filename!r} is neither a plain file nor a folder")
            if member.flag_bits & 1:
                raise ExtractionError(f"{name}: {member.filename!r} is encrypted")
            with archive.open(member) as content:
                yield path, _Reader(content, name, spend)


def _meter(name: str, packed: int, limits: Limits) -> Callable[[int], None]:
    """Return a callback that counts the bytes read and raises beyond the limit."""
    limit = min(limits.total_bytes, max(SMALL, int(limits.ratio * packed)))
    total = 0

    def spend(count: int) -> None:
        nonlocal total
        total += count
        if total > limit:
            raise ExtractionError(f"{name} has {packed:,} bytes and unpacks to more than {limit:,}, the limit")

    return spend


def _check_count(count: int, name: str, limits: Limits) -> None:
    if count > limits.members:
        raise ExtractionError(f"{name} has more than {limits.members:,} members, the limit")


def _checked_path(member: str, name: str) -> PurePosixPath:
    """Refuse member paths that leave the folder, on any operating system."""
    path = PureWindowsPath(member)
    if path.anchor or ".." in path.parts or "\0" in member:
        raise ExtractionError(f"{name}: {member!r} is not a path below the folder it is unpacked to")
    return PurePosixPath(member)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except ExtractionError:
        raise
    except DAMAGE as error:
        raise ExtractionError(f"{name} is damaged: {str(error) or type(error).__name__}") from None
