import pytest
import torch

from unsmooth.data.arrays import ARRAYS, DatasetError, Split, load_embedding, load_split, write_dataset

INPUTS = torch.tensor([[2, 3, 0], [1, 0, 0]], dtype=torch.int32)


def write(folder, **options):
    split = Split(INPUTS, torch.tensor([0, 1]), indices=torch.tensor([7, 4]))
    return write_dataset(folder, {"train": split}, dataset="tokens", classes=["a", "b"], mean=[], std=[], **options)


def test_embedding_and_indices_come_back_as_written(tmp_path):
    embedding = torch.randn(4, 5)
    write(tmp_path, embedding=embedding)
    split = load_split(tmp_path, "train")

    assert torch.equal(load_embedding(tmp_path), embedding)
    assert torch.equal(split.indices, torch.tensor([7, 4])) and split.posterior is None
    assert torch.equal(split.inputs, INPUTS) and split.inputs.dtype == torch.int32


def test_dataset_without_tokens_has_no_embedding(tmp_path):
    write(tmp_path)

    assert load_embedding(tmp_path) is None


def test_arrays_changed_after_the_first_read_are_refused(tmp_path):
    write(tmp_path, embedding=torch.zeros(4, 5))
    load_split(tmp_path, "train")
    content = bytearray((tmp_path / ARRAYS).read_bytes())
    content[-1] ^= 1
    (tmp_path / ARRAYS).write_bytes(content)

    for read in (load_embedding, lambda folder: load_split(folder, "train")):
        with pytest.raises(DatasetError, match="has SHA-256 .* expected"):
            read(tmp_path)


def test_rebuilt_dataset_is_read_anew(tmp_path):
    for value in (1.0, 2.0):
        write(tmp_path, embedding=torch.full((4, 5), value))

        assert load_embedding(tmp_path)[0, 0] == value
