import hashlib
import json
import os
import random
import socket
import tarfile
import zipfile

import pytest
from miniatures.server import file_server

from unsmooth.data.download import DownloadError, SourceError, download, fetch_source, follow, source_root
from unsmooth.data.extract import ExtractionError
from unsmooth.data.sources import SOURCES

CONTENT = random.Random(0).randbytes(300_000)


def digest_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@pytest.fixture
def server():
    with file_server({"data.bin": CONTENT}) as served:
        yield served


@pytest.fixture
def get(server, tmp_path):
    """Download data.bin as it should be and return the lines of the log."""

    def run(content=CONTENT, algorithm="sha256", **options):
        lines = []
        path = tmp_path / "data.bin"
        digest = digest_of(content, algorithm)
        download(server.url("data.bin"), path, digest, log=lines.append, backoff_s=0.001, **options)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["data.bin"]
        return lines

    return run


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_file_arrives_with_a_line_in_the_log(get, algorithm):
    assert get(algorithm=algorithm) == ["data.bin: 300.0 kB of 300.0 kB"]


def test_file_that_is_there_is_not_fetched_again(get, server):
    get()
    get()

    assert len(server.requests) == 1


def test_file_with_another_content_is_replaced(get, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"old")

    get()


def test_transfer_that_breaks_off_goes_on_where_it_was(get, server):
    server.cuts = [100_000, 50_000]
    lines = get()

    assert server.requests == [("data.bin", None), ("data.bin", "bytes=100000-"), ("data.bin", "bytes=150000-")]
    assert any("broke off" in line for line in lines)


def test_transfer_that_always_breaks_off_is_given_up_and_goes_on_next_time(get, server):
    server.cuts = [1000] * 11
    with pytest.raises(DownloadError, match=r"data\.bin: .*IncompleteRead"):
        get()
    assert len(server.requests) == 11
    get()

    assert server.requests[-1] == ("data.bin", "bytes=11000-")


def test_server_without_ranges_sends_everything_again(get, server):
    server.cuts, server.ranges = [100_000], False
    get()

    assert len(server.requests) == 2


def test_server_without_versions_is_asked_for_everything_again(get, server):
    server.cuts, server.versions = [100_000], False
    get()

    assert server.requests == [("data.bin", None)] * 2


def test_file_that_changed_on_the_server_is_not_added_to_the_old_part(get, server):
    server.cuts = [1000] * 11
    with pytest.raises(DownloadError):
        get()
    changed = CONTENT[::-1]
    server.files["data.bin"] = changed

    get(changed)


@pytest.mark.parametrize("length", [len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 10])
def test_part_of_any_length_is_completed_or_dropped(get, server, tmp_path, length):
    server.cuts = [1000] * 11
    with pytest.raises(DownloadError):
        get()
    part = tmp_path / "data.bin.part"
    part.write_bytes((CONTENT + b"too much..")[:length])

    get()


def test_garbage_in_the_part_is_found_by_the_digest_and_the_file_fetched_whole(get, server, tmp_path):
    server.cuts = [1000] * 11
    with pytest.raises(DownloadError):
        get()
    (tmp_path / "data.bin.part").write_bytes(bytes(5000))
    server.requests.clear()

    get()

    assert [value for _, value in server.requests] == ["bytes=5000-", None]


def test_busy_server_is_asked_again(get, server):
    server.unavailable = 3
    get()

    assert len(server.requests) == 4


def test_server_that_stays_busy_is_given_up(get, server):
    server.unavailable = 100
    with pytest.raises(DownloadError, match="data.bin could not be downloaded:\n  http://127.0.0.1.*503"):
        get()

    assert len(server.requests) == 6


def test_missing_file_is_not_asked_for_again(server, tmp_path):
    with pytest.raises(DownloadError, match="404 Client Error"):
        download(server.url("nothing"), tmp_path / "nothing", digest_of(b""))

    assert len(server.requests) == 1


def test_wrong_digest_names_address_and_both_digests_and_leaves_nothing(server, tmp_path):
    expected, found = digest_of(b"other"), digest_of(CONTENT)
    with pytest.raises(DownloadError, match=f"{server.url('data.bin')}: its digest is {found}, expected {expected}"):
        download(server.url("data.bin"), tmp_path / "data.bin", expected)

    assert os.listdir(tmp_path) == []


def test_beginning_of_a_digest_is_enough_where_no_more_is_published(server, tmp_path):
    beginning = digest_of(CONTENT)[: len("sha256:") + 8]
    download(server.url("data.bin"), tmp_path / "data.bin", beginning)
    download(server.url("data.bin"), tmp_path / "data.bin", beginning)

    assert (tmp_path / "data.bin").read_bytes() == CONTENT and len(server.requests) == 1

    with pytest.raises(DownloadError, match=f"its digest is {digest_of(CONTENT)}, expected sha256:00000000"):
        download(server.url("data.bin"), tmp_path / "other.bin", "sha256:00000000")


def test_content_that_a_server_calls_encoded_is_kept_as_it_is(get, server):
    server.headers = {"Content-Encoding": "gzip"}

    get()


