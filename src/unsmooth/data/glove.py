"""GloVe vectors (Pennington et al., EMNLP 2014) of the words of a text dataset, as the rows of a frozen table.

Row 0 is padding and row 1 any word without a vector, both zero; from row 2 on come the words, in alphabetical order.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from torch import Tensor

from unsmooth.data.arrays import DatasetError
from unsmooth.data.sources import VECTORS

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2  # rows of the table


def embed(sources: Mapping[str, Path], name: str, numbers: Mapping[str, int]) -> tuple[npt.NDArray[np.int32], Tensor]:
    """Look words up in a text file of vectors: a word and its numbers a line.

    Args:
        sources: folder of every download, by its name.
        name: key of `VECTORS`.
        numbers: number of each word, in the case of the vectors, in the texts: 1, 2, ...; 0 is padding.

    Returns:
        The row of the table for each number, (1 + words,) int32; and the table, (V, dimension) float32.

    Raises:
        DatasetError: the file cannot be read, holds something else, or has none of the words.
    """
    source, file, dimension = VECTORS[name].source, VECTORS[name].file, VECTORS[name].dimension
    vectors = _read_vectors(sources[source] / file, numbers.keys(), dimension)
    words = sorted(vectors)
    rows = np.full(len(numbers) + 1, UNKNOWN, dtype=np.int32)
    rows[0] = PADDING
    rows[[numbers[word] for word in words]] = np.arange(FIRST_WORD, FIRST_WORD + len(words))
    table = np.zeros((FIRST_WORD + len(words), dimension), dtype=np.float32)
    table[FIRST_WORD:] = [vectors[word] for word in words]
    return rows, torch.from_numpy(table)


def _read_vectors(path: Path, words: Iterable[str], dimension: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return the vectors of those words that the file has, reading it once, line by line."""
    wanted = {word.encode() for word in words}
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    try:
        with path.open("rb") as file:
            for number, line in enumerate(track(file, f"reading {path.name}"), 1):
                if line[: line.find(b" ")] not in wanted:
                    continue
                # From the right: a few entries of glove.840B contain spaces, and begin like another one.
                word, *values = line.rstrip(b"\n").rsplit(b" ", dimension)
                if word in wanted:
                    vectors[word.decode()] = _vector(values, dimension, f"{path}, line {number}")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    if not vectors:
        raise DatasetError(f"{path} must hold a word and {dimension} numbers a line, but has no word of the texts")
    return vectors


def _vector(values: list[bytes], dimension: int, place: str) -> npt.NDArray[np.float32]:
    try:
        vector = np.array([float(value) for value in values], dtype=np.float32)
    except ValueError as error:
        raise DatasetError(f"{place}: {error}") from None
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise DatasetError(f"{place}: expected {dimension} finite numbers, got {len(vector)}")
    return vector
