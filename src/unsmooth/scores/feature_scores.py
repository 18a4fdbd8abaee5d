"""Confidence from penultimate features and the last layer.

Scores with training statistics are frozen dataclasses: ``fit`` on training features, then call on test features.
Inputs are tensors, arrays or data frames, features (N, D), computed in float64. The result is (N,): a tensor if the
features (the logits, for :func:`rl_geo_m`) are one, otherwise an array. Larger is more trusted. Fit them on training
data, never on test data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmooth.metrics.inputs import as_real, to_numpy
from unsmooth.registry.scores import find_score
from unsmooth.scores.logit_scores import energy, logit_margin, msp
from unsmooth.scores.rows import Array, softplus

AnyArray = Tensor | NDArray[Any]

# Rows of a distance matrix held at a time.
_CHUNK = 1024


class TrainingSamplesError(ValueError):
    """Training samples on which a score of features cannot be fitted."""


def score_by_features(name: str, test: Mapping[str, AnyArray], train: Mapping[str, AnyArray] | None = None) -> AnyArray:
    """Compute a score of features, fitted on training samples if it needs their statistics.

    Args:
        name: in the registry: ``"knn"``, ``"vim"``, ...
        test: arrays of the samples by name, those that the score needs: ``"logits"`` (N, K), ``"features"`` (N, D),
            and ``"weight"`` (K, D) and ``"bias"`` (K,) of the last layer.
        train: the same of training samples, and their ``"targets"`` (M,) class indices.

    Returns:
        (N,) float64; larger is more trusted.

    Raises:
        ValueError: an array is missing or of another shape.
        TrainingSamplesError: training samples that are bad or too few; it is a ValueError.

    Example:
        >>> train = {"features": torch.eye(2).repeat(50, 1)}
        >>> score_by_features("knn", {"features": torch.tensor([[3.0, 0.0]])}, train)
        tensor([-0.], dtype=torch.float64)
    """
    score, train = find_score(name).function, train or {}
    layer = {key: arrays[key] for arrays in (train, test) for key in ("weight", "bias") if key in arrays}
    if isinstance(score, type):
        known = {**layer, **train}
        fit: Callable[..., Any] = score.fit  # type: ignore[attr-defined]
        if "errors" in signature(fit).parameters and {"logits", "targets"} <= train.keys():
            known["errors"] = _errors(train["logits"], train["targets"])
        statistics = _arguments(name, fit, known, " of training samples")
        try:
            score = fit(**statistics)
        except ValueError as error:
            raise TrainingSamplesError(str(error)) from None
    confidence: AnyArray = score(**_arguments(name, score, {**layer, **test}, ""))
    if "logits" in test and len(confidence) != len(test["logits"]):
        raise ValueError(f"features must have one row a sample, got {len(confidence)} of {len(test['logits'])}")
    return confidence


def _arguments(
    name: str, function: Callable[..., Any], known: Mapping[str, AnyArray], whose: str
) -> dict[str, AnyArray]:
    """The arrays named by the parameters of the function."""
    parameters = signature(function).parameters
    missing = [key for key, each in parameters.items() if each.default is Parameter.empty and key not in known]
    if missing:
        raise ValueError(f"{name} needs {', '.join(missing)}{whose}, got {', '.join(known) or 'nothing'}")
    return {key: known[key] for key in parameters if key in known}


def rl_geo_m(logits: Array, weight: AnyArray, bias: AnyArray | None = None) -> Array:
    r"""Geometric margin: gap between the two largest logits, each divided by the norm of its class's last-layer row.

    .. math:: \tilde z_k = z_k / \lVert (w_k, b_k) \rVert_2, \qquad s = \tilde z_{(1)} - \tilde z_{(2)}

    Args:
        logits: (N, K) floating point, K >= 2.
        weight: (K, D) weight of the last layer, no zero row.
        bias: (K,) its bias, if it has one.

    Returns:
        (N,) float64, non-negative; larger is more trusted.

    Raises:
        ValueError: shapes that do not match, a zero row, or bad logits.

    References:
        Liang, Peng & Sun, "Selective Classification Under Distribution Shifts", TMLR 2024.

    Example:
        >>> rl_geo_m(torch.tensor([[4.0, 3.0]]), torch.tensor([[2.0], [1.0]]))
        tensor([1.], dtype=torch.float64)
    """
    values = logits if isinstance(logits, Tensor) else as_real(logits, "logits")
    rows = _matrix("weight", weight)
    if bias is not None:
        rows = torch.cat((rows, _vector("bias", bias, len(rows))[:, None]), dim=1)
    if values.ndim != 2 or values.shape[1] != len(rows):
        raise ValueError(f"weight must have one row per class, got {len(rows)} rows for logits {tuple(values.shape)}")
    norms = rows.norm(dim=1)
    if bool((norms == 0).any()):
        raise ValueError(f"weight must have no zero row, row {int((norms == 0).int().argmax())} is zero")
    if isinstance(values, Tensor):
        return logit_margin(values.double() / norms.to(values.device))
    return logit_margin(values.astype(np.float64) / norms.cpu().numpy())


@dataclass(frozen=True)
class SIRC:
    r"""Softmax information retaining combination: MSP, lowered for unusually small feature norms.

    .. math:: -(1 - p_{(1)}) \left(1 + e^{-b (\lVert f \rVert_1 - a)}\right), \quad a = \mu - 3 \sigma,\; b = 1 / \sigma

    with mean and standard deviation of the training features' norms. Returned as minus the logarithm of the product.

    Attributes:
        location: a.
        slope: b.

    References:
        Xia & Bouganis, "Augmenting Softmax Information for Selective Classification with Out-of-Distribution Data",
        ACCV 2022.

    Example:
        >>> score = SIRC.fit(torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
        >>> score.location, score.slope
        (-2.0, 0.5)
    """

    location: float
    slope: float

    @classmethod
    def fit(cls, features: AnyArray) -> "SIRC":
        """Mean and spread of ``features``' (N, D) L1 norms, N >= 2."""
        norms = _matrix("features", features).abs().sum(dim=1)
        spread = float(norms.std()) if len(norms) > 1 else 0.0
        if spread == 0:
            raise ValueError(f"features must have at least two different norms, got {len(norms)} rows of equal norm")
        return cls(float(norms.mean()) - 3 * spread, 1 / spread)

    def __call__(self, logits: Array, features: Array) -> Array:
        """Score logits (N, K) with features (N, D)."""
        norms = _matrix("features", features).abs().sum(dim=1)
        confidence = _vector("logits", msp(logits), len(norms)).to(norms.device)
        return _like(confidence - softplus(-self.slope * (norms - self.location)), features)


@dataclass(frozen=True)
class Mahalanobis:
    r"""Minus the squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

    .. math:: -\min_c (f - \mu_c)^\top \Sigma^{+} (f - \mu_c)

    Attributes:
        whitening: (D, R) W with W W^T the pseudo-inverse of the within-class covariance.
        means: (C, R) whitened class means.

    References:
        Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
        NeurIPS 2018.

    Example:
        >>> features, targets = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])
        >>> Mahalanobis.fit(features, targets)(torch.tensor([[1.0], [3.0]]))
        tensor([-0., -4.], dtype=torch.float64)
    """

    whitening: Tensor
    means: Tensor

    @classmethod
    def fit(cls, features: AnyArray, targets: AnyArray) -> "Mahalanobis":
        """Class means and pooled covariance of training ``features`` (N, D) with class indices ``targets`` (N,)."""
        values = _matrix("features", features)
        classes = _vector("targets", targets, len(values)).long().to(values.device)
        present, index = torch.unique(classes, return_inverse=True)
        counts = torch.bincount(index, minlength=len(present)).to(values.dtype)
        means = torch.zeros(len(present), values.shape[1], dtype=values.dtype, device=values.device)
        means.index_add_(0, index, values).div_(counts[:, None])
        centred = values - means[index]
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(values))
        # Directions without training variance carry only rounding noise.
        kept = variances > variances.amax() * values.shape[1] * torch.finfo(variances.dtype).eps
        if not bool(kept.any()):
            raise ValueError("features must vary within a class, got identical rows in every class")
        whitening = directions[:, kept] / variances[kept].sqrt()
        return cls(whitening, means @ whitening)

    def __call__(self, features: Array) -> Array:
        """Score features (N, D)."""
        values = _matrix("features", features, len(self.whitening))
        whitened, means = values @ self.whitening.to(values.device), self.means.to(values.device)
        nearest = [torch.cdist(part, means).amin(dim=1) for part in torch.split(whitened, _CHUNK)]
        return _like(-torch.cat(nearest).square(), features)


