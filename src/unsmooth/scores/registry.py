"""The scores by name: what each needs, what is fitted, and how it is computed in the one pass over the logits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import Tensor

from unsmooth.scores import feature_scores, logit_scores, peers, pnorm
from unsmooth.scores.rows import Centring, Rows, check_norm

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
        rows: ``rows(block, **params)``, the score of a block in the one pass; None for scores that need features.
        check: ``check(num_classes=K, **params)`` raises ValueError where the score does not exist for K classes.
    """

    name: str
    function: Callable[..., Any]
    needs: frozenset[Need] = frozenset({"logits"})
    fitted: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    rows: Callable[..., Tensor] | None = None
    check: Callable[..., None] | None = None

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


def _documented(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.func if isinstance(function, partial) else function


def _rows_max_logit_pnorm(rows: Rows, *, p: float, centring: Centring = "mean") -> Tensor:
    return rows.normalised_maximum([p], centring)[:, 0]


def _rows_msp_pnorm(rows: Rows, *, p: float, temperature: float = 1.0, centring: Centring = "mean") -> Tensor:
    return logit_scores.msp_of(pnorm.pnorm_log_odds(rows, p, temperature, centring))


def _check_pnorm(*, num_classes: int, p: float, centring: Centring = "mean", temperature: float = 1.0) -> None:
    check_norm(p, num_classes, centring)


_FEATURES: frozenset[Need] = frozenset({"features", "training"})

_ENTRIES = (
    Score("msp", logit_scores.msp, rows=lambda rows: logit_scores.msp_of(rows.log_odds)),
    Score(
        "msp_temperature",
        logit_scores.msp_temperature,
        fitted=("temperature",),
        rows=lambda rows, *, temperature: logit_scores.msp_of(rows.log_odds_at(1 / temperature)),
    ),
    Score("max_logit", logit_scores.max_logit, rows=lambda rows: rows.top),
    Score("energy", logit_scores.energy, rows=logit_scores.energy_of),
    Score("logit_margin", logit_scores.logit_margin, rows=lambda rows: rows.margin),
    Score("softmax_margin", logit_scores.softmax_margin, rows=logit_scores.softmax_margin_of),
    Score("negative_entropy", logit_scores.negative_entropy, rows=logit_scores.negative_entropy_of),
    Score("negative_gini", logit_scores.negative_gini, rows=logit_scores.negative_gini_of),
    Score("doctor_alpha", partial(logit_scores.doctor, variant="alpha"), rows=logit_scores.doctor_alpha_of),
    Score("doctor_beta", partial(logit_scores.doctor, variant="beta"), rows=logit_scores.doctor_beta_of),
    Score("gen", logit_scores.gen, rows=logit_scores.gen_of),
    Score(
        "softmax_k",
        logit_scores.softmax_k,
        defaults={"k": 5},
        rows=lambda rows, *, k: logit_scores.msp_of(rows.log_odds_among(k)),
    ),
    Score(
        "max_logit_pnorm",
        pnorm.max_logit_pnorm,
        fitted=("p",),
        # The released ablation of Cattelan & Silva (2024): p = 5 untuned equals p tuned on 1,000 samples.
        defaults={"p": 5, "centring": "mean"},
        rows=_rows_max_logit_pnorm,
        check=_check_pnorm,
    ),
    Score("msp_pnorm", pnorm.msp_pnorm, fitted=("p", "temperature"), rows=_rows_msp_pnorm, check=_check_pnorm),
    Score("bk", peers.bk, fitted=("alpha", "beta"), rows=peers.bk_of),
    Score("ets", peers.ets, fitted=("temperature", "weight"), rows=peers.ets_of),
    Score("hts", peers.hts, fitted=("weight", "bias"), rows=peers.hts_of),
    Score("lda", peers.lda, rows=peers.lda_of, check=peers.check_lda),
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
