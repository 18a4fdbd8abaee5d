import subprocess
import sys

import nltk
import numpy as np
import pytest
import torch
from miniatures.imdb import PRAISE, write_glove, write_imdb, write_punkt_tab
from miniatures.newsgroups import write_glove_6b

from unsmooth.data.arrays import DatasetError, load_embedding, load_split
from unsmooth.data.extract import extract
from unsmooth.data.imdb import build, word_tokenizer

GLOVE_FILE = "glove.840B.300d.txt"
MAX_TOKENS = 24


@pytest.fixture
def sources(tmp_path):
    archives = tmp_path / "archives"
    folders = {name: tmp_path / name for name in ("imdb", "glove_840b_300d", "punkt_tab")}
    extract(write_imdb(archives)["aclImdb_v1.tar.gz"], folders["imdb"])
    extract(write_glove(archives)["glove.840B.300d.zip"], folders["glove_840b_300d"])
    extract(write_punkt_tab(archives)["punkt_tab.zip"], folders["punkt_tab"])
    return folders


@pytest.fixture
def english(sources):
    return sources["punkt_tab"] / "punkt_tab" / "english"


def build_imdb(folder, sources, **options):
    settings = {"num_val": 10, "split_seed": 0, "max_tokens": MAX_TOKENS} | options
    return build(folder, dataset="imdb", sources=sources, **settings)


def read_glove(sources):
    lines = (sources["glove_840b_300d"] / GLOVE_FILE).read_text(encoding="utf-8").splitlines()
    entries = (line.rsplit(" ", 300) for line in lines)
    return {word: np.array(values, dtype=np.float32) for word, *values in entries}


def test_inputs_are_the_vectors_of_the_words_in_the_order_of_the_files(sources, english, tmp_path):
    manifest = build_imdb(tmp_path / "built", sources)
    split, embedding = load_split(tmp_path / "built", "train"), load_embedding(tmp_path / "built")
    tokenize, glove = word_tokenizer(english), read_glove(sources)
    train = sources["imdb"] / "aclImdb" / "train"
    texts = [path.read_text(encoding="utf-8") for name in ("neg", "pos") for path in sorted((train / name).glob("*"))]
    expected = np.zeros((40, MAX_TOKENS, 300), dtype=np.float32)
    for row, text in zip(expected, texts, strict=True):
        for position, word in enumerate(tokenize(text)[:MAX_TOKENS]):
            row[position] = glove.get(word, 0)

    assert manifest.classes == ["neg", "pos"] and manifest.sizes == {"train": 40, "val": 10, "test": 30}
    assert split.inputs.dtype == torch.int32 and split.inputs.shape == (40, MAX_TOKENS)
    assert torch.equal(embedding[split.inputs], torch.from_numpy(expected))
    assert split.targets.tolist() == [0] * 20 + [1] * 20 and split.indices is None


def test_words_are_looked_up_in_lower_case_where_all_vectors_are(sources, english, tmp_path):
    folder = sources["glove_6b"] = tmp_path / "glove_6b"
    extract(write_glove_6b(tmp_path / "archives")["glove.6B.zip"], folder)
    path = folder / "glove.6B.100d.txt"
    path.write_text(f"superb{' 0.5' * 100}\n{path.read_text()}")
    build_imdb(tmp_path / "built", sources, vectors="glove_6b_100d")
    split, embedding = load_split(tmp_path / "built", "train"), load_embedding(tmp_path / "built")
    review = sorted((sources["imdb"] / "aclImdb" / "train" / "pos").glob("*"))[0].read_text(encoding="utf-8")
    words = word_tokenizer(english)(review)[:MAX_TOKENS]
    superb = (embedding[split.inputs[20]] == 0.5).all(dim=1)

    assert embedding.shape[1] == 100 and "Superb" in words
    assert superb[: len(words)].tolist() == [word == "Superb" for word in words]


def test_padding_unknown_words_and_unused_vectors_have_their_rows(sources, tmp_path):
    build_imdb(tmp_path / "built", sources)
    inputs, embedding = load_split(tmp_path / "built", "train").inputs, load_embedding(tmp_path / "built")
    lengths = (inputs != 0).sum(dim=1)

    assert (embedding[:2] == 0).all() and (embedding[2:] != 0).any(dim=1).all()
    assert (inputs == 1).any() and lengths.min() < MAX_TOKENS == lengths.max()
    assert torch.equal(inputs != 0, torch.arange(MAX_TOKENS) < lengths[:, None])
    assert set(inputs.unique().tolist()) <= set(range(len(embedding)))
    unused = torch.from_numpy(read_glove(sources)["unused"])
    assert not (embedding == unused).all(dim=1).any()