@dataclass(frozen=True)
class NearestNeighbours:
    r"""Minus the distance to the k-th nearest training feature, on the unit sphere.

    Attributes:
        bank: (N, D) normalised training features.
        k: which neighbour; 50 in the paper for CIFAR, 1,000 for all of ImageNet.

    References:
        Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.

    Example:
        >>> score = NearestNeighbours.fit(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), k=1)
        >>> score(torch.tensor([[3.0, 0.0], [-1.0, 0.0]])).round(decimals=3)
        tensor([-0.0000, -1.4140], dtype=torch.float64)
    """

    bank: Tensor
    k: int

    @classmethod
    def fit(cls, features: AnyArray, *, k: int = 50) -> "NearestNeighbours":
        """Keep training ``features`` (N, D), N >= k."""
        values = _matrix("features", features)
        if not 1 <= k <= len(values):
            raise ValueError(f"k must be in [1, {len(values)}], the number of training features, got {k}")
        return cls(torch.nn.functional.normalize(values, dim=1), k)

    def __call__(self, features: Array) -> Array:
        """Score features (N, D)."""
        values = _matrix("features", features, self.bank.shape[1])
        bank, unit = self.bank.to(values.device), torch.nn.functional.normalize(values, dim=1)
        # Euclidean distances by subtraction: the matrix product form cancels for near neighbours.
        parts = [
            torch.cdist(part, bank, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(self.k, dim=1).values
            for part in torch.split(unit, _CHUNK)
        ]
        return _like(-torch.cat(parts), features)


@dataclass(frozen=True)
class ViM:
    r"""Virtual-logit matching: energy of the logits minus the norm of the feature outside the principal subspace.

    .. math:: \log \textstyle\sum_k e^{z_k} - \alpha \lVert R (f - o) \rVert_2, \qquad o = -W^{+} b

    with R the projection off the principal directions of the training features and alpha the mean of their largest
    logits over the mean of their residual norms.

    Attributes:
        origin: (D,) o.
        residual: (D, D - principal) basis of the residual space.
        alpha: scale that makes the residual a logit.

    References:
        Wang et al., "ViM: Out-of-Distribution with Virtual-logit Matching", CVPR 2022.

    Example:
        >>> features, weight = torch.eye(3).repeat(2, 1), torch.eye(2, 3)
        >>> score = ViM.fit(features, features @ weight.T, weight, torch.zeros(2), principal=2)
        >>> score(features @ weight.T, features).shape
        torch.Size([6])
    """

    origin: Tensor
    residual: Tensor
    alpha: float

    @classmethod
    def fit(
        cls, features: AnyArray, logits: AnyArray, weight: AnyArray, bias: AnyArray, *, principal: int | None = None
    ) -> "ViM":
        """Principal subspace of training ``features`` (N, D) with their ``logits`` (N, K) and the last layer.

        ``principal`` is its dimension, in [0, D); None: the paper's 1,000 for D >= 2048, 512 for D >= 768, else D // 2.
        """
        values = _matrix("features", features)
        width = values.shape[1]
        if principal is None:
            principal = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
        if not 0 <= principal < width:
            raise ValueError(f"principal must be in [0, {width}), got {principal}")
        layer = _matrix("weight", weight, width).to(values.device)
        origin = -torch.linalg.pinv(layer) @ _vector("bias", bias, len(layer)).to(values.device)
        centred = values - origin
        residual = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, : width - principal]
        norm = (centred @ residual).norm(dim=1).mean()
        if norm == 0:
            raise ValueError("features have no part outside the principal subspace; lower principal")
        largest = _vector("logits", _matrix("logits", logits).amax(dim=1), len(values)).mean()
        return cls(origin, residual, float(largest / norm))

    def __call__(self, logits: Array, features: Array) -> Array:
        """Score logits (N, K) with features (N, D)."""
        values = _matrix("features", features, len(self.origin))
        norm = ((values - self.origin.to(values.device)) @ self.residual.to(values.device)).norm(dim=1)
        free = _vector("logits", energy(logits), len(values)).to(values.device)
        return _like(free - self.alpha * norm, features)