def test_mirrors_come_first_and_the_original_last(get, server):
    server.files["mirror/data.bin"] = b"corrupt"
    get(mirrors={"http://elsewhere/": "http://unused/", server.url(""): server.url("mirror/")})

    assert [name for name, _ in server.requests] == ["mirror/data.bin", "data.bin"]


def test_every_address_that_failed_is_named(server, tmp_path):
    with socket.socket() as unused:  # bound, but it does not listen
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DownloadError) as caught:
            mirrors = {server.url(""): closed}
            download(server.url("nothing"), tmp_path / "a", digest_of(b""), mirrors=mirrors, log=print, backoff_s=0.001)

    assert closed in str(caught.value) and server.url("nothing") in str(caught.value)


# Sources -------------------------------------------------------------------------------------------------------------


def pack_tar(path, names):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return path


def pack_zip(path, names):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"text")
    return path


@pytest.fixture
def published(tmp_path):
    """A miniature of the archive of CIFAR-100."""
    return pack_tar(tmp_path / "published" / "cifar-100-python.tar.gz", SOURCES["cifar100"].layout)


@pytest.fixture
def fetch_published(published, tmp_path):
    """Fetch CIFAR-100 from a server that has the miniature; returns how many requests that took."""

    def run():
        [archive] = SOURCES["cifar100"].archives
        with file_server({"mirror/cifar-100-python.tar.gz": published.read_bytes()}) as server:
            mirrors = {archive.url.removesuffix(archive.file): server.url("mirror/")}
            checksums = {archive.file: digest_of(published.read_bytes(), "md5")}
            fetch_source("cifar100", tmp_path / "cifar100", mirrors=mirrors, checksums=checksums)
            return len(server.requests)

    return run


def test_source_is_fetched_unpacked_and_recorded(fetch_published, published, tmp_path):
    fetch_published()
    [archive] = SOURCES["cifar100"].archives
    record = json.loads((tmp_path / "cifar100" / "source.json").read_text())

    assert record == {
        "name": "cifar100",
        "archives": [
            {
                "file": archive.file,
                "url": archive.url,
                "bytes": published.stat().st_size,
                "digest": digest_of(published.read_bytes(), "md5"),
            }
        ],
    }
    assert sorted(os.listdir(tmp_path / "cifar100")) == ["archives", "cifar-100-python", "source.json"]
    assert source_root(tmp_path / "cifar100") == tmp_path / "cifar100"


