import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from unsmooth.metrics import mean_iou, pixel_accuracy


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_segmentation_metrics_equal_those_of_scikit_learn(pairs):
    targets, predictions = np.array(pairs).T
    matrix = confusion_matrix(targets, predictions, labels=range(4))

    assert mean_iou(matrix) == pytest.approx(jaccard_score(targets, predictions, average="macro"))
    assert pixel_accuracy(matrix) == pytest.approx(accuracy_score(targets, predictions))


def test_many_matrices_are_measured_at_once_and_without_pixels_nothing_is_defined():
    matrices = np.array([[[3, 0], [0, 1]], [[0, 2], [2, 0]], [[0, 0], [0, 0]]])

    assert mean_iou(matrices)[:2].tolist() == [1.0, 0.0] and np.isnan(mean_iou(matrices)[2])
    assert pixel_accuracy(matrices)[:2].tolist() == [1.0, 0.0] and np.isnan(pixel_accuracy(matrices)[2])


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"confusion must be \(\*, K, K\), got \(2, 3\)"):
        mean_iou(np.ones((2, 3)))
