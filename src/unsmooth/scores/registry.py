"""The scores by name: what each needs, what is fitted, and how it is computed in the one pass over the logits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, Literal

from torch import Tensor

from unsmooth.scores import feature_scores, logit_scores, peers, pnorm
from unsmooth.scores.rows import check_norm, check_ranking

Need = Literal["logits", "features", "last_layer", "training"]


@dataclass(frozen=True)
class Score:
    """One entry of the registry.

    Attributes:
        name: name in tables.
        function: the public function, or the class of a score with training statistics.
        needs: inputs: ``"logits"``, ``"features"`` (penultimate activations of the same samples), ``"last_layer"`` (its
            weight and bias), ``"training"`` (statistics of training features).
        fitted: parameters that :func:`unsmooth.scores.fit_score` finds on validation data.
        defaults: parameters used without fitting; a fitted parameter missing here has no default.
        rows: ``rows(block, **params)``, the score of a block in the one pass; None for scores that need more than
            logits.
        limits: ``limits(**params)`` raises ValueError for a parameter out of range; also called by the function.
        exists: ``exists(num_classes=K, **params)`` raises ValueError where the score ranks nothing for K classes.
    """

    name: str
    function: Callable[..., Any]
    needs: frozenset[Need] = frozenset({"logits"})
    fitted: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    rows: Callable[..., Tensor] | None = None
    limits: Callable[..., None] | None = None
    exists: Callable[..., None] | None = None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (_documented(self.function).__doc__ or "").strip().splitlines()[0]

    @property
    def references(self) -> str:
        """References of the function's docstring, on one line."""
        section = (_documented(self.function).__doc__ or "").partition("References:")[2].partition("Example:")[0]
        return " ".join(section.split())

    @property
    def has_default(self) -> bool:
        """Whether the score can be used without fitting."""
        return all(name in self.defaults for name in self.fitted)

    @property
    def usage(self) -> str:
        """How to compute the score by hand: what to call with what."""
        name = _documented(self.function).__name__
        if not isinstance(self.function, type):
            return f"unsmooth.scores.{name}({_arguments(self.function)})"
        fit, call = self.function.fit, self.function.__call__  # type: ignore[attr-defined]
        return f"score = unsmooth.scores.{name}.fit({_arguments(fit)}) on training data, then score({_arguments(call)})"

    def formula(self, params: Mapping[str, Any]) -> Callable[..., Tensor]:
        """``rows`` with these parameters.

        Raises:
            ValueError: the score needs more than logits, or a parameter is unknown, missing or out of range.
        """
        if self.rows is None:
            raise ValueError(
                f"{self.name} needs {', '.join(sorted(self.needs))}, not logits alone; compute it by {self.usage}"
            )
        try:
            signature(self.rows).bind(None, **params)
        except TypeError as error:
            raise ValueError(f"{self.name}: {error}, got {dict(params)}") from None
        if self.limits is not None:
            _call(self.limits, params)
        return partial(self.rows, **params)

    def refusal(self, num_classes: int, params: Mapping[str, Any]) -> str | None:
        """Why the score ranks nothing for so many classes; None where it does."""
        try:
            if self.exists is not None:
                _call(self.exists, {**params, "num_classes": num_classes})
        except ValueError as error:
            return str(error)
        return None


