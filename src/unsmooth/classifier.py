"""A classifier that may abstain: a repaired confidence and a threshold with a guaranteed selective risk.

The guarantee needs samples that did not choose the confidence. :meth:`SelectiveClassifier.fit` therefore splits the
validation data at random: one part fits the score, the other certifies the threshold, which given the first part are
independent draws. Fitting and certifying on the same samples would void it: the fit prefers the parameters under which
these very samples rank well, so their errors at a threshold are no longer binomial at the true risk. When the
parameters are given (``params``), nothing is fitted and every sample certifies.
"""

import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from operator import methodcaller
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unsmooth.atomic_files import atomic_path
from unsmooth.extras import named_extras
from unsmooth.logits.collection import evaluation_mode
from unsmooth.logits.guards import column_names, refuse_other_columns, refuse_target_column
from unsmooth.logits.lookalikes import lookalike_shares, refuse_lookalikes
from unsmooth.logits.probabilities import refuse_log_probabilities, refuse_probabilities
from unsmooth.metrics import CertifiedThreshold, certified_threshold
from unsmooth.metrics.inputs import as_real, as_targets
from unsmooth.scores import FittedScore, find_score, fit_score
from unsmooth.scores.fitting import Validation, fit_to
from unsmooth.scores.rows import Array, Centring, Rows, check_shape, map_rows
from unsmooth.scores.splits import split_rows
from unsmooth.scores.thresholds import REJECT, acceptance_rule

__all__ = ["InfeasibleRiskWarning", "SelectiveClassifier", "SelectiveHead"]

_FORMAT, _VERSION = "unsmooth.SelectiveClassifier", 1


class InfeasibleRiskWarning(UserWarning):
    """No threshold could be certified for the risk asked for; the classifier rejects everything."""


