"""IMDB film reviews (Maas et al., ACL 2011) as rows of a table of GloVe vectors.

Words come from NLTK's word tokenizer with its English Punkt model, `<br />` kept; their case is kept where the vectors
have both cases. Words without a vector, and padding, are zero vectors.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from nltk.tabdata import PunktDecoder
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from rich.progress import track

from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.glove import embed
from unsmooth.data.sources import VECTORS
from unsmooth.data.splits import hold_out

CLASSES = ["neg", "pos"]  # also the names of their folders


def build(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    split_seed: int,
    max_tokens: int,
    vectors: str = "glove_840b_300d",
) -> Manifest:
    """Tokenise, divide and write IMDB.

    Inputs are int32 (N, max_tokens) rows of the table of `unsmooth.data.glove`, padded on the right. All training
    reviews train; the test reviews that `num_val` leaves are the test split.
    """
    split_words = word_tokenizer(sources["punkt_tab"] / "punkt_tab" / "english")
    lower_case = VECTORS[vectors].lower_case

    def tokenize(text: str) -> list[str]:
        words = split_words(text)  # sentences are found by their capitals
        return [word.lower() for word in words] if lower_case else words

    archive = sources["imdb"] / "aclImdb"
    paths = {split: [_find_reviews(archive / split / name) for name in CLASSES] for split in ("train", "test")}
    numbers: dict[str, int] = {}  # of words, from 1 on as they occur
    tokens = {
        split: _number_words([path for group in groups for path in group], tokenize, numbers, max_tokens)
        for split, groups in paths.items()
    }
    rows, embedding = embed(sources, vectors, numbers)
    inputs = {split: torch.from_numpy(rows[numbered]) for split, numbered in tokens.items()}
    targets = {
        split: torch.arange(len(CLASSES)).repeat_interleave(torch.tensor([len(group) for group in groups]))
        for split, groups in paths.items()
    }
    splits = {"train": Split(inputs["train"], targets["train"])}
    for name, chosen in zip(("val", "test"), hold_out(len(targets["test"]), num_val, split_seed), strict=True):
        splits[name] = Split(inputs["test"][chosen], targets["test"][chosen], indices=chosen)
    return write_dataset(folder, splits, dataset=dataset, classes=CLASSES, mean=[], std=[], embedding=embedding)


def word_tokenizer(folder: Path) -> Callable[[str], list[str]]:
    """Return NLTK's `word_tokenize` with the English Punkt model in `folder`, four text files.

    NLTK itself reads models only from its own data folders, which belong to the user.
    """

    def lines(name: str) -> io.StringIO:
        return io.StringIO(_read_text(folder / name))

    decoder, parameters = PunktDecoder(), PunktParameters()
    try:
        parameters.collocations = set(decoder.tab2tups(lines("collocations.tab")))
        parameters.sent_starters = decoder.txt2set(lines("sent_starters.txt"))
        parameters.abbrev_types = decoder.txt2set(lines("abbrev_types.txt"))
        parameters.ortho_context = decoder.tab2intdict(lines("ortho_context.tab"))
    except (IndexError, ValueError) as error:
        raise DatasetError(f"{folder} is not a model of punkt_tab: {error}") from None
    sentences, words = PunktSentenceTokenizer(parameters), NLTKWordTokenizer()
    return lambda text: [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]


def _find_reviews(folder: Path) -> list[Path]:
    if not (reviews := sorted(folder.glob("*.txt"))):
        raise DatasetError(f"{folder} must hold reviews, *.txt, but there is none")
    return reviews


def _number_words(
    reviews: list[Path], tokenize: Callable[[str], list[str]], numbers: dict[str, int], max_tokens: int
) -> npt.NDArray[np.int32]:
    """Return the first `max_tokens` words of each review as numbers, 0 behind the last; new words join `numbers`."""
    tokens = np.zeros((len(reviews), max_tokens), dtype=np.int32)
    for row, path in zip(tokens, track(reviews, "tokenising reviews"), strict=True):
        words = tokenize(_read_text(path))[:max_tokens]
        row[: len(words)] = [numbers.setdefault(word, len(numbers) + 1) for word in words]
    return tokens


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
