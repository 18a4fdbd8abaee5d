import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsmooth.data.extract import ExtractionError, Limits, extract

CONTENT = {"set/a.txt": b"first", "set/deep/b.txt": b"second" * 1000, "c.txt": b""}


def write_tar(path, content, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


WRITERS = {
    "a.tar": write_tar,
    "a.tar.gz": lambda path, content: write_tar(path, content, "w:gz"),
    "a.zip": write_zip,
}


@pytest.fixture(params=WRITERS)
def pack(request, tmp_path):
    """A function that packs content by name into an archive of each kind."""
    return lambda content: WRITERS[request.param](tmp_path / request.param, content)


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive, match, limits=None):
    before = files_below(archive.parent)

    with pytest.raises(ExtractionError, match=match):
        extract(archive, archive.parent / "new", limits=limits)
    assert files_below(archive.parent) == before and os.listdir(archive.parent) == [archive.name]


def test_files_come_out_as_they_went_in(pack, tmp_path):
    extract(pack(CONTENT), tmp_path / "new")

    assert files_below(tmp_path / "new") == CONTENT


def test_existing_folder_is_never_overwritten(pack, tmp_path):
    (tmp_path / "new").mkdir()

    with pytest.raises(FileExistsError, match="new exists already"):
        extract(pack(CONTENT), tmp_path / "new")


def test_what_a_killed_extraction_left_is_replaced(pack, tmp_path):
    (tmp_path / ".new-unfinished" / "set").mkdir(parents=True)
    (tmp_path / ".new-unfinished" / "set" / "a.txt").write_text("half")
    extract(pack(CONTENT), tmp_path / "new")

    assert files_below(tmp_path / "new") == CONTENT and not (tmp_path / ".new-unfinished").exists()


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "..\\out.txt", "C:\\out.txt"])
def test_names_that_lead_elsewhere_are_refused(pack, name):
    assert_refused(pack({"fine.txt": b"1", name: b"2"}), "is not a path below the folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("trap")
        member.type, member.linkname = kind, "../../outside"
        archive.addfile(member)

    assert_refused(tmp_path / "a.tar", "a.tar: 'trap' is neither a plain file nor a folder")


def test_file_through_a_link_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("folder")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        member = tarfile.TarInfo("folder/out.txt")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))

    assert_refused(tmp_path / "a.tar", "'folder' is neither")


def test_link_in_a_zip_is_refused(tmp_path):
    member = zipfile.ZipInfo("trap")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")

    assert_refused(tmp_path / "a.zip", "a.zip: 'trap' is neither a plain file nor a folder")


def test_encrypted_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"secret"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)

    assert_refused(path, "'a.txt' is encrypted")


def test_bomb_is_refused_while_it_is_read(tmp_path):
    zeros = {"zeros": bytes(8 << 20)}

    assert_refused(write_zip(tmp_path / "a.zip", zeros), "bytes and unpacks to more than 1,048,576, the limit")
    (tmp_path / "a.zip").unlink()
    assert_refused(write_tar(tmp_path / "a.tar.gz", zeros, "w:gz"), "unpacks to more than 1,048,576")


def test_zip_that_understates_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"zeros": bytes(1 << 20)})
    content = path.read_bytes()
    path.write_bytes(content.replace((1 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little")))

    assert_refused(path, "a.zip is damaged: Bad CRC-32")


def test_giant_header_is_refused_before_it_fills_the_memory(tmp_path):
    member = tarfile.TarInfo("long")
    member.pax_headers = {"comment": "x" * (4 << 20)}
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))

    assert_refused(tmp_path / "a.tar.gz", "unpacks to more than")


def test_sparse_file_is_refused(tmp_path):
    member = tarfile.TarInfo("hole")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,0"}
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))

    assert_refused(tmp_path / "a.tar", "'hole' is neither a plain file nor a folder")


def test_total_size_and_number_of_members_are_limited(pack):
    archive = pack(CONTENT)

    assert_refused(archive, "unpacks to more than 100, the limit", Limits(total_bytes=100))
    assert_refused(archive, "has more than 2 members, the limit", Limits(members=2))


def test_name_that_comes_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a.txt"))

    assert_refused(tmp_path / "a.tar", "a.tar: 'a.txt' cannot be written: File exists")


def test_permissions_and_owners_are_not_taken_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("tool")
        member.mode, member.uid = 0o4777, 12345
        archive.addfile(member)
    extract(tmp_path / "a.tar", tmp_path / "new")
    (tmp_path / "plain").touch()

    assert (tmp_path / "new" / "tool").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "new" / "tool").stat().st_uid == os.getuid()


def test_archive_within_an_archive_is_unpacked_instead_of_it(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", CONTENT).read_bytes()
    archive = write_zip(tmp_path / "a.zip", {"inner.zip": inner, "other.zip": b"", "readme": b"hello"})
    extract(archive, tmp_path / "new", inner="inner.zip")

    assert files_below(tmp_path / "new") == CONTENT
    with pytest.raises(ExtractionError, match=r"a.zip has no member missing.zip"):
        extract(archive, tmp_path / "again", inner="missing.zip")


def test_something_else_is_called_damaged(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>moved</html>")

    assert_refused(tmp_path / "a.zip", "a.zip is damaged")


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_ends_in_an_error_that_names_the_archive_or_in_files_below(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = WRITERS[name](folder / name, CONTENT)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        extract(path, folder / "new")
    except ExtractionError as error:
        assert str(error).startswith(name)
        assert os.listdir(folder) == [name]
    assert set(os.listdir(folder)) <= {name, "new"}
