"""Downloads of published datasets: resumed, verified, unpacked, and recorded last."""

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from unsmooth.atomic_files import atomic_path
from unsmooth.data.extract import extract
from unsmooth.data.sources import PROVIDED, SOURCES, Source, data_root
from unsmooth.registry import resolve

RECORD = "source.json"
CHUNK = 1 << 20  # bytes
TIMEOUT_S = (10, 60)  # to connect, and between two pieces of the answer
RETRIES = 5  # of a request that gets no answer or a server's error
DROPS = 10  # transfers that may break off before an address is given up
BACKOFF_S = 0.5  # before the second retry; doubled each time
LONGEST_PAUSE_S = 60.0
LOG_INTERVAL_S = 30.0
DIGEST = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{8,64}")


class DownloadError(RuntimeError):
    """A file could not be fetched, or its digest differs from the published one."""


class SourceError(ValueError):
    """A source is unknown, or the user's data for it are missing or different."""


def fetch_source(
    name: str,
    folder: Path,
    *,
    mirrors: Mapping[str, str] | None = None,
    checksums: Mapping[str, str] | None = None,
    local: str | Path | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Fetch, verify and unpack a source, a key of `SOURCES`, into `folder`, and write `source.json` there last.

    The dataset keeps its published layout; its archives stay in `folder`/archives. A complete source stays as it is.

    Args:
        mirrors: URL prefix to its replacement; tried in this order, the original last.
        checksums: digest ("md5:..." or "sha256:...") by archive name, for archives that differ from the published ones.
        local: the user's folder with the archives or the unpacked dataset, which is only read; nothing is downloaded.
        log: receives a line now and then.

    Raises:
        SourceError: unknown source; data that the user must provide are missing or differ.
        DownloadError: no address gave the right file.
        ExtractionError: an archive cannot be unpacked.
    """
    if name not in SOURCES:
        raise SourceError(f"there is no source {name!r}; there are {', '.join(SOURCES)}")
    source = _with_checksums(SOURCES[name], checksums or {})
    provided = None if local is None else Path(local).expanduser().absolute()
    if _is_fetched(source, folder, provided):
        return
    paths: dict[str, Path] = {}
    if provided is not None and _has_layout(source, provided):
        log(f"{name}: used in place, in {provided}")
        _link(folder / PROVIDED, provided)
    else:
        paths = _provided_archives(source, provided, log)
        for archive in source.archives:
            if archive.file not in paths:
                assert archive.url is not None
                paths[archive.file] = folder / "archives" / archive.file
                download(archive.url, paths[archive.file], archive.digest, mirrors=mirrors, log=log)
        log(f"{name}: unpacking {', '.join(paths)}")
        for old in (folder / RECORD, folder / PROVIDED):
            old.unlink(missing_ok=True)
        _unpack(source, paths, folder)
    archives = [
        {"file": each.file, "url": each.url, "bytes": paths[each.file].stat().st_size, "digest": each.digest}
        for each in source.archives
        if each.file in paths
    ]
    with atomic_path(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"name": name, "archives": archives}, indent=1) + "\n")


def source_root(folder: Path) -> Path:
    """Return the folder of the data of a fetched source; `SourceError` if it is not fetched, or the user's are gone."""
    if not (folder / RECORD).is_file():
        raise SourceError(f"{folder / RECORD} does not exist: fetch the source first")
    if not (root := data_root(folder)).is_dir():
        raise SourceError(
            f"{root.readlink()}, where {folder.name} was, does not exist: name its new place in downloads"
        )
    return root


def follow(name: str, folder: Path, local: str | Path | None) -> None:
    """Link a source that is used in place to its present folder; without the dataset there it counts as not fetched."""
    link = folder / PROVIDED
    if not (link.is_symlink() and (folder / RECORD).exists()):
        return
    provided = None if local is None else Path(local).expanduser().absolute()
    if provided is None or not _has_layout(SOURCES[name], provided):
        (folder / RECORD).unlink()
    elif link.readlink() != provided:
        _link(link, provided)


def download(
    url: str,
    path: Path,
    digest: str,
    *,
    mirrors: Mapping[str, str] | None = None,
    log: Callable[[str], None] = print,
    backoff_s: float = BACKOFF_S,
) -> None:
    """Download a file; it appears at `path` only with the right digest, and is then not fetched again.

    An interrupted transfer leaves `path`.part, which the next one resumes unless the file has changed on the server.

    Args:
        digest: "md5:..." or "sha256:..." of its content, or the beginning of it.
        mirrors, log: as for `fetch_source`; on a terminal there is a progress bar instead.
        backoff_s: pause before a second retry, doubled each time.

    Raises:
        DownloadError: no address gave a file with that digest; the message says what each gave instead.
    """
    if path.exists() and _digest(path, digest).startswith(digest):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with requests.Session() as session:
        retry = Retry(RETRIES, backoff_factor=backoff_s, status_forcelist=[429, 500, 502, 503, 504])
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        left = addresses(url, mirrors or {})
        while left:
            part = _Part(path, left.pop(0))
            old, _ = part.resumable()
            try:
                _receive_all(session, part, log, backoff_s)
            except (OSError, HTTPError) as error:  # of requests, or of the disk
                failures.append(f"{part.address}: {error}")
                continue
            if (found := _digest(part.path, digest)).startswith(digest):
                part.finish()
                return
            part.discard()
            failures.append(f"{part.address}: its digest is {found}, expected {digest}")
            log(failures[-1])
            if old:  # the fault may be in what an earlier process left: once more, from the beginning
                left.insert(0, part.address)
    raise DownloadError("\n  ".join([f"{path.name} could not be downloaded:", *failures]))


class _Part:
    """The received part of a file, beside it, with its address and version."""

    def __init__(self, target: Path, address: str) -> None:
        self.address, self.target = address, target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    def resumable(self) -> tuple[int, str]:
        """Return the number of bytes and their version; 0 if they cannot be resumed."""
        try:
            note = json.loads(self._note.read_text())
            if note["address"] == self.address and note["version"]:
                return self.path.stat().st_size, note["version"]
        except (OSError, ValueError, KeyError):
            pass
        return 0, ""

    def begin(self, version: str) -> None:
        """Start an empty part of this version of the file."""
        self.discard()
        self.path.touch()
        self._note.write_text(json.dumps({"address": self.address, "version": version}))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        with atomic_path(self.target) as temporary:
            self.path.replace(temporary)
        self._note.unlink()


def _receive_all(session: requests.Session, part: _Part, log: Callable[[str], None], backoff_s: float) -> None:
    """Receive a file, resuming interrupted transfers."""
    for drop in range(DROPS):
        try:
            return _receive(session, part, log)
        except HTTPError:  # in the middle of the content; requests wraps those before it
            log(f"{part.address}: broke off after {part.path.stat().st_size:,} bytes, going on")
            time.sleep(min(backoff_s * 2**drop, LONGEST_PAUSE_S))
    return _receive(session, part, log)


def _receive(session: requests.Session, part: _Part, log: Callable[[str], None]) -> None:
    """Receive the missing part of a file, or all of it if the server cannot resume or has another version."""
    start, version = part.resumable()
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    with session.get(part.address, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        content_range = response.headers.get("Content-Range", "")
        if start and response.status_code == 416 and content_range == f"bytes */{start}":
            return  # nothing is missing
        resumed = response.status_code == 206 and content_range.startswith(f"bytes {start}-")
        if start and not resumed and response.status_code in (206, 416):
            part.discard()  # more than the server has, or another piece than asked for
            return _receive(session, part, log)
        response.raise_for_status()
        if not resumed:
            start = 0
            part.begin(_version(response.headers))
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.path.open("ab") as file, _progress(part.target.name, start, total, log) as advance:
            # The raw stream: a server that labels a .tar.gz as encoded must not have it decoded.
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                advance(len(chunk))


def _version(headers: Mapping[str, str]) -> str:
    """Return the value of If-Range: a strong entity tag, else the date of the last change, else nothing."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def addresses(url: str, mirrors: Mapping[str, str]) -> list[str]:
    """Return the addresses of a URL: every mirror of its beginning, then the URL itself."""
    replaced = [new + url[len(old) :] for old, new in mirrors.items() if url.startswith(old)]
    return list(dict.fromkeys([*replaced, url]))


@contextmanager
def _progress(name: str, start: int, total: int | None, log: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, elsewhere a log line every half minute; yields a function that adds bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown, due = sys.stderr.isatty(), time.monotonic() + LOG_INTERVAL_S
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(name, completed=start, total=total)

        def advance(size: int) -> None:
            nonlocal due
            bar.advance(task, size)
            done = int(bar.tasks[task].completed)
            if not shown and (done == total or time.monotonic() > due):
                log(f"{name}: {decimal(done)}" + (f" of {decimal(total)}" if total else ""))
                due = time.monotonic() + LOG_INTERVAL_S

        yield advance


def _digest(path: Path, like: str) -> str:
    """Return the digest of a file by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{found.hexdigest()}"


def _with_checksums(source: Source, checksums: Mapping[str, str]) -> Source:
    for file, digest in checksums.items():
        if not DIGEST.fullmatch(digest):
            raise SourceError(
                f"checksum of {file} must be md5: or sha256: and lower hexadecimal digits, got {digest!r}"
            )
    archives = (replace(archive, digest=checksums.get(archive.file, archive.digest)) for archive in source.archives)
    return replace(source, archives=tuple(archives))


def _is_fetched(source: Source, folder: Path, provided: Path | None) -> bool:
    """Whether `folder` holds the source from archives of these digests, or a link to the user's data."""
    try:
        record = json.loads((folder / RECORD).read_text())
        digests = {archive["file"]: archive["digest"] for archive in record["archives"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    link = folder / PROVIDED
    if link.is_symlink():
        return link.readlink() == provided and _has_layout(source, link)
    wanted = {archive.file: archive.digest for archive in source.archives}
    return digests == wanted and _has_layout(source, folder)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f"{link.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)


def _has_layout(source: Source, root: Path) -> bool:
    return all((root / path).exists() for path in source.layout)


def _provided_archives(source: Source, provided: Path | None, log: Callable[[str], None]) -> dict[str, Path]:
    """Return the user's archives, verified; none where the source may be downloaded."""
    if provided is None and source.terms is None:
        return {}
    paths = {} if provided is None else {archive.file: provided / archive.file for archive in source.archives}
    if not paths or not all(path.is_file() for path in paths.values()):
        raise SourceError(_what_to_provide(source, provided))
    for archive in source.archives:
        log(f"{source.name}: verifying {paths[archive.file]}")
        if not (found := _digest(paths[archive.file], archive.digest)).startswith(archive.digest):
            raise SourceError(f"{paths[archive.file]}: its digest is {found}, expected {archive.digest}")
    return paths


def _what_to_provide(source: Source, provided: Path | None) -> str:
    """Return a message with the missing files, the folder to name, and its present content."""
    lines = [f"{source.name} must be provided.", source.terms] if source.terms else []
    lines = lines or [f"{source.name} is not in the folder named for it; without a folder it is downloaded."]
    lines += [f"Name a folder of yours (downloads.folders.{source.name} in config.yaml) with these archives:"]
    lines += [f"  {archive.file}  ({archive.digest})" for archive in source.archives]
    lines += [f"or with the unpacked dataset: {', '.join(source.layout)}"]
    if provided is None:
        return "\n".join([*lines, "No folder is named."])
    if not provided.is_dir():
        return "\n".join([*lines, f"{provided} is not a folder."])
    there = sorted(path.name for path in provided.iterdir())
    wanted = [*(archive.file for archive in source.archives), *source.layout]
    found = [name for name in wanted if (provided / name).exists()]
    others = [name for name in there if name not in found]
    lines += [f"{provided} has {', '.join(found) or 'none of them'}."]
    if others:
        more = f" and {len(others) - 10} more" if len(others) > 10 else ""
        lines += [f"It also has {', '.join(others[:10])}{more}."]
    return "\n".join(lines)


def _unpack(source: Source, paths: dict[str, Path], folder: Path) -> None:
    """Unpack the archives and move what belongs to the dataset into `folder`."""
    staging = folder / "unpacked"
    shutil.rmtree(staging, ignore_errors=True)
    if source.unpack is None:
        [archive] = source.archives
        extract(paths[archive.file], staging, inner=archive.inner)
    else:
        resolve(source.unpack)(paths, staging)
    if not _has_layout(source, staging):
        missing = [path for path in source.layout if not (staging / path).exists()]
        raise SourceError(f"{', '.join(paths)}: unpacked, but without {', '.join(missing)}")
    for name in {Path(path).parts[0] for path in source.layout}:
        shutil.rmtree(folder / name, ignore_errors=True)
        (staging / name).replace(folder / name)  # also an earlier file
    shutil.rmtree(staging)
