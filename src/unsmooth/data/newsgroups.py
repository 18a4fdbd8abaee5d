"""20 Newsgroups (Lang, ICML 1995), all 19,997 messages, as rows of a table of GloVe vectors.

Messages are cleaned and numbered as MbLS (CVPR 2022) does it, by the defaults of the tokenizer of Keras: lower case,
punctuation but the apostrophe made into spaces, the commonest words numbered by how often they occur.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unsmooth.data.arrays import DatasetError, Manifest, Split, write_dataset
from unsmooth.data.glove import embed
from unsmooth.data.splits import legacy_permutations

PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
TO_SPACES = str.maketrans(PUNCTUATION, " " * len(PUNCTUATION))


def build(
    folder: Path,
    *,
    dataset: str,
    sources: dict[str, Path],
    num_val: int,
    num_test: int,
    split_seed: int,
    max_tokens: int,
    num_words: int,
    vocabulary: Literal["train", "all"],
) -> Manifest:
    """Tokenise, divide and write 20 Newsgroups.

    Inputs are int32 (N, max_tokens) rows of the table of `unsmooth.data.glove`: of the last `max_tokens` common words
    of a message, padded on the left. Other words are left out.
    """
    groups = _find_messages(sources["newsgroups"] / "20_newsgroups")
    texts = [words_of(body(_read(path))) for paths in groups.values() for path in paths]
    targets = torch.arange(len(groups)).repeat_interleave(torch.tensor([len(paths) for paths in groups.values()]))
    divided = divide(len(texts), num_val, num_test, split_seed)
    counted = texts if vocabulary == "all" else [texts[index] for index in divided["train"].tolist()]
    numbers = {word: number for number, word in enumerate(common_words(counted, num_words - 1), start=1)}
    rows, embedding = embed(sources, "glove_6b_100d", numbers)
    inputs = torch.from_numpy(rows[_number_words(texts, numbers, max_tokens)])
    splits = {name: Split(inputs[chosen], targets[chosen], indices=chosen) for name, chosen in divided.items()}
    return write_dataset(folder, splits, dataset=dataset, classes=list(groups), mean=[], std=[], embedding=embedding)


def divide(count: int, num_val: int, num_test: int, seed: int) -> dict[str, Tensor]:
    """Divide `count` messages as MbLS does: the last of a permutation test, those before them fit, the rest train.

    Returns ascending int64 indices by split; messages count in the order of their groups and file names.
    """
    if num_val + num_test >= count:
        raise DatasetError(f"cannot hold out {num_val:,} and {num_test:,} of {count:,} messages: none is left to train")
    [order] = legacy_permutations([count], seed)
    parts = order.split([count - num_val - num_test, num_val, num_test])
    return {name: part.sort().values for name, part in zip(("train", "val", "test"), parts, strict=True)}


def body(message: str) -> str:
    """Return a message from its first blank line on: without its header.

    Example:
        >>> body("Subject: ice\\n\\nIt melts.\\n")
        '\\n\\nIt melts.\\n'
    """
    start = message.find("\n\n")
    return message[start:] if start > 0 else message


def words_of(text: str) -> list[str]:
    """Return the words of a text as the tokenizer of Keras splits it.

    Example:
        >>> words_of("Don't e-mail\\nme @HOME!")
        ["don't", 'e', 'mail', 'me', 'home']
    """
    return [word for word in text.lower().translate(TO_SPACES).split(" ") if word]


def common_words(texts: Iterable[Sequence[str]], num: int) -> list[str]:
    """Return the `num` commonest words, the commonest first; of equals, the one that occurs first.

    Example:
        >>> common_words([["b", "a"], ["c", "a"]], 2)
        ['a', 'b']
    """
    counts = Counter(word for words in texts for word in words)
    return [word for word, _ in counts.most_common(num)]


def _find_messages(root: Path) -> dict[str, list[Path]]:
    """Return the files of each group; both in the order of their names."""
    groups = {
        path.name: sorted(file for file in path.iterdir() if file.name.isdigit())
        for path in (sorted(root.iterdir()) if root.is_dir() else [])
        if path.is_dir()
    }
    if len(groups) < 2:
        raise DatasetError(f"{root} must hold a folder a group, but there are {len(groups)}")
    if empty := [name for name, files in groups.items() if not files]:
        raise DatasetError(f"{root / empty[0]} must hold messages, files named by digits, but there is none")
    return groups


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None


def _number_words(texts: Sequence[Sequence[str]], numbers: dict[str, int], max_tokens: int) -> npt.NDArray[np.int32]:
    """Return the numbers of the last `max_tokens` known words of each text, 0 before the first; int32."""
    tokens = np.zeros((len(texts), max_tokens), dtype=np.int32)
    for row, words in zip(tokens, texts, strict=True):
        known = [numbers[word] for word in words if word in numbers][-max_tokens:]
        row[max_tokens - len(known) :] = known
    return tokens
