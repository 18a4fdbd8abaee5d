from pathlib import Path

import pytest

from unsmooth.atomic_files import sha256_of
from unsmooth.runtime.records import ChangedFileError, checked_digests, read_record, record_path, write_records
from unsmooth.runtime.storage import Storage, StorageError, storage_of

LOG = "results/logs/train/glyphs/resnet8/ce_alpha-0/seed-0.log"
SUMMARY = "results/tables/glyphs/summary.csv"


def test_ordinary_job_works_on_the_files_themselves():
    assert storage_of(LOG) == Storage()
    assert [Storage().name(path) for path in (SUMMARY, "/data/logits.npz")] == [SUMMARY, "/data/logits.npz"]
    assert record_path(SUMMARY, Storage()) == Path(f"results/provenance/{SUMMARY}.json")


@pytest.mark.parametrize("folder", ["/mnt/volume", "/mnt/results/logs/volume", "/results"])
def test_copies_are_called_as_in_an_ordinary_run(folder):
    copies = f".snakemake/storage/fs{folder}/"
    storage = storage_of(copies + LOG)

    assert storage == Storage(Path(folder), copies)
    assert storage.name(copies + SUMMARY) == SUMMARY
    assert record_path(copies + SUMMARY, storage) == Path(f"{folder}/results/provenance/{SUMMARY}.json")


@pytest.mark.parametrize(
    "log",
    [
        f".snakemake/storage/s3/bucket/{LOG}",
        f"/scratch/fs/mnt/volume/{LOG}",
        f".snakemake/storage/fss/mnt/{LOG}",
        f".snakemake/storage/fs/mnt/volume_{LOG}",
        "logs/train.log",
    ],
)
def test_results_elsewhere_are_refused(log):
    with pytest.raises(StorageError, match="storage provider fs"):
        storage_of(log)


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """A volume, and a working folder with a copy of the summary in it."""
    work, volume = tmp_path / "work", tmp_path / "volume"
    found = storage_of(f".snakemake/storage/fs{volume}/{LOG}")
    (work / found.copies / SUMMARY).parent.mkdir(parents=True)
    monkeypatch.chdir(work)
    Path(found.copies + SUMMARY).write_text("made\n")
    told = {"rule": "collect", "inputs": {}, "params": {}, "code": {}, "git_commit": "unknown"}
    write_records([found.copies + SUMMARY], **told, storage=found)
    return found


def test_records_go_to_the_volume_alone(storage):
    assert read_record(storage.folder / "results/provenance" / f"{SUMMARY}.json").sha256 == sha256_of(
        storage.copies + SUMMARY
    )
    assert not Path("results").exists()


def test_inputs_are_named_as_in_an_ordinary_run(storage):
    copy = storage.copies + SUMMARY

    assert checked_digests([copy], storage) == {SUMMARY: sha256_of(copy)}


def test_job_refuses_a_changed_copy_by_the_name_of_the_file(storage):
    copy = storage.copies + SUMMARY
    Path(copy).write_text("changed\n")

    with pytest.raises(ChangedFileError, match=f"^{storage.folder / SUMMARY} has changed since collect wrote it"):
        checked_digests([copy], storage)