def written(path):
    """Which file it is and when it was written; reading it changes neither."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_source_that_is_there_is_left_alone(fetch_published, tmp_path):
    fetch_published()
    before = written(tmp_path / "cifar100" / "source.json")

    assert fetch_published() == 0
    assert written(tmp_path / "cifar100" / "source.json") == before


def test_source_without_its_record_is_unpacked_again_from_the_kept_archive(fetch_published, tmp_path):
    fetch_published()
    (tmp_path / "cifar100" / "source.json").unlink()
    (tmp_path / "cifar100" / "cifar-100-python" / "stray").touch()

    assert fetch_published() == 0
    assert not (tmp_path / "cifar100" / "cifar-100-python" / "stray").exists()
    assert (tmp_path / "cifar100" / "source.json").exists()


def test_source_with_another_checksum_is_fetched_anew(fetch_published, published, tmp_path):
    fetch_published()
    pack_tar(published, [*SOURCES["cifar100"].layout, "cifar-100-python/extra"])

    assert fetch_published() == 1
    assert (tmp_path / "cifar100" / "cifar-100-python" / "extra").exists()


def test_archive_without_the_dataset_leaves_no_record(fetch_published, published, tmp_path):
    pack_tar(published, ["cifar-100-python/train", "cifar-100-python/test"])

    with pytest.raises(SourceError, match="unpacked, but without cifar-100-python/meta"):
        fetch_published()
    assert not (tmp_path / "cifar100" / "source.json").exists()


def test_hostile_archive_leaves_no_record(fetch_published, published, tmp_path):
    pack_tar(published, [*SOURCES["cifar100"].layout, "../../escaped"])

    with pytest.raises(ExtractionError, match="not a path below"):
        fetch_published()
    assert os.listdir(tmp_path / "cifar100") == ["archives"]
    assert not (tmp_path / "escaped").exists()


def test_archive_of_the_user_is_read_in_place(published, tmp_path):
    checksums = {published.name: digest_of(published.read_bytes())}
    fetch_source("cifar100", tmp_path / "cifar100", checksums=checksums, local=published.parent)

    assert sorted(os.listdir(tmp_path / "cifar100")) == ["cifar-100-python", "source.json"]
    assert os.listdir(published.parent) == [published.name]


def test_weights_are_kept_as_they_came(tmp_path):
    [archive] = SOURCES["resnet50_imagenet1k_v1"].archives
    with file_server({archive.file: CONTENT}) as server:
        mirrors = {archive.url.removesuffix(archive.file): server.url("")}
        checksums = {archive.file: digest_of(CONTENT)}
        fetch_source("resnet50_imagenet1k_v1", tmp_path / "weights", mirrors=mirrors, checksums=checksums)

    assert (tmp_path / "weights" / "weights.pth").read_bytes() == CONTENT


def test_weights_of_the_user_must_have_the_published_digest(tmp_path):
    (tmp_path / "resnet50-0676ba61.pth").write_bytes(CONTENT)

    with pytest.raises(SourceError, match=f"its digest is {digest_of(CONTENT)}, expected sha256:0676ba61"):
        fetch_source("resnet50_imagenet1k_v1", tmp_path / "weights", local=tmp_path)


def test_archive_of_the_user_with_another_digest_is_refused(published, tmp_path):
    with pytest.raises(SourceError, match=r"cifar-100-python.tar.gz: its digest is md5:.*, expected md5:eb9058c3a382"):
        fetch_source("cifar100", tmp_path / "cifar100", local=published.parent)


def test_dataset_that_the_user_has_unpacked_is_used_where_it_lies(tmp_path):
    mine = tmp_path / "mine"
    for path in SOURCES["cifar100"].layout:
        (mine / path).parent.mkdir(parents=True, exist_ok=True)
        (mine / path).touch()
    fetch_source("cifar100", tmp_path / "cifar100", local=str(mine))
    before = written(tmp_path / "cifar100" / "source.json")
    fetch_source("cifar100", tmp_path / "cifar100", local=str(mine))

    assert sorted(os.listdir(tmp_path / "cifar100")) == ["provided", "source.json"]
    assert source_root(tmp_path / "cifar100").samefile(mine)
    assert written(tmp_path / "cifar100" / "source.json") == before


def test_moved_data_of_the_user_are_followed_without_a_new_record(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for path in SOURCES["cifar100"].layout:
        (old / path).parent.mkdir(parents=True, exist_ok=True)
        (old / path).touch()
    fetch_source("cifar100", tmp_path / "cifar100", local=old)
    record = written(tmp_path / "cifar100" / "source.json")
    old.rename(new)
    with pytest.raises(SourceError, match=f"{old}, where cifar100 was, does not exist"):
        source_root(tmp_path / "cifar100")

    follow("cifar100", tmp_path / "cifar100", new)

    assert source_root(tmp_path / "cifar100").samefile(new)
    assert written(tmp_path / "cifar100" / "source.json") == record
    follow("cifar100", tmp_path / "cifar100", None)
    with pytest.raises(SourceError, match="fetch the source first"):
        source_root(tmp_path / "cifar100")


def test_full_disk_is_named(get, server, tmp_path):
    (tmp_path / "data.bin.part").mkdir()
    with pytest.raises(DownloadError, match="Is a directory"):
        get()


def test_folder_of_the_user_without_the_source_downloads_nothing(tmp_path):
    with pytest.raises(SourceError, match=r"cifar100 is not in the folder.*\n.*folders.cifar100(.*\n)*.*not a fol"):
        fetch_source("cifar100", tmp_path / "cifar100", local=tmp_path / "nowhere")


def test_source_under_terms_says_which_files_go_where_and_what_was_found(tmp_path):
    with pytest.raises(SourceError, match=r"No folder is named\.$"):
        fetch_source("imagenet", tmp_path / "imagenet")
    (tmp_path / "ILSVRC2012_img_val.tar").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError) as caught:
        fetch_source("imagenet", tmp_path / "imagenet", local=tmp_path)

    message = str(caught.value)
    assert "https://image-net.org" in message and "downloads.folders.imagenet in config.yaml" in message
    assert "  ILSVRC2012_img_train.tar  (md5:1d675b47d978889d74fa0da5fadfb00e)" in message
    assert f"{tmp_path} has ILSVRC2012_img_val.tar." in message and "It also has notes.txt." in message
    assert not (tmp_path / "imagenet").exists()


def test_archive_within_an_archive_is_unpacked(tmp_path):
    inner = pack_zip(tmp_path / "bank-additional.zip", SOURCES["bank_marketing"].layout)
    outer = tmp_path / "mine" / "bank+marketing.zip"
    outer.parent.mkdir()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, inner.name)
        archive.writestr("bank.zip", b"")
    checksums = {outer.name: digest_of(outer.read_bytes())}
    fetch_source("bank_marketing", tmp_path / "bank", checksums=checksums, local=outer.parent)

    assert sorted(os.listdir(tmp_path / "bank")) == ["bank-additional", "source.json"]
    assert (tmp_path / "bank" / "bank-additional" / "bank-additional-full.csv").read_bytes() == b"text"


def test_unknown_source_and_malformed_checksum_are_refused(tmp_path):
    with pytest.raises(SourceError, match="there is no source 'mnist'; there are cifar10, cifar100"):
        fetch_source("mnist", tmp_path)
    with pytest.raises(SourceError, match="checksum of a.zip must be md5: or sha256: .* got 'abc'"):
        fetch_source("cifar10", tmp_path, checksums={"a.zip": "abc"})


def test_root_of_a_source_not_yet_fetched_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="source.json does not exist: fetch the source first"):
        source_root(tmp_path)
