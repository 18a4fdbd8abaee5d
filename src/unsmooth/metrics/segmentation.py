"""Segmentation metrics of confusion matrices."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsmooth.metrics.inputs import as_finite


def mean_iou(confusion: ArrayLike) -> NDArray[np.float64]:
    r"""Mean intersection over union, (1/K) sum_k c_kk / (sum_j c_kj + sum_j c_jk - c_kk).

    The mean is over the classes that occur as truth or prediction.

    Args:
        confusion: (\*, K, K) counts or weights, truth by prediction, at least 0.

    Returns:
        (\*) in [0, 1], higher is better; nan where nothing is counted.

    Raises:
        ValueError: matrices that are not square.

    References:
        Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 2015, section 5.

    Example:
        >>> float(mean_iou([[2, 1, 0], [0, 1, 0], [0, 0, 0]]))  # 2/3 and 1/2
        0.5833333333333333
    """
    matrix = _square(confusion)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    union = matrix.sum(axis=-1) + matrix.sum(axis=-2) - hits
    present = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(union), where=present)
    return _ratio(iou.sum(axis=-1), present.sum(axis=-1))


def pixel_accuracy(confusion: ArrayLike) -> NDArray[np.float64]:
    r"""Share of correctly classified pixels, sum_k c_kk / sum_jk c_jk.

    Arguments and errors raised as `mean_iou`.

    Returns:
        (\*) in [0, 1], higher is better; nan where nothing is counted.

    References:
        Long, Shelhamer & Darrell, Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, section 5.

    Example:
        >>> float(pixel_accuracy([[2, 1], [0, 1]]))
        0.75
    """
    matrix = _square(confusion)
    return _ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1)))


def _square(confusion: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(confusion)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"confusion must be (*, K, K), got {matrix.shape}")
    return as_finite(matrix, "confusion", ndim=matrix.ndim).astype(np.float64)


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:  # noqa: ANN401
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
