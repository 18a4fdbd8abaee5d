import itertools

import numpy as np
import pytest
import torch

from unsmooth.data import markov_text
from unsmooth.data.arrays import load_embedding, load_split, read_manifest

OPTIONS = {
    "num_train": 50,
    "num_val": 60,
    "num_test": 20_000,
    "num_classes": 4,
    "vocabulary": 6,
    "max_tokens": 13,
    "embedding_size": 5,
    "similarity": 0.6,
    "seed": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("markov_text")
    markov_text.build(folder, dataset="markov_text", **OPTIONS)
    return folder


def test_sequences_are_padded_rows_of_the_embedding_table(folder):
    split, embedding = load_split(folder, "test"), load_embedding(folder)
    lengths = (split.inputs != 0).sum(dim=1)

    assert split.inputs.dtype == torch.int32 and split.inputs.shape == (20_000, 13)
    assert lengths.unique().tolist() == list(range(4, 14))
    assert torch.equal(split.inputs != 0, torch.arange(13) < lengths[:, None])
    assert split.inputs.unique().tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert embedding.shape == (8, 5) and (embedding[:2] == 0).all() and (embedding[2:] != 0).all()


def test_posterior_agrees_with_the_classes_drawn(folder):
    split = load_split(folder, "test")
    one_hot = torch.nn.functional.one_hot(split.targets, 4).double()
    deviation = (one_hot - split.posterior).mean(dim=0) / (split.posterior * (1 - split.posterior)).mean(dim=0).sqrt()
    confidence, predictions = split.posterior.max(dim=1)
    right = (predictions == split.targets).double()

    assert split.posterior.dtype == torch.float64
    torch.testing.assert_close(split.posterior.sum(dim=1), torch.ones(20_000, dtype=torch.float64))
    assert (deviation.abs() * 20_000**0.5 < 4).all()
    for low, high in itertools.pairwise([0.25, 0.5, 0.75, 0.95, 1.01]):
        chosen = (confidence >= low) & (confidence < high)
        assert right[chosen].mean().item() == pytest.approx(confidence[chosen].mean().item(), abs=0.03)


def test_posterior_is_bayes_rule_over_the_tokens():
    chains = markov_text.transitions(3, 4, 0.5, np.random.default_rng(1))
    inputs = torch.tensor([[2, 3, 5, 0, 0], [4, 4, 2, 3, 5]])
    expected = []
    for row in inputs.tolist():
        tokens = [token - 2 for token in row if token]
        likelihood = [np.prod([chain[pair] for pair in itertools.pairwise(tokens)]) for chain in chains]
        expected.append([value / sum(likelihood) for value in likelihood])

    actual = markov_text.posterior(inputs, torch.from_numpy(chains))
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_chains_are_distributions_that_share_what_similarity_says():
    alike, apart = (markov_text.transitions(3, 20, similarity, np.random.default_rng(0)) for similarity in (0.9, 0.0))

    np.testing.assert_allclose(alike.sum(axis=2), 1)
    np.testing.assert_allclose(alike[0] - alike[1], 0.1 * (apart[0] - apart[1]), atol=1e-12)


def test_transitions_drawn_are_those_of_the_chain(folder):
    split = load_split(folder, "test")
    chains = markov_text.transitions(4, 6, 0.6, np.random.default_rng([0, 0]))
    counts = np.zeros_like(chains)
    for target, row in zip(split.targets.tolist(), split.inputs.tolist(), strict=True):
        for before, after in itertools.pairwise(row):
            if after:
                counts[target, before - 2, after - 2] += 1
    totals = counts.sum(axis=2, keepdims=True)
    deviation = (counts / totals - chains) / np.sqrt(chains * (1 - chains) / totals + 1e-6)

    assert np.abs(deviation).max() < 5


def test_dataset_is_a_function_of_its_options(folder, tmp_path):
    small = OPTIONS | {"num_test": 30}
    first, again, other = (
        markov_text.build(tmp_path / str(index), dataset="markov_text", **small | change)
        for index, change in enumerate(({}, {}, {"seed": 1}))
    )

    assert first.sha256 == again.sha256 != other.sha256
    assert read_manifest(folder).classes == ["0", "1", "2", "3"]
    assert torch.equal(load_split(tmp_path / "0", "train").inputs, load_split(folder, "train").inputs)


def test_splits_are_drawn_independently(tmp_path):
    markov_text.build(tmp_path, dataset="markov_text", **OPTIONS | {"num_test": 60})

    assert not torch.equal(load_split(tmp_path, "val").targets, load_split(tmp_path, "test").targets)