def test_rows_of_the_table_are_sorted_by_word(sources, tmp_path):
    build_imdb(tmp_path / "built", sources)
    embedding, glove = load_embedding(tmp_path / "built"), read_glove(sources)
    rows = {word: np.flatnonzero((embedding.numpy() == vector).all(axis=1)) for word, vector in glove.items()}
    present = sorted(word for word, found in rows.items() if len(found))

    assert [rows[word].tolist() for word in present] == [[row] for row in range(2, len(embedding))]
    assert set(PRAISE) <= set(present) and ". . ." not in present


def test_test_reviews_are_divided_and_unlabelled_ones_ignored(sources, tmp_path):
    build_imdb(tmp_path / "built", sources)
    val, test = (load_split(tmp_path / "built", name) for name in ("val", "test"))

    assert torch.equal(torch.cat([val.indices, test.indices]).sort().values, torch.arange(40))
    for split in (val, test):
        assert torch.equal(split.targets, (split.indices >= 20).long())


@pytest.mark.slow
def test_tokenizer_equals_word_tokenize_with_the_model_in_nltks_own_folder(sources, english, tmp_path):
    text = 'Dr. Smith didn\'t like "Alien" (1979).<br /><br />The U.S. cut is 3.5 hours... Really?! It\x85s café-noir.'
    data = tmp_path / "nltk_data" / "tokenizers"
    data.mkdir(parents=True)
    (sources["punkt_tab"] / "punkt_tab").rename(data / "punkt_tab")
    code = "import nltk, sys; print(ascii(nltk.word_tokenize(sys.argv[1])))"
    command = [sys.executable, "-c", code, text]
    expected = subprocess.run(
        command, env={"NLTK_DATA": str(data.parent)}, capture_output=True, text=True, check=True
    ).stdout.strip()

    assert ascii(word_tokenizer(data / "punkt_tab" / "english")(text)) == expected
    assert "'Dr.', 'Smith', 'did', \"n't\"" in expected and "'<', 'br', '/', '>'" in expected
    assert str(data.parent) not in nltk.data.path


def test_missing_files_are_named(sources, english, tmp_path):
    (english / "sent_starters.txt").rename(english / "elsewhere")
    with pytest.raises(DatasetError, match="sent_starters.txt cannot be read: No such file"):
        build_imdb(tmp_path / "built", sources)
    (english / "elsewhere").rename(english / "sent_starters.txt")
    (sources["glove_840b_300d"] / GLOVE_FILE).unlink()
    with pytest.raises(DatasetError, match="glove.840B.300d.txt cannot be read: No such file"):
        build_imdb(tmp_path / "built", sources)
    with pytest.raises(DatasetError, match="train/neg must hold reviews"):
        build_imdb(tmp_path / "built", sources | {"imdb": tmp_path})


def test_reviews_and_models_that_are_not_what_they_should_be_are_named(sources, english, tmp_path):
    (english / "ortho_context.tab").write_text("the\tmany\n")
    with pytest.raises(DatasetError, match="english is not a model of punkt_tab"):
        build_imdb(tmp_path / "built", sources)
    (english / "ortho_context.tab").write_text("the\t46\n")
    review = next((sources["imdb"] / "aclImdb" / "test" / "pos").glob("*"))
    review.write_bytes(b"caf\xe9")
    with pytest.raises(DatasetError, match=f"{review.name} is not UTF-8 text: .* at byte 3"):
        build_imdb(tmp_path / "built", sources)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("great 0.1 0.2\n", "line 1: expected 300 finite numbers, got 2"),
        ("great" + " 0.1" * 299 + " x\n", "line 1: could not convert string to float: b'x'"),
        ("great" + " 0.1" * 299 + " nan\n", "line 1: expected 300 finite numbers"),
        ("great" + " 0.1" * 400 + "\n", "must hold a word and 300 numbers a line, but has no word of the texts"),
        ("", "but has no word of the texts"),
    ],
)
def test_tables_of_vectors_that_are_not_what_they_should_be_are_refused(sources, tmp_path, line, message):
    (sources["glove_840b_300d"] / GLOVE_FILE).write_text(line)

    with pytest.raises(DatasetError, match=f"glove.840B.300d.txt.*{message}"):
        build_imdb(tmp_path / "built", sources)
