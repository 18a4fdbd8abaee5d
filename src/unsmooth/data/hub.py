"""Downloads from the Hugging Face Hub, checked against the digest that the hub publishes."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfUri, constants, hf_hub_download, parse_hf_uri

from unsmooth.atomic_files import atomic_path, sha256_of
from unsmooth.data.download import DownloadError, addresses

SHA256 = re.compile(r"[0-9a-f]{64}")


def download_from_hub(
    reference: str, path: Path, *, mirrors: Mapping[str, str] | None = None, log: Callable[[str], None] = print
) -> None:
    """Download a large file of the Hugging Face Hub; it appears at `path` only with the published SHA-256.

    Args:
        reference: hf://owner/repository/path or hf://owner/repository@revision/path.
        mirrors: URL prefix to its replacement; those of https://huggingface.co/ come first, without the user's token.
        log: receives the requested endpoint.

    Raises:
        DownloadError: no endpoint gave the file; the message says what each gave instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for endpoint in addresses(f"{constants.ENDPOINT}/", mirrors or {}):
        log(f"{reference}: from {endpoint}")
        try:
            return _download(parse_hf_uri(reference), path, endpoint.rstrip("/"))
        except Exception as error:  # of the client, its HTTP library, or the disk
            failures.append(f"{endpoint}: {error.__cause__ or error}")
    raise DownloadError("\n  ".join([f"{reference} could not be downloaded:", *failures]))


def _download(file: HfUri, path: Path, endpoint: str) -> None:
    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as cache:
        link = hf_hub_download(
            file.id,
            file.path_in_repo,
            repo_type=file.type,
            revision=file.revision,
            cache_dir=cache,
            endpoint=endpoint,
            token=None if endpoint == constants.ENDPOINT else False,
        )
        arrived = Path(link).resolve()
        published = Path(link).readlink().name  # the cache names content by its entity tag: of a large file its SHA-256
        if not SHA256.fullmatch(published):
            raise DownloadError("not kept as a large file, so it has no digest")
        if (found := sha256_of(arrived)) != published:
            raise DownloadError(f"its digest is sha256:{found}, expected sha256:{published}")
        with atomic_path(path) as temporary:
            arrived.replace(temporary)
