import hashlib

import pytest
from miniatures.server import file_server

from unsmooth.data.download import DownloadError, download_from_hub
from unsmooth.data.hub import HubFile

REFERENCE = "hf://owner/models@v1/folder/model.safetensors"
CONTENT = bytes(range(256)) * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize {len(CONTENT)}\n".encode()
POINTER_NAME, CONTENT_NAME = (f"owner/models/{kind}/v1/folder/model.safetensors" for kind in ("raw", "resolve"))


@pytest.fixture
def server():
    with file_server({POINTER_NAME: POINTER, CONTENT_NAME: CONTENT}) as served:
        yield served


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Download from a hub that is this server."""
    monkeypatch.setattr("unsmooth.data.hub.HOST", server.address)

    def run():
        download_from_hub(REFERENCE, tmp_path / "got", backoff_s=0.001)
        return (tmp_path / "got").read_bytes()

    return run


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("hf://timm/resnet50.a1_in1k/model.safetensors", ("timm/resnet50.a1_in1k", "main", "model.safetensors")),
        ("hf://ENSTA-U2IS/a-b@eee57ab/x/y.ckpt", ("ENSTA-U2IS/a-b", "eee57ab", "x/y.ckpt")),
    ],
)
def test_reference_has_repository_revision_and_path(reference, parts):
    file = HubFile.parse(reference)

    assert (file.repository, file.revision, file.path) == parts


@pytest.mark.parametrize(
    "reference", ["hf://owner/file", "hf://a/b/../c", "hf://a/b/c?x=1", "hf://a/b/", "https://a/b/c"]
)
def test_malformed_reference_is_refused(reference):
    with pytest.raises(ValueError, match="expected hf://owner/repository/path"):
        HubFile.parse(reference)


def test_file_is_checked_against_the_digest_in_the_repository(get, server):
    assert get() == CONTENT
    assert [name for name, _ in server.requests] == [POINTER_NAME, CONTENT_NAME]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [(CONTENT_NAME, CONTENT[:-1] + b"?", "digest is sha256:"), (POINTER_NAME, b"{}", "it has no digest")],
)
def test_file_that_is_not_what_the_repository_says_is_refused(get, server, name, content, message):
    server.files[name] = content

    with pytest.raises(DownloadError, match=message):
        get()


def test_mirror_serves_digest_and_content(server, tmp_path):
    download_from_hub(REFERENCE, tmp_path / "got", mirrors={"https://huggingface.co/": server.url("")})

    assert (tmp_path / "got").read_bytes() == CONTENT
