import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniatures.newsgroups import TOPICS, write_glove_6b, write_newsgroups

from unsmooth.data.arrays import DatasetError, load_embedding, load_split
from unsmooth.data.extract import extract
from unsmooth.data.newsgroups import PUNCTUATION, body, build, common_words, divide, words_of
from unsmooth.data.splits import legacy_permutations

MAX_TOKENS = 24


@pytest.fixture
def sources(tmp_path):
    archives = tmp_path / "archives"
    folders = {name: tmp_path / name for name in ("newsgroups", "glove_6b")}
    extract(write_newsgroups(archives)["20news-19997.tar.gz"], folders["newsgroups"])
    extract(write_glove_6b(archives)["glove.6B.zip"], folders["glove_6b"])
    return folders


def build_newsgroups(folder, sources, **options):
    settings = {"num_val": 16, "num_test": 20, "split_seed": 1, "max_tokens": MAX_TOKENS, "num_words": 12}
    return build(folder, dataset="newsgroups", sources=sources, **settings | {"vocabulary": "train"} | options)


def find_texts(sources):
    root = sources["newsgroups"] / "20_newsgroups"
    paths = [path for group in sorted(TOPICS) for path in sorted((root / group).iterdir())]
    return [path.read_text(encoding="latin-1") for path in paths]


def read_glove(sources):
    lines = (sources["glove_6b"] / "glove.6B.100d.txt").read_text().splitlines()
    return {word: np.array(values, dtype=np.float32) for word, *values in map(str.split, lines)}


# Division -----------------------------------------------------------------------------------------------------------


def test_messages_are_divided_as_by_mbls():
    order = legacy_permutations([19_997], seed=1)[0].tolist()
    parts = divide(19_997, 900, int(0.2 * 19_997), seed=1)

    assert {name: len(part) for name, part in parts.items()} == {"train": 15_098, "val": 900, "test": 3999}
    assert parts["test"].tolist() == sorted(order[-3999:]) and parts["val"].tolist() == sorted(order[-4899:-3999])
    assert torch.equal(torch.cat(list(parts.values())).sort().values, torch.arange(19_997))


def test_division_that_leaves_nothing_to_train_is_refused(sources, tmp_path):
    with pytest.raises(DatasetError, match="cannot hold out 60 and 20 of 80 messages"):
        build_newsgroups(tmp_path / "built", sources, num_val=60)


# Words --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The MOON's orbit, e-mail: me@nasa.gov!", ["the", "moon's", "orbit", "e", "mail", "me", "nasa", "gov"]),
        ("tab\tand\nline", ["tab", "and", "line"]),
        ("a\x0bb c\xa0d\re", ["a\x0bb", "c\xa0d\re"]),  # other white space stays in the word
        ('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', []),
        ("don''t 'quoted' Ünïcode", ["don''t", "'quoted'", "ünïcode"]),
        ("", []),
    ],
)
def test_words_are_those_of_the_keras_tokenizer(text, words):
    assert words_of(text) == words


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_words_hold_neither_spaces_nor_punctuation(text):
    words = words_of(text)

    assert all(word and not set(word) & set(PUNCTUATION + " ") for word in words)
    assert words_of(" ".join(words)) == words


@given(st.lists(st.lists(st.sampled_from("abcdef")), max_size=6), st.integers(1, 7))
def test_common_words_are_ordered_by_count_then_by_first_occurrence(texts, num):
    stream = [word for words in texts for word in words]
    expected = sorted(dict.fromkeys(stream), key=lambda word: (-stream.count(word), stream.index(word)))

    assert common_words(texts, num) == expected[:num]


@pytest.mark.parametrize(
    ("message", "kept"),
    [("From: a\n\nb\n\nc\n", "\n\nb\n\nc\n"), ("no blank line\n", "no blank line\n"), ("\n\nx\n\ny", "\n\nx\n\ny")],
)
def test_body_begins_at_the_first_blank_line(message, kept):
    assert body(message) == kept


