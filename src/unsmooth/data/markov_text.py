"""Markov text: token sequences, each from the Markov chain of its class, whose P(class | sequence) is known exactly.

The chains share a part of their transitions, and some sequences are too short to tell them apart: a miniature of a text
task, with a Bayes error above zero, that needs no download.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unsmooth.data.arrays import Manifest, Split, write_dataset

CONCENTRATION = 0.2  # of the Dirichlet that draws a row of a chain; the smaller, the fewer tokens follow a token
FIRST_TOKEN = 2  # row of the embedding table; 0 is padding and 1 an unknown token, which never occurs here


def build(
    folder: Path,
    *,
    dataset: str,
    num_train: int,
    num_val: int,
    num_test: int,
    num_classes: int,
    vocabulary: int,
    max_tokens: int,
    embedding_size: int,
    similarity: float,
    seed: int,
) -> Manifest:
    """Draw and write the sequences, a function of the options alone.

    Classes are equally likely. A sequence has between a quarter of `max_tokens` and `max_tokens` tokens, each length
    equally likely; its first token is any of the vocabulary, and each other follows by the chain of the class. Inputs
    are int32 (N, max_tokens) rows of the embedding table, padded with 0 on the right; the table is standard normal.
    """
    chains = transitions(num_classes, vocabulary, similarity, np.random.default_rng([seed, 0]))
    splits = {}
    for index, (name, count) in enumerate({"train": num_train, "val": num_val, "test": num_test}.items(), start=1):
        generator = np.random.default_rng([seed, index])
        targets = generator.integers(num_classes, size=count)
        lengths = generator.integers(-(-max_tokens // 4), max_tokens, size=count, endpoint=True)
        tokens = _draw(chains, targets, max_tokens, generator)
        inputs = np.where(np.arange(max_tokens) < lengths[:, None], tokens + FIRST_TOKEN, 0)
        splits[name] = Split(
            torch.from_numpy(inputs.astype(np.int32)),
            torch.from_numpy(targets),
            posterior(torch.from_numpy(inputs), torch.from_numpy(chains)),
        )
    embedding = torch.randn(vocabulary + FIRST_TOKEN, embedding_size, generator=torch.Generator().manual_seed(seed))
    embedding[:FIRST_TOKEN] = 0
    classes = [str(index) for index in range(num_classes)]
    return write_dataset(folder, splits, dataset=dataset, classes=classes, mean=[], std=[], embedding=embedding)


def transitions(
    num_classes: int, vocabulary: int, similarity: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the chain of every class, (K, V, V) float64: P(next token | token), of which `similarity` is shared."""
    rows = generator.dirichlet(np.full(vocabulary, CONCENTRATION), size=(num_classes + 1, vocabulary))
    return similarity * rows[0] + (1 - similarity) * rows[1:]


def posterior(inputs: Tensor, chains: Tensor) -> Tensor:
    r"""Return :math:`P(k \mid x) \propto \prod_t P_k(x_{t+1} \mid x_t)`, (N, K) float64.

    Length and first token tell nothing. `inputs` are (N, T) integer rows of the embedding table, 0 on the right of the
    last token; `chains` are (K, V, V) float64 transition probabilities.

    Example:
        >>> chains = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
        >>> posterior(torch.tensor([[2, 3, 2, 0], [2, 2, 3, 0]]), chains)
        tensor([[0.2000, 0.8000],
                [1.0000, 0.0000]], dtype=torch.float64)
    """
    logarithms = chains.log()  # (K, V, V)
    total = torch.zeros(len(inputs), len(chains), dtype=torch.float64)
    for before, after in zip(inputs.T[:-1].long(), inputs.T[1:].long(), strict=True):
        follows = after != 0
        total[follows] += logarithms[:, before[follows] - FIRST_TOKEN, after[follows] - FIRST_TOKEN].T
    return torch.softmax(total, dim=1)


def _draw(
    chains: npt.NDArray[np.float64], targets: npt.NDArray[np.int64], max_tokens: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return sequences of tokens 0 to V - 1, (N, max_tokens), by inversion of the cumulative transitions."""
    cumulative = chains.cumsum(axis=2)
    tokens = np.empty((len(targets), max_tokens), dtype=np.int64)
    tokens[:, 0] = generator.integers(chains.shape[1], size=len(targets))
    for step in range(1, max_tokens):
        rows = cumulative[targets, tokens[:, step - 1]]  # (N, V)
        draws = generator.random(len(targets)) * rows[:, -1]  # rounding leaves the last a little beside 1
        tokens[:, step] = (rows <= draws[:, None]).sum(axis=1)
    return tokens