@dataclass(frozen=True)
class DeltaMahalanobis:
    r"""Likelihood ratio = Mahalanobis score under correctly minus that under wrongly classified training features.

    Attributes:
        correct: fitted on correctly classified samples.
        wrong: fitted on wrongly classified samples, by their true class.

    References:
        Heng & Soh, "Know When to Abstain: Optimal Selective Classification with Likelihood Ratios", ICLR 2026.

    Example:
        >>> features = torch.tensor([[0.0], [2.0], [9.0], [11.0]])
        >>> wrong = torch.tensor([False, False, True, True])
        >>> DeltaMahalanobis.fit(features, torch.tensor([0, 0, 0, 0]), wrong)(torch.tensor([[1.0], [10.0]]))
        tensor([ 81., -81.], dtype=torch.float64)
    """

    correct: Mahalanobis
    wrong: Mahalanobis

    @classmethod
    def fit(cls, features: AnyArray, targets: AnyArray, errors: AnyArray) -> "DeltaMahalanobis":
        """Split training ``features`` (N, D) with ``targets`` (N,) by ``errors`` (N,) bool."""
        values, wrong = _split(features, errors)
        classes = _vector("targets", targets, len(values)).to(values.device)
        return cls(Mahalanobis.fit(values[~wrong], classes[~wrong]), Mahalanobis.fit(values[wrong], classes[wrong]))

    def __call__(self, features: Array) -> Array:
        """Score features (N, D)."""
        values = _matrix("features", features)
        return _like(self.correct(values) - self.wrong(values), features)