# Built --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vocabulary", ["train", "all"])
def test_inputs_are_the_vectors_of_the_last_common_words(sources, tmp_path, vocabulary):
    manifest = build_newsgroups(tmp_path / "built", sources, vocabulary=vocabulary)
    embedding, glove = load_embedding(tmp_path / "built"), read_glove(sources)
    texts = [words_of(body(text)) for text in find_texts(sources)]
    train = load_split(tmp_path / "built", "train").indices.tolist()
    counted = [texts[index] for index in train] if vocabulary == "train" else texts
    known = set(common_words(counted, 11))

    assert manifest.classes == sorted(TOPICS) != list(TOPICS)
    assert manifest.sizes == {"train": 44, "val": 16, "test": 20}
    assert known & glove.keys() and known - glove.keys()
    for name, size in manifest.sizes.items():
        split = load_split(tmp_path / "built", name)
        expected = np.zeros((size, MAX_TOKENS, 100), dtype=np.float32)
        for row, index in zip(expected, split.indices.tolist(), strict=True):
            kept = [word for word in texts[index] if word in known][-MAX_TOKENS:]
            for position, word in enumerate(kept, start=MAX_TOKENS - len(kept)):
                row[position] = glove.get(word, 0)
        assert split.inputs.dtype == torch.int32
        assert torch.equal(embedding[split.inputs], torch.from_numpy(expected))
        assert torch.equal(split.targets, split.indices // 20)


def test_words_of_test_messages_are_not_counted(sources, tmp_path):
    build_newsgroups(tmp_path / "before", sources)
    before = load_embedding(tmp_path / "before")
    test = load_split(tmp_path / "before", "test").indices.tolist()
    root = sources["newsgroups"] / "20_newsgroups"
    paths = [path for group in sorted(TOPICS) for path in sorted((root / group).iterdir())]
    for index in test:
        paths[index].write_text("From: x\n\n" + "unused " * 200)
    build_newsgroups(tmp_path / "after", sources)

    assert torch.equal(load_embedding(tmp_path / "after"), before)
    assert not load_split(tmp_path / "after", "test").inputs.any()


def test_padding_lies_on_the_left_and_headers_are_left_out(sources, tmp_path):
    build_newsgroups(tmp_path / "built", sources, num_words=2000)
    inputs = load_split(tmp_path / "built", "train").inputs
    lengths = (inputs != 0).sum(dim=1)

    assert lengths.min() < MAX_TOKENS == lengths.max()
    assert torch.equal(inputs != 0, torch.arange(MAX_TOKENS) >= MAX_TOKENS - lengths[:, None])
    assert "newsgroups" not in {word for text in find_texts(sources) for word in words_of(body(text))}


def test_missing_and_wrong_files_are_named(sources, tmp_path):
    with pytest.raises(DatasetError, match="20_newsgroups must hold a folder a group, but there are 0"):
        build_newsgroups(tmp_path / "built", sources | {"newsgroups": tmp_path})
    (sources["newsgroups"] / "20_newsgroups" / "misc.forsale").mkdir()
    with pytest.raises(DatasetError, match="misc.forsale must hold messages, files named by digits"):
        build_newsgroups(tmp_path / "built", sources)
    (sources["newsgroups"] / "20_newsgroups" / "misc.forsale" / "1").mkdir()
    with pytest.raises(DatasetError, match="misc.forsale/1 cannot be read: Is a directory"):
        build_newsgroups(tmp_path / "built", sources)


def test_table_of_other_vectors_is_refused(sources, tmp_path):
    path = sources["glove_6b"] / "glove.6B.100d.txt"
    path.write_text("the 0.1 0.2\n")
    with pytest.raises(DatasetError, match="glove.6B.100d.txt, line 1: expected 100 finite numbers, got 2"):
        build_newsgroups(tmp_path / "built", sources)
    path.unlink()
    with pytest.raises(DatasetError, match="glove.6B.100d.txt cannot be read: No such file"):
        build_newsgroups(tmp_path / "built", sources)
