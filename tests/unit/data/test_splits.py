import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unsmooth.data.arrays import DatasetError
from unsmooth.data.splits import draw_out, hold_out, legacy_permutations

FINGERPRINTS = json.loads(
    (Path(__file__).parents[1] / "reference_values" / "data" / "split_fingerprints.json").read_text()
)


def digest(indices):
    return hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()


@given(st.integers(2, 200), st.data(), st.integers(0, 2**31 - 1))
@pytest.mark.parametrize("divide", [hold_out, partial(hold_out, shuffle="numpy"), draw_out])
def test_every_sample_is_on_exactly_one_side(divide, count, data, seed):
    num = data.draw(st.integers(1, count - 1))
    chosen, rest = divide(count, num, seed)

    assert len(chosen) == num
    assert torch.equal(torch.cat([chosen, rest]).sort().values, torch.arange(count))
    assert torch.equal(rest, rest.sort().values)


def test_held_out_imagenet_images_are_those_of_the_released_permutation():
    expected = FINGERPRINTS["imagenet_seed0_randperm50000"]
    held_out, rest = hold_out(50_000, 10_000, seed=0)
    order = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))

    assert digest(order) == expected["perm_sha256_le_i64"]
    assert torch.equal(held_out, order[:10_000].sort().values) and torch.equal(rest, order[10_000:].sort().values)
    assert held_out.sum() == expected["val_first10000_sum"]


@pytest.mark.parametrize("name", ["bank_marketing", "online_shoppers"])
def test_drawn_rows_are_those_of_the_released_tabular_experiments(name):
    expected = FINGERPRINTS[name]
    train, test = draw_out(expected["N"], expected["n_train"], expected["seed"])

    assert train[:10].tolist() == expected["train_first10"]
    assert digest(train) == expected["train_sha256_le_i64"] and digest(test) == expected["test_sha256_le_i64"]


def test_held_out_cifar_images_are_those_of_mbls():
    [order] = legacy_permutations([50_000], seed=1)
    held_out, _ = hold_out(50_000, 5000, seed=1, shuffle="numpy")

    assert order[:5].tolist() == [26247, 35067, 34590, 16668, 12196]
    assert torch.equal(held_out, order[:5000].sort().values) and held_out.sum() == 122_592_196


def test_permutations_are_those_of_the_global_legacy_generator():
    np.random.seed(1)
    lists = [list(range(count)) for count in (500, 7)]
    for each in lists:
        np.random.shuffle(each)

    assert [order.tolist() for order in legacy_permutations([500, 7], seed=1)] == lists


def test_another_seed_chooses_other_samples():
    assert not torch.equal(hold_out(100, 50, seed=0)[0], hold_out(100, 50, seed=1)[0])


@pytest.mark.parametrize("num", [0, 5, 6])
def test_empty_sides_are_refused(num):
    with pytest.raises(DatasetError, match=f"cannot hold out {num} of 5 samples"):
        hold_out(5, num, seed=0)
    with pytest.raises(DatasetError, match=f"cannot draw {num} of 5 samples"):
        draw_out(5, num, seed=0)
