"""Find, explain and repair the confidence that label smoothing breaks."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unsmooth.classifier import SelectiveClassifier as SelectiveClassifier
    from unsmooth.diagnosis.diagnose import diagnose as diagnose
    from unsmooth.logits.collection import collect_logits as collect_logits
    from unsmooth.metrics import aurc as aurc
    from unsmooth.metrics import risk_coverage_curve as risk_coverage_curve
    from unsmooth.plots import plot_max_logit as plot_max_logit
    from unsmooth.plots import plot_reliability as plot_reliability
    from unsmooth.plots import plot_risk_coverage as plot_risk_coverage
    from unsmooth.scores import fit_score as fit_score
    from unsmooth.scores import score_all as score_all

# Public name -> its module, imported on first use: `import unsmooth` needs neither torch nor an extra.
_MODULES = {
    "SelectiveClassifier": "classifier",
    "aurc": "metrics",
    "collect_logits": "logits.collection",
    "diagnose": "diagnosis.diagnose",
    "fit_score": "scores",
    "plot_max_logit": "plots",
    "plot_reliability": "plots",
    "plot_risk_coverage": "plots",
    "risk_coverage_curve": "metrics",
    "score_all": "scores",
}

__all__ = ["__version__", *_MODULES]

__version__ = version("unsmooth")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function or a class
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
