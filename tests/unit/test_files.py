import hashlib

import pytest

from unsmooth.files import atomic_path, sha256_of


def test_content_replaces_the_file_when_the_block_succeeds(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    for content in ("one", "two"):
        with atomic_path(path) as temporary:
            temporary.write_text(content)

    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_failed_block_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")

    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