@dataclass(frozen=True)
class DeltaNearestNeighbours:
    r"""Likelihood ratio = log distance to the k-th nearest wrongly minus that to the correctly classified feature.

    Attributes:
        correct: features of correctly classified samples.
        wrong: features of wrongly classified samples.

    References:
        Heng & Soh, "Know When to Abstain: Optimal Selective Classification with Likelihood Ratios", ICLR 2026.

    Example:
        >>> features, wrong = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([False, True])
        >>> score = DeltaNearestNeighbours.fit(features, wrong, k=1)
        >>> bool(score(torch.tensor([[2.0, 1.0]])) > 0)
        True
    """

    correct: NearestNeighbours
    wrong: NearestNeighbours

    @classmethod
    def fit(cls, features: AnyArray, errors: AnyArray, *, k: int = 50) -> "DeltaNearestNeighbours":
        """Split training ``features`` (N, D) by ``errors`` (N,) bool; both parts need k rows."""
        values, wrong = _split(features, errors)
        return cls(NearestNeighbours.fit(values[~wrong], k=k), NearestNeighbours.fit(values[wrong], k=k))

    def __call__(self, features: Array) -> Array:
        """Score features (N, D)."""
        values = _matrix("features", features)
        # The floor keeps the logarithm finite for a feature equal to a training feature.
        wrong, correct = (part(values).neg().clamp(min=1e-12).log() for part in (self.wrong, self.correct))
        return _like(wrong - correct, features)


def _errors(logits: AnyArray, targets: AnyArray) -> Tensor:
    """Whether each training sample is misclassified, (M,) bool."""
    values, classes = _tensor("logits", logits), _tensor("targets", targets)
    if values.ndim != 2 or 0 in values.shape or classes.shape != values.shape[:1]:
        came = f"{tuple(values.shape)} and {tuple(classes.shape)}"
        raise TrainingSamplesError(f"logits and targets must have shapes (M, K) and (M,), got {came}")
    return values.argmax(dim=1) != classes.to(values.device)


def _split(features: AnyArray, errors: AnyArray) -> tuple[Tensor, Tensor]:
    values = _matrix("features", features)
    wrong = _vector("errors", errors, len(values)).bool().to(values.device)
    if bool(wrong.all()) or not bool(wrong.any()):
        raise ValueError(f"errors must hold both outcomes, got {int(wrong.sum())} errors among {len(wrong)} samples")
    return values, wrong


def _matrix(name: str, values: AnyArray, width: int | None = None) -> Tensor:
    tensor = _tensor(name, values)
    if tensor.ndim != 2 or 0 in tensor.shape or (width is not None and tensor.shape[1] != width):
        expected = "(N, D)" if width is None else f"(N, {width})"
        raise ValueError(f"{name} must have shape {expected} with no dimension empty, got {tuple(tensor.shape)}")
    bad = ~torch.isfinite(tensor).all(dim=1)
    if bool(bad.any()):
        raise ValueError(f"{name}: row {int(bad.int().argmax())} is not finite")
    return tensor


def _vector(name: str, values: AnyArray, length: int) -> Tensor:
    tensor = _tensor(name, values)
    if tensor.shape != (length,):
        raise ValueError(f"{name} must have length {length}, got shape {tuple(tensor.shape)}")
    return tensor


def _tensor(name: str, values: AnyArray) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().double()
    return torch.from_numpy(np.array(to_numpy(values, name), dtype=np.float64, order="C"))


def _like(confidence: Tensor, given: Array) -> Array:
    return confidence if isinstance(given, Tensor) else confidence.cpu().numpy()