class SelectiveClassifier(BaseEstimator):  # type: ignore[misc]
    """Predict where the confidence reaches a certified threshold, abstain elsewhere.

    Args:
        score_name: score of logits in :data:`unsmooth.scores.SCORES`.
        params: its parameters; None fits those that are fitted on a part of the validation data, falling back to MSP
            when that is not better there. Parameters from other data are right too, and leave every sample to certify.
        max_risk: target selective risk in (0, 1): error rate among the accepted.
        delta: probability in (0, 1), over the validation data drawn, that the true risk exceeds the target.
        fit_fraction: share in (0, 1) of the validation data that fits the score.
        seed: seed of that split.

    Attributes:
        score_: the fitted score.
        threshold_: accepts confidence >= threshold; inf when infeasible.
        certificate_: :class:`unsmooth.metrics.CertifiedThreshold` with its evidence.
        rule_: when a sample is accepted, in words and in the unit of the score.
        n_features_in_: number of classes K.
        columns_: names of the columns of a data frame that was fitted, as text; empty otherwise.
        lookalike_shares_: share of the fitted rows that look like softmax outputs, percent or fractions. A call all of
            whose rows do is refused, be it one row, where that is rare among logits like those that were fitted.

    Calls take tensors or arrays and return the same kind, and arrays for data frames and lists. Logits or
    log-probabilities serve equally, except for ``max_logit`` and ``energy``, which see the mean that softmax forgets.
    A data frame must have the columns of the one that was fitted, in their order.

    References:
        Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> targets = generator.integers(0, 4, 2000)
        >>> logits = generator.normal(size=(2000, 4)) + 3 * np.eye(4)[targets]
        >>> classifier = SelectiveClassifier(params={"p": 5}).fit(logits, targets, max_risk=0.02, delta=0.05)
        >>> accepted = classifier.predict(logits) != -1
        >>> bool(accepted.mean() > 0.5), classifier.certificate_.bound <= 0.02
        (True, True)
    """

    def __init__(
        self,
        *,
        score_name: str = "max_logit_pnorm",
        params: Mapping[str, Any] | None = None,
        max_risk: float = 0.05,
        delta: float = 0.05,
        fit_fraction: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.score_name = score_name
        self.params = params
        self.max_risk = max_risk
        self.delta = delta
        self.fit_fraction = fit_fraction
        self.seed = seed

    def fit(
        self,
        val_logits: Tensor | NDArray[Any],
        val_targets: Tensor | NDArray[Any],
        *,
        max_risk: float | None = None,
        delta: float | None = None,
    ) -> Self:
        """Fit the score on one part of the validation data and certify the threshold on the other.

        Args:
            val_logits: (N, K) floating point, independent draws of what :meth:`predict` will meet, not training data.
            val_targets: (N,) class indices in [0, K).
            max_risk: sets the parameter of this name first, so that the fitted classifier states the risk it certifies.
            delta: likewise.

        Returns:
            Itself. Where no threshold can be certified, ``threshold_`` is inf with an :class:`InfeasibleRiskWarning`.

        Raises:
            ValueError: bad data, unknown score, arguments out of range.
        """
        self.max_risk = self.max_risk if max_risk is None else max_risk
        self.delta = self.delta if delta is None else delta
        entry = find_score(self.score_name)
        values = _as_logits(val_logits)
        logits = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
        check_shape(logits)
        refuse_probabilities(logits)
        targets = as_targets(val_targets, tuple(logits.shape), name="val_targets")
        refuse_target_column(logits, torch.from_numpy(targets).to(logits.device))
        certify = np.arange(len(targets))
        if self.params is not None:
            score = FittedScore(self.score_name, {**entry.defaults, **self.params})
        elif not entry.fitted:
            score = fit_score(self.score_name)
        else:
            fitting, certify = split_rows(len(targets), fraction=self.fit_fraction, seed=self.seed)
            score = fit_to(Validation.of(logits[fitting], targets[fitting]), self.score_name)
        refuse_log_probabilities(score.name, score.params, logits)
        confidence = score(logits[certify])
        errors = logits[certify].argmax(dim=1).cpu().numpy() != targets[certify]
        certificate = certified_threshold(confidence, errors, risk=self.max_risk, delta=self.delta)
        self.score_, self.certificate_ = score, certificate
        self.threshold_, self.n_features_in_ = certificate.threshold, int(logits.shape[1])
        self.columns_, self.lookalike_shares_ = column_names(val_logits), lookalike_shares(logits)
        if not certificate.feasible:
            warnings.warn(
                f"no threshold has a risk of at most {self.max_risk:g} with probability {1 - self.delta:g} on "
                f"{certificate.n} samples, so everything is rejected; allow more risk or bring more data",
                InfeasibleRiskWarning,
                stacklevel=2,
            )
        return self

    @classmethod
    def of(
        cls,
        score: FittedScore,
        certificate: CertifiedThreshold,
        *,
        num_classes: int,
        lookalike_shares: Mapping[str, float],
    ) -> Self:
        """A fitted classifier from a score and the threshold certified for it on samples that did not fit it.

        Args:
            score: what was fitted.
            certificate: of its threshold.
            num_classes: K.
            lookalike_shares: of the logits, :func:`unsmooth.logits.lookalikes.lookalike_shares`.
        """
        classifier = cls(
            score_name=score.name, params=dict(score.params), max_risk=certificate.risk, delta=certificate.delta
        )
        classifier.score_, classifier.certificate_ = score, certificate
        classifier.threshold_, classifier.n_features_in_ = certificate.threshold, num_classes
        classifier.columns_, classifier.lookalike_shares_ = [], dict(lookalike_shares)
        return classifier

    @property
    def rule_(self) -> str:
        """When a sample is accepted, in words and in the unit of the score."""
        check_is_fitted(self)
        return acceptance_rule(self.score_, self.threshold_)

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 - the argument's name in scikit-learn
        """Parameters and, when fitted, the score, threshold, coverage and bound."""
        text = str(super().__repr__(N_CHAR_MAX))
        if not hasattr(self, "certificate_"):
            return text
        found = self.certificate_
        name = "msp" if self.score_.fell_back else self.score_.name
        evidence = f"coverage {found.coverage:.3f}, risk bound {found.bound:.4f}" if found.feasible else "infeasible"
        return (
            f"<{text}: score {name}, {self.rule_}; {evidence}, certified on {found.n:,} samples for a risk of at most "
            f"{found.risk:g} with probability {1 - found.delta:g}>"
        )

    def confidence(self, logits: Array) -> Array:
        """Confidence of (N, K) logits: (N,) float64, larger = more trusted.

        Raises:
            ValueError: another K or other columns, NaN, softmax outputs and other values unlike those fitted, or
                log-probabilities for a score that depends on the mean of the logits.
        """
        check_is_fitted(self)
        refuse_other_columns(logits, "logits", self.columns_)
        values = _as_logits(logits)
        if values.ndim != 2 or values.shape[1] != self.n_features_in_:
            raise ValueError(f"logits must have shape (N, {self.n_features_in_}), got {tuple(values.shape)}")
        refuse_lookalikes(values, self.lookalike_shares_)
        refuse_log_probabilities(self.score_.name, self.score_.params, values)
        confidence: Array = map_rows(values, self.score_.formula)
        return confidence

    def predict(self, logits: Array) -> Array:
        """Class index where the confidence reaches ``threshold_``, -1 elsewhere: (N,) int64."""
        accepted = self.confidence(logits) >= self.threshold_
        if isinstance(logits, Tensor):
            return torch.where(accepted, logits.argmax(dim=1), REJECT)
        return np.where(accepted, _as_logits(logits).argmax(axis=1), REJECT)

    def to_module(self) -> "SelectiveHead":
        """The fitted classifier as a head for a network: see :class:`SelectiveHead`."""
        check_is_fitted(self)
        return SelectiveHead(self.score_, self.threshold_)

    def to_onnx(
        self, path: str | os.PathLike[str], *, network: nn.Module | None = None, example: Tensor | None = None
    ) -> None:
        """Write the classifier, alone or behind a network, as an ONNX model with a dynamic batch.

        The input is named ``logits``, or ``inputs`` with a network; the outputs are ``prediction`` (class index or -1)
        and ``confidence``, as of :class:`SelectiveHead`.

        Args:
            path: the file to write, whole or not at all.
            network: returns logits (N, K) in evaluation mode; None exports the head alone.
            example: (N, ...) a batch of at least two inputs of the network, which fixes all other dimensions.

        Raises:
            ValueError: a network without an example, or of another number of classes.
            MissingExtraError: the extra ``onnx`` is not installed.
        """
        model: nn.Module = self.to_module()
        if network is None:
            example = torch.zeros(2, self.n_features_in_)
        elif example is None:
            raise ValueError("example must be a batch of inputs of the network, got None")
        else:
            model = nn.Sequential(network, model)
            with evaluation_mode(network), torch.no_grad():
                output = network(example)
                shape = tuple(getattr(output, "shape", ())) or type(output).__name__
            if shape != (len(example), self.n_features_in_):
                raise ValueError(f"network must return logits ({len(example)}, {self.n_features_in_}), got {shape}")
        with named_extras():
            import onnxscript  # noqa: F401 - torch would only say that its exporter failed
        with evaluation_mode(model):
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1 << 31)},),
                input_names=["logits" if network is None else "inputs"],
                output_names=["prediction", "confidence"],
                verbose=False,
            )
        assert program is not None  # it is with dynamo
        with atomic_path(path) as temporary:
            program.save(temporary)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write hyper-parameters and fitted values as JSON, whole or not at all; :meth:`load` restores them exactly."""
        check_is_fitted(self)
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "params": self.get_params() | {"params": None if self.params is None else _spelled(self.params)},
            "score": json.loads(self.score_.to_json()),
            "certificate": _spelled(asdict(self.certificate_)),
            "rule": self.rule_,
            "num_classes": self.n_features_in_,
            "columns": self.columns_,
            "lookalike_shares": self.lookalike_shares_,
        }
        text = json.dumps(content, allow_nan=False, indent=2, default=methodcaller("item"))  # of numpy's numbers
        with atomic_path(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: any other file, named with what is wrong.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                raise ValueError(f"expected the format {_FORMAT!r}")
            if content["version"] != _VERSION:
                raise ValueError(f"version {content['version']!r}, expected {_VERSION}")
            certificate, classes = _certificate(content["certificate"]), content["num_classes"]
            if type(classes) is not int or classes < 2:
                raise ValueError(f"num_classes must be an integer of at least 2, got {classes!r}")
            score, shares = FittedScore.from_json(json.dumps(content["score"])), content["lookalike_shares"]
            classifier = cls.of(score, certificate, num_classes=classes, lookalike_shares=shares)
            given, risk = content["params"], {"max_risk": certificate.risk, "delta": certificate.delta}
            fixed = None if given["params"] is None else _numbers(given["params"])
            classifier.set_params(**given | risk | {"params": fixed})
            classifier.columns_ = list(content["columns"])
            classifier.confidence(-np.eye(classes)[:2])
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, ValueError) as error:
            missing = f"no entry {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{os.fspath(path)}: not a saved SelectiveClassifier: {missing}") from error
        return classifier


def _as_logits(values: Any) -> Any:  # noqa: ANN401 - tensors, arrays, data frames, lists
    """Tensors as they are, anything else as an array of floating-point numbers."""
    return values if isinstance(values, Tensor) else as_real(values, "logits")


class SelectiveHead(nn.Module):
    """Last layer of a selective classifier: logits (N, K) -> (class index or -1 (N,) int64, confidence (N,) float64).

    It has no data-dependent branch, so ``torch.onnx.export`` and ``torch.export.export(..., strict=False)`` take it
    with a dynamic batch, alone or behind a network. A row that :meth:`SelectiveClassifier.predict` refuses (NaN,
    ``+inf``, one class left) has confidence nan here and is rejected. The confidence may differ in its last digits from
    :meth:`SelectiveClassifier.confidence`, and by single precision in other runtimes.

    Args:
        score: what :func:`unsmooth.scores.fit_score` returned.
        threshold: accepts confidence >= threshold.

    Example:
        >>> head = SelectiveHead(FittedScore("logit_margin"), threshold=1.0)
        >>> head(torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.5, 0.0]]))
        (tensor([ 0, -1]), tensor([2.0000, 0.5000], dtype=torch.float64))
    """

    threshold: Tensor

    def __init__(self, score: FittedScore, threshold: float) -> None:
        super().__init__()
        self.score, self.formula = score, score.formula
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the formula, a closure that cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "formula"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.formula = self.score.formula

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move as all modules do; the certified threshold stays in double precision when a network becomes half."""
        threshold = self.threshold
        super()._apply(fn, recurse)
        self.threshold = threshold.to(self.threshold.device)
        return self

    def forward(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Class or -1, and confidence."""
        values = logits.detach()
        rows = _TracedRows(values if values.dtype == torch.float64 else values.float())
        confidence = self.formula(rows)
        # A runner-up of -inf leaves one class, and nothing to rank.
        finite = rows.top.isfinite() & logits.topk(2, dim=1).values[:, 1].isfinite()
        confidence = torch.where(finite, confidence, torch.nan)
        return torch.where(confidence >= self.threshold, rows.predictions, REJECT), confidence


class _TracedRows(Rows):
    """`Rows` of torch operations alone, without looking at values, which a traced graph cannot."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.count, self.first_row, self.fine = logits, logits.shape[0], 0, torch.float64
        top, self.predictions = logits.max(dim=1)
        self.top = top.to(self.fine)
        self._gaps = logits - top[:, None]
        self._tail, self._scratch = torch.empty_like(logits), torch.empty_like(logits)

    def _sum(self, values: Tensor) -> Tensor:
        return values.sum(dim=1).to(self.fine)

    @cached_property
    def _runner_up(self) -> tuple[Tensor, Tensor]:
        others = self._gaps.scatter(1, self.predictions[:, None], -torch.inf)
        gap, second = others.max(dim=1)
        return gap, torch.stack((self.predictions, second), dim=1)

    def _exponentials(self, out: Tensor, inverse_temperature: Tensor | float) -> Tensor:
        gap, columns = self._runner_up
        if isinstance(inverse_temperature, Tensor):
            inverse_temperature = inverse_temperature.to(gap.dtype)[:, None]
        distances = (self._gaps - gap[:, None]) * inverse_temperature
        lowest = -87.0 if gap.dtype == torch.float32 else -700.0
        exponentials: Tensor = distances.clamp(lowest, 0.0).exp().scatter(1, columns, 0.0)
        return exponentials

    def _largest_below_runner_up(self, count: int) -> Tensor:
        largest: Tensor = self._below_runner_up().topk(count, dim=1).values.flip(1)
        return largest

    def refuse(self, bad: Tensor, what: str) -> None:
        """Let every row pass."""

    def _magnitudes(self, centring: Centring) -> tuple[Tensor, Tensor, Tensor]:
        masked = torch.isneginf(self._gaps)
        values = self._gaps.masked_fill(masked, 0.0)
        lowest = values.amin(dim=1)
        if centring == "none":
            top, centred = self.top, self.logits
        else:
            centre = lowest if centring == "min" else values.sum(dim=1) / (~masked).sum(dim=1)
            top, centred = -centre.to(self.fine), values - centre[:, None]
        magnitudes = centred.masked_fill(masked, 0.0).abs()
        scale = magnitudes.amax(dim=1).masked_fill(lowest == 0, 0.0)
        return magnitudes / scale.masked_fill(scale == 0, 1.0)[:, None], top, scale.to(self.fine)


def _certificate(entries: Mapping[str, Any]) -> CertifiedThreshold:
    certificate = CertifiedThreshold(**_numbers(entries))
    numbers = (certificate.threshold, certificate.coverage, certificate.risk, certificate.delta)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        raise ValueError(f"certificate must hold numbers, got {entries}")
    if math.isnan(certificate.threshold) or certificate.feasible is not (certificate.threshold < math.inf):
        raise ValueError(f"certificate has threshold {certificate.threshold} but feasible = {certificate.feasible}")
    return certificate


def _spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with numbers that JSON lacks as text."""
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `_spelled`."""
    return {k: float(v) if v in ("inf", "-inf", "nan") else v for k, v in values.items()}
