import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsmooth.metrics import logit_distances


def test_distances_of_two_samples_by_hand():
    distances = logit_distances([[5.0, 1.0, 3.0], [0.0, 2.0, 2.0]])

    assert distances.mean.tolist() == [3.0, 1.0]
    assert distances.largest.tolist() == [4.0, 2.0]
    assert distances.margin.tolist() == [2.0, 0.0]


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 20), shift=st.floats(-100, 100), scale=st.floats(0.1, 10))
def test_distances_are_ordered_ignore_a_shift_and_scale(seed, classes, shift, scale):
    logits = np.random.default_rng(seed).normal(size=(30, classes))
    plain, changed = logit_distances(logits), logit_distances(scale * logits + shift)

    assert (plain.margin <= plain.mean + 1e-12).all() and (plain.mean <= plain.largest + 1e-12).all()
    for before, after in zip(plain, changed, strict=True):
        np.testing.assert_allclose(after, scale * before, atol=1e-10)


def test_two_classes_have_one_distance():
    distances = logit_distances(np.random.default_rng(0).normal(size=(5, 2)))

    np.testing.assert_allclose(distances.mean, distances.margin)
    np.testing.assert_allclose(distances.largest, distances.margin)


@pytest.mark.parametrize("logits", [[1.0, 2.0], [[1.0], [2.0]], [[1.0, np.inf]]])
def test_other_shapes_and_infinite_logits_are_refused(logits):
    with pytest.raises(ValueError, match="logits must"):
        logit_distances(logits)
