"""Registry of confidence scores, the source of settings, labels, command line, documentation and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from unsmooth.registry import Parameter, by_name, resolve

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal["logits", "features", "last_layer", "training"]
Unit = Literal["quantity", "probability", "uncertainty"]
LOGITS, PNORM, PEERS = "unsmooth.scores.logit_scores", "unsmooth.scores.pnorm", "unsmooth.scores.peers"
FEATURES, FITTING = "unsmooth.scores.feature_scores", "unsmooth.scores.fitting"
BASELINE_SCORE, NORMALISED_SCORE = "msp", "max_logit_pnorm"
REPAIRED_SCORES = ("msp_temperature", NORMALISED_SCORE)
MAIN_SCORES = (BASELINE_SCORE, *REPAIRED_SCORES)  # those that tables and figures compare
NLL_TEMPERATURE = "msp_temperature_nll"  # `msp_temperature` with the temperature that minimises NLL


@dataclass(frozen=True)
class Score:
    """Registry entry of a score of logits or features; functions are named "module:name"."""

    name: str  # name in settings and results
    label: str  # name in tables and figures
    source: str  # publication
    # The public function, of logits alone by `formulas.of_logits`, or the class of a score with training statistics
    target: str
    # Inputs: "logits", "features" (penultimate activations of the same samples), "last_layer" (its weight and bias),
    # "training" (statistics of training features)
    needs: frozenset[Need] = frozenset({"logits"})
    fitted: Mapping[str, Parameter] = field(default_factory=dict)  # parameters that `fit_score` finds
    fit: str = ""  # fit(data, ps, centring) finds them
    # Parameters used without fitting; a fitted parameter missing here has no default
    defaults: Mapping[str, Any] = field(default_factory=dict)
    # Names in results, with labels, of the same score fitted by another objective
    variants: Mapping[str, str] = field(default_factory=dict)
    quantity: str = ""  # what a threshold bounds, in words, with parameters in braces; "" is the score itself
    # A value x of the score is the "probability" 1 - exp(-x), the "uncertainty" exp(-x), or the quantity
    unit: Unit = "quantity"

    @property
    def function(self) -> Callable[..., Any]:
        return resolve(self.target)

    @property
    def targets(self) -> list[str]:
        return [target for target in (self.target, self.fit) if target]

    @property
    def of_logits(self) -> bool:
        """Whether the score needs logits alone, so that the one pass computes it."""
        return self.needs == {"logits"}

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (_documented(self.function).__doc__ or "").strip().splitlines()[0]

    @property
    def has_default(self) -> bool:
        """Whether the score can be used without fitting."""
        return all(name in self.defaults for name in self.fitted)

    @property
    def usage(self) -> str:
        """The calls that compute the score, with their arguments."""
        name = _documented(self.function).__name__
        if not isinstance(self.function, type):
            return f"unsmooth.scores.{name}({_arguments(self.function)})"
        fit, call = self.function.fit, self.function.__call__  # type: ignore[attr-defined]
        return f"score = unsmooth.scores.{name}.fit({_arguments(fit)}) on training data, then score({_arguments(call)})"

    def formula(self, params: Mapping[str, Any]) -> "Callable[..., Tensor]":
        """The formula of a block of rows; ValueError for a score of features or wrong parameters."""
        if not self.of_logits:
            raise ValueError(
                f"{self.name} needs {', '.join(sorted(self.needs))}, not logits alone; compute it by {self.usage}"
            )
        fixed = getattr(self.function, "keywords", {})
        try:
            if missing := [name for name in self.fitted if name not in params]:
                raise TypeError(f"missing a required argument: {missing[0]!r}")
            return _documented(self.function).formula(**fixed, **params)
        except TypeError as error:
            raise ValueError(f"{self.name}: {error}, got {dict(params)}") from None

    def refusal(self, num_classes: int, params: Mapping[str, Any]) -> str | None:
        """The reason why the score ranks nothing for so many classes; None if it ranks."""
        try:
            if self.of_logits:
                _documented(self.function).refuse(num_classes, **params)
        except ValueError as error:
            return str(error)
        return None


def _documented(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    return function.func if isinstance(function, partial) else function


def _arguments(function: Callable[..., Any]) -> str:
    return ", ".join(name for name in signature(function).parameters if name != "self")


def _of_logits(name: str, label: str, source: str, module: str, **more: Any) -> Score:  # noqa: ANN401
    return Score(name, label, source, f"{module}:{name}", **more)


CATTELAN, HENG = "Cattelan & Silva, UAI 2024", "Heng & Soh, ICLR 2026"
SCHEFFER = "Scheffer, Decomain & Wrobel, IDA 2001"
LIANG, DOCTOR = "Liang, Peng & Sun, TMLR 2024", "Granese et al., NeurIPS 2021"
TEMPERATURE = Parameter("divides the logits", open_low=True)
ORDER = Parameter("order of the norm; infinity is the largest magnitude")
OF_FEATURES: frozenset[Need] = frozenset({"features", "training"})

_UNFITTED: tuple[tuple[str, str, str, str, Unit], ...] = (  # name, label, source, quantity and unit
    ("max_logit", "Max logit", "Hendrycks et al., ICML 2022", "the largest logit", "quantity"),
    ("negative_entropy", "Neg. entropy", "Shannon, 1948", "the entropy of the softmax in nats", "uncertainty"),
    ("energy", "Energy", "Liu et al., NeurIPS 2020", "the log-sum-exp of the logits", "quantity"),
    ("logit_margin", "Logit margin", LIANG, "the lead of the largest logit over the second", "quantity"),
    (
        "softmax_margin",
        "Softmax margin",
        SCHEFFER,
        "the lead of the largest probability over the second",
        "probability",
    ),
    ("negative_gini", "Neg. Gini", "Breiman et al., 1984", "the Gini impurity of the softmax", "uncertainty"),
    ("doctor_alpha", "DOCTOR alpha", DOCTOR, "DOCTOR's alpha uncertainty", "uncertainty"),
    ("doctor_beta", "DOCTOR beta", DOCTOR, "the odds of an error, (1 - MSP) / MSP,", "uncertainty"),
    ("gen", "GEN", "Liu, Lochman & Zach, CVPR 2023", "the generalised entropy of the softmax", "uncertainty"),
)
_ENTRIES = (
    _of_logits(
        "msp", "MSP", "Hendrycks & Gimpel, ICLR 2017", LOGITS, quantity="the largest probability", unit="probability"
    ),
    _of_logits(
        "msp_temperature",
        "MSP with temperature",
        f"Guo et al., ICML 2017; {CATTELAN}",
        LOGITS,
        fitted={"temperature": TEMPERATURE},
        fit=f"{FITTING}:fit_temperature",
        variants={NLL_TEMPERATURE: "MSP with NLL temperature"},
        quantity="the largest probability at temperature {temperature:.4g}",
        unit="probability",
    ),
    _of_logits(
        "max_logit_pnorm",
        "p-norm",
        f"{CATTELAN}; Xia et al., ICLR 2025",
        PNORM,
        fitted={"p": ORDER},
        fit=f"{FITTING}:fit_p",
        # The released ablation of Cattelan & Silva (2024): p = 5 untuned equals p tuned on 1,000 samples.
        defaults={"p": 5, "centring": "mean"},
        quantity="the largest p-normalised logit (p = {p:g})",
    ),
    *(
        _of_logits(name, label, source, LOGITS, quantity=quantity, unit=unit)
        for name, label, source, quantity, unit in _UNFITTED
    ),
    _of_logits(
        "softmax_k",
        "Top-k softmax",
        f"{CATTELAN}, released code",
        LOGITS,
        defaults={"k": 5},
        quantity="the largest probability among the {k} largest logits",
        unit="probability",
    ),
    _of_logits(
        "msp_pnorm",
        "MSP with p-norm",
        CATTELAN,
        PNORM,
        fitted={"p": ORDER, "temperature": TEMPERATURE},
        fit=f"{FITTING}:fit_pnorm_temperature",
        quantity="the largest probability of the p-normalised logits (p = {p:g}, temperature {temperature:.4g})",
        unit="probability",
    ),
    _of_logits(
        "bk",
        "BK",
        f"Belghazi & Lopez-Paz, 2021, as released by {CATTELAN}",
        PEERS,
        fitted={
            "alpha": Parameter("weight of the largest probability", open_low=True),
            "beta": Parameter("weight of the second largest", low=None),
        },
        fit=f"{FITTING}:fit_bk",
        quantity="the largest probability minus {ratio:.4g} times the second",
        unit="probability",
    ),
    _of_logits(
        "ets",
        "ETS",
        "Zhang, Kailkhura & Han, ICML 2020",
        PEERS,
        fitted={"temperature": TEMPERATURE, "weight": Parameter("of the tempered probability", high=1)},
        fit=f"{FITTING}:fit_ets",
        quantity="the largest probability, mixed with weight {weight:.4g} at temperature {temperature:.4g},",
        unit="probability",
    ),
    _of_logits(
        "hts",
        "HTS",
        "Balanya, Maroñas & Ramos, 2022",
        PEERS,
        fitted={
            "weight": Parameter("of the entropy in the temperature", low=None),
            "bias": Parameter("of the temperature", low=None),
        },
        fit=f"{FITTING}:fit_hts",
        quantity="the largest probability at the sample's own temperature",
        unit="probability",
    ),
    _of_logits("lda", "LDA", f"{CATTELAN}, released code", PEERS, quantity="the LDA score on its log scale"),
    _of_logits("j_score", "J", f"{CATTELAN}, released code", PEERS, quantity="the J score on its log scale"),
    Score(
        "rl_geo_m",
        "Geometric margin",
        LIANG,
        f"{FEATURES}:rl_geo_m",
        needs=frozenset({"logits", "last_layer"}),
    ),
    Score("sirc", "SIRC", "Xia & Bouganis, ACCV 2022", f"{FEATURES}:SIRC", needs=OF_FEATURES | {"logits"}),
    Score("mahalanobis", "Mahalanobis", "Lee et al., NeurIPS 2018", f"{FEATURES}:Mahalanobis", needs=OF_FEATURES),
    Score("knn", "KNN", "Sun et al., ICML 2022", f"{FEATURES}:NearestNeighbours", needs=OF_FEATURES),
    Score("vim", "ViM", "Wang et al., CVPR 2022", f"{FEATURES}:ViM", needs=OF_FEATURES | {"logits", "last_layer"}),
    Score("delta_mds", "Delta-MDS", HENG, f"{FEATURES}:DeltaMahalanobis", needs=OF_FEATURES),
    Score("delta_knn", "Delta-KNN", HENG, f"{FEATURES}:DeltaNearestNeighbours", needs=OF_FEATURES),
)

SCORES: Mapping[str, Score] = by_name(_ENTRIES)
SCORE_LABELS: Mapping[str, str] = {  # in reading order
    name: label for entry in _ENTRIES for name, label in {entry.name: entry.label, **entry.variants}.items()
}


def available_scores(*needs: Need) -> tuple[str, ...]:
    """Names of the scores that can be computed from the available inputs, logits by default, in registry order.

    Example:
        >>> available_scores()[:3]
        ('msp', 'msp_temperature', 'max_logit_pnorm')
        >>> "knn" in available_scores("logits", "features", "training")
        True
    """
    at_hand = set(needs or ("logits",))
    return tuple(name for name, entry in SCORES.items() if entry.needs <= at_hand)


def find_score(name: str) -> Score:
    """The registry's entry; ValueError with the known names for an unknown one."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a score must be a text such as 'msp', got {type(name).__name__}")
    if name not in SCORES:
        raise ValueError(f"unknown score {name!r}, expected one of {', '.join(SCORES)}")
    return SCORES[name]


def score_label(score: str) -> str:
    """Return the name of a score for legends and tables; an unknown score names itself."""
    return SCORE_LABELS.get(score, score)
