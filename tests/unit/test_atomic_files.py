import errno
import hashlib
import os
import subprocess
import sys

import pytest

from unsmooth.atomic_files import WriteError, atomic_path, remove_leftovers, sha256_of


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


def test_exceeded_quota_is_told_with_the_user(tmp_path):
    with pytest.raises(WriteError) as refused, atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    assert str(refused.value) == f"{tmp_path}/a.txt: Disk quota exceeded: user {os.geteuid()} in {tmp_path}"


def test_error_that_no_disk_is_behind_is_left_as_it_is(tmp_path):
    def explained():
        try:
            raise PermissionError(errno.EACCES, "")
        except PermissionError:
            raise ValueError("cannot be read") from None

    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        (tmp_path / "missing").read_text()
    with pytest.raises(ValueError, match="cannot be read"), atomic_path(tmp_path / "a.txt"):
        explained()


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path):
    path = tmp_path / "main.csv"
    kept = [tmp_path / name for name in ("main.csv", ".main-figure.csv", ".main-abcdefgh.png", ".other-abcdefgh.csv")]
    for file in kept:
        file.touch()
    killed = "with atomic_path(sys.argv[1]): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", f"import os, sys\nfrom unsmooth.atomic_files import *\n{killed}", path])
    assert len([*tmp_path.iterdir()]) == len(kept) + 1

    remove_leftovers(path)

    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_file_that_another_job_is_writing_is_no_leftover(tmp_path):
    path = tmp_path / "main.csv"

    with atomic_path(path) as first:
        first.write_text("whole")
        remove_leftovers(path)

    assert path.read_text() == "whole"


def test_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")

    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
