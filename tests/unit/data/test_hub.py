import hashlib
import os

import pytest
from miniatures.server import file_server

from unsmooth.data.download import DownloadError
from unsmooth.data.hub import download_from_hub

REFERENCE = "hf://owner/models@v1/folder/model.safetensors"
NAME = "owner/models/resolve/v1/folder/model.safetensors"
CONTENT = bytes(range(256)) * 100
OF_GIT = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    with file_server({NAME: CONTENT}) as served:
        served.headers = {"X-Repo-Commit": "0" * 40}
        yield served


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Download from a hub that is this server."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        server.url("{repo_id}/resolve/{revision}/{filename}"),
    )

    def run(**options):
        download_from_hub(REFERENCE, tmp_path / "got", **options)
        assert os.listdir(tmp_path) == ["got"]
        return (tmp_path / "got").read_bytes()

    return run


def test_file_is_checked_against_the_published_digest(get, server):
    assert get() == CONTENT
    assert {name for name, _ in server.requests} == {NAME}


def test_reference_without_a_revision_means_the_main_branch(server, tmp_path):
    server.files = {"timm/resnet50.a1_in1k/resolve/main/model.safetensors": CONTENT}
    mirrors = {"https://huggingface.co/": server.url("")}
    download_from_hub("hf://timm/resnet50.a1_in1k/model.safetensors", tmp_path / "got", mirrors=mirrors)

    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("etag", "message"),
    [(hashlib.sha256(b"other").hexdigest(), "digest is sha256:.*, expected sha256:"), (OF_GIT, "it has no digest")],
)
def test_file_that_is_not_what_the_repository_says_is_refused(get, server, tmp_path, etag, message):
    server.headers |= {"ETag": f'"{etag}"'}

    with pytest.raises(DownloadError, match=message):
        get()
    assert os.listdir(tmp_path) == []


def test_missing_file_is_named_with_the_endpoint(get, server):
    server.files.clear()

    with pytest.raises(DownloadError, match=f"(?s){REFERENCE} could not be downloaded:\n  {server.address}/: .*404"):
        get()


def test_mirrors_come_first_and_the_hub_last(get, server):
    server.files["mirror/" + NAME] = CONTENT[::-1]
    server.headers |= {"ETag": f'"{hashlib.sha256(CONTENT).hexdigest()}"'}

    assert get(mirrors={server.url(""): server.url("mirror/")}) == CONTENT
    names = [name for name, _ in server.requests]
    assert names[0] == "mirror/" + NAME and names[-1] == NAME