def _documented(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.func if isinstance(function, partial) else function


def _call(check: Callable[..., None], params: Mapping[str, Any]) -> None:
    """Call with those of the parameters that the check is about."""
    check(**{name: params[name] for name in signature(check).parameters if name in params})


def _arguments(function: Callable[..., Any]) -> str:
    return ", ".join(name for name in signature(function).parameters if name != "self")


_FEATURES: frozenset[Need] = frozenset({"features", "training"})

_ENTRIES = (
    Score("msp", logit_scores.msp, rows=lambda rows, *, scale="log": logit_scores.msp_of(rows.log_odds, scale)),
    Score(
        "msp_temperature",
        logit_scores.msp_temperature,
        fitted=("temperature",),
        rows=lambda rows, *, temperature, scale="log": logit_scores.msp_of(rows.log_odds_at(1 / temperature), scale),
        limits=logit_scores.check_temperature,
    ),
    Score("max_logit", logit_scores.max_logit, rows=lambda rows: rows.top),
    Score("energy", logit_scores.energy, rows=logit_scores.energy_of, limits=logit_scores.check_temperature),
    Score("logit_margin", logit_scores.logit_margin, rows=lambda rows: rows.margin),
    Score("softmax_margin", logit_scores.softmax_margin, rows=logit_scores.softmax_margin_of),
    Score("negative_entropy", logit_scores.negative_entropy, rows=logit_scores.negative_entropy_of),
    Score("negative_gini", logit_scores.negative_gini, rows=logit_scores.negative_gini_of),
    Score("doctor_alpha", partial(logit_scores.doctor, variant="alpha"), rows=logit_scores.doctor_alpha_of),
    Score("doctor_beta", partial(logit_scores.doctor, variant="beta"), rows=logit_scores.doctor_beta_of),
    Score("gen", logit_scores.gen, rows=logit_scores.gen_of, limits=logit_scores.check_gen),
    Score(
        "softmax_k",
        logit_scores.softmax_k,
        defaults={"k": 5},
        rows=lambda rows, *, k, scale="log": logit_scores.msp_of(rows.log_odds_among(k), scale),
        limits=logit_scores.check_k,
    ),
    Score(
        "max_logit_pnorm",
        pnorm.max_logit_pnorm,
        fitted=("p",),
        # The released ablation of Cattelan & Silva (2024): p = 5 untuned equals p tuned on 1,000 samples.
        defaults={"p": 5, "centring": "mean"},
        rows=pnorm.max_logit_pnorm_of,
        limits=check_norm,
        exists=check_ranking,
    ),
    Score(
        "msp_pnorm",
        pnorm.msp_pnorm,
        fitted=("p", "temperature"),
        rows=pnorm.msp_pnorm_of,
        limits=pnorm.check_msp_pnorm,
        exists=check_ranking,
    ),
    Score("bk", peers.bk, fitted=("alpha", "beta"), rows=peers.bk_of, limits=peers.check_bk),
    Score("ets", peers.ets, fitted=("temperature", "weight"), rows=peers.ets_of, limits=peers.check_ets),
    Score("hts", peers.hts, fitted=("weight", "bias"), rows=peers.hts_of, limits=peers.check_hts),
    Score("lda", peers.lda, rows=peers.lda_of, exists=peers.check_lda),
    Score("j_score", peers.j_score, rows=peers.j_of),
    Score("rl_geo_m", feature_scores.rl_geo_m, needs=frozenset({"logits", "last_layer"})),
    Score("sirc", feature_scores.SIRC, needs=frozenset({"logits", "features", "training"})),
    Score("mahalanobis", feature_scores.Mahalanobis, needs=_FEATURES),
    Score("knn", feature_scores.NearestNeighbours, needs=_FEATURES),
    Score("vim", feature_scores.ViM, needs=_FEATURES | {"logits", "last_layer"}),
    Score("delta_mds", feature_scores.DeltaMahalanobis, needs=_FEATURES),
    Score("delta_knn", feature_scores.DeltaNearestNeighbours, needs=_FEATURES),
)

REGISTRY: Mapping[str, Score] = {entry.name: entry for entry in _ENTRIES}


def available_scores(*needs: Need) -> tuple[str, ...]:
    """Names of the scores that can be computed from what is at hand.

    Args:
        needs: what is at hand; nothing means logits.

    Returns:
        Names, in registry order.

    Example:
        >>> available_scores()[:3]
        ('msp', 'msp_temperature', 'max_logit')
        >>> "knn" in available_scores("logits", "features", "training")
        True
    """
    at_hand = set(needs or ("logits",))
    return tuple(name for name, entry in REGISTRY.items() if entry.needs <= at_hand)


def find_score(name: str) -> Score:
    """The registry's entry; ValueError with the known names for an unknown one."""
    if name not in REGISTRY:
        raise ValueError(f"unknown score {name!r}, expected one of {', '.join(REGISTRY)}")
    return REGISTRY[name]
