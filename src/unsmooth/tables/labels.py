"""Labels, order and units of losses, scores and metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from pandas import DataFrame, Series

from unsmooth.registry.losses import BASELINE, LOSSES, SMOOTHING
from unsmooth.registry.scores import NLL_TEMPERATURE, SCORE_LABELS

CONFIGURATION = ["experiment", "architecture", "loss", "alpha"]
CELL = [*CONFIGURATION, "seed"]
BASELINE_SCORE = "msp"
REPAIRED_SCORES = ("msp_temperature", "max_logit_pnorm")
MAIN_SCORES = (BASELINE_SCORE, *REPAIRED_SCORES)
CALIBRATED_SCORE = NLL_TEMPERATURE


class LossName(NamedTuple):
    """A loss of an experiment."""

    key: str  # its key in the experiment file
    kind: str  # its name in the registry
    label: str = ""  # its name in tables and figures; empty for that of its kind


class Losses:
    """The losses of an experiment, in reading order.

    Example:
        >>> losses = Losses([LossName("ce", "ce", "CE"), LossName("sharp", "ls", "Sharpened")])
        >>> losses.baseline, losses.label("ce", 0.0), losses.label("sharp", -0.1)
        ('ce', 'CE', 'Sharpened -0.1')
    """

    def __init__(self, named: Iterable[LossName]) -> None:
        self.named = {loss.key: loss for loss in named}

    @classmethod
    def of(cls, plain: Iterable[Mapping[str, str]]) -> "Losses":
        """Make losses from plain data, the fields of `LossName`."""
        return cls(LossName(**loss) for loss in plain)

    @property
    def keys(self) -> list[str]:
        return [*self.named]

    @property
    def baseline(self) -> str:
        """The key of the baseline, the first cross-entropy loss; empty without one."""
        return next((loss.key for loss in self.named.values() if loss.kind == BASELINE), "")

    @property
    def smoothed(self) -> list[str]:
        """The keys of the label-smoothing losses."""
        return [loss.key for loss in self.named.values() if loss.kind == SMOOTHING]

    def label(self, key: str, alpha: float) -> str:
        """Name of a loss and its strength for legends and tables: "CE", "LS 0.2"; an unknown key names itself."""
        found = self.named.get(key)
        if found is None:
            return f"{key} {alpha:g}"
        name = found.label or LOSSES[found.kind].label
        return name if LOSSES[found.kind].alpha is None else f"{name} {alpha:g}"


KINDS = Losses(LossName(kind, kind) for kind in LOSSES)  # each key is its kind


class MetricStyle(NamedTuple):
    """Display of a metric."""

    label: str  # name in tables and figures
    unit: str = "%"  # "%" multiplies by 100
    decimals: int = 2  # in print
    better: str = "↓"  # the better direction; empty without one
    # The table that shows it: all, or only that of calibration, with the logit distances last
    place: Literal["all", "calibration", "distances"] = "all"

    @property
    def scale(self) -> float:
        return 100.0 if self.unit == "%" else 1.0

    @property
    def title(self) -> str:
        return " ".join(part for part in (self.label, self.unit, self.better) if part)


METRICS = {
    "mean_iou": MetricStyle("mIoU", better="↑"),
    "pixel_accuracy": MetricStyle("Pixel accuracy", better="↑"),
    "error": MetricStyle("Error"),
    "aurc": MetricStyle("AURC"),
    "aurc_paper": MetricStyle("AURC (paper)"),
    "eaurc": MetricStyle("E-AURC"),
    "naurc": MetricStyle("NAURC"),
    "augrc": MetricStyle("AUGRC"),
    "failure_auroc": MetricStyle("Failure AUROC", better="↑"),
    "failure_fpr95": MetricStyle("Failure FPR at 95 % TPR"),
    "coverage_at_risk_1": MetricStyle("Coverage at 1 % risk", better="↑"),
    "coverage_at_risk_5": MetricStyle("Coverage at 5 % risk", better="↑"),
    "risk_at_coverage_10": MetricStyle("Risk at 10 % coverage"),
    "risk_at_coverage_20": MetricStyle("Risk at 20 % coverage"),
    "risk_at_coverage_50": MetricStyle("Risk at 50 % coverage"),
    "risk_at_coverage_80": MetricStyle("Risk at 80 % coverage"),
    "ece": MetricStyle("ECE"),
    "nll": MetricStyle("NLL", unit="nats", decimals=3),
    "brier": MetricStyle("Brier", unit="", decimals=3),
    "accuracy": MetricStyle("Accuracy", better="↑", place="calibration"),
    "adaptive_ece": MetricStyle("Adaptive ECE", place="calibration"),
    "classwise_ece": MetricStyle("Classwise ECE", decimals=3, place="calibration"),
    "ece_mbls": MetricStyle("ECE (MbLS)", place="calibration"),
    "adaptive_ece_mbls": MetricStyle("Adaptive ECE (MbLS)", place="calibration"),
    "classwise_ece_mbls": MetricStyle("Classwise ECE (MbLS)", decimals=3, place="calibration"),
    "mean_logit_distance": MetricStyle("Mean logit distance", unit="", better="", place="distances"),
    "max_logit_distance": MetricStyle("Max logit distance", unit="", better="", place="distances"),
    "top_logit_margin": MetricStyle("Margin of the top logit", unit="", better="", place="distances"),
}
LOGIT_DISTANCES = tuple(name for name, style in METRICS.items() if style.place == "distances")
CALIBRATION_METRICS = tuple(name for name, style in METRICS.items() if style.place != "all")
ALL_PIXELS = "all_pixels_"  # over all labelled pixels; other metrics are then over a sample
COMPARISONS = ("loss", "score", "repair")
DASH, DAGGER = "–", "†"


def metric_style(metric: str) -> MetricStyle:
    """Display of `metric`; an unknown one that is no operating point keeps its name, as a plain number."""
    if metric in METRICS:
        return METRICS[metric]
    if metric.startswith(ALL_PIXELS):
        style = metric_style(metric.removeprefix(ALL_PIXELS))
        return style._replace(label=f"{style.label}, all pixels")
    if metric.startswith("risk_at_coverage_"):
        return MetricStyle(f"Risk at {metric.removeprefix('risk_at_coverage_')} % coverage")
    if metric.startswith("coverage_at_risk_"):
        return MetricStyle(f"Coverage at {metric.removeprefix('coverage_at_risk_')} % risk", better="↑")
    return MetricStyle(metric, unit="", decimals=4, better="")


def scores_in_order(names: Iterable[str]) -> list[str]:
    """Scores in reading order; those outside the registry come last."""
    order = [*SCORE_LABELS]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def require_columns(frame: DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise ValueError naming `name` when it is empty or lacks one of `columns`."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} must have the columns {list(columns)}, missing {missing}")
    if frame.empty:
        raise ValueError(f"{name} must have at least one row, got none")


def in_order(frame: DataFrame, losses: Losses) -> DataFrame:
    """Rows in reading order: losses as in the experiment, then by alpha; MSP and its repairs before other scores."""
    ranks = {"comparison": [*COMPARISONS], "loss": losses.keys, "score": [*SCORE_LABELS], "metric": [*METRICS]}
    order = ["experiment", "architecture", "comparison", "loss", "alpha", "seed", "score", "metric"]

    def rank(column: Series) -> Series:
        names = ranks.get(str(column.name))
        if names is None:
            return column
        known = {name: f"{position:03d}" for position, name in enumerate(names)}
        return column.map(lambda name: known.get(name, f"~{name}"))

    return frame.sort_values([name for name in order if name in frame], key=rank, kind="stable", ignore_index=True)


def configurations_of(frame: DataFrame, losses: Losses) -> list[tuple[str, float]]:
    """The (loss, alpha) pairs of `frame` in reading order."""
    pairs = in_order(frame[["loss", "alpha"]].drop_duplicates(), losses)
    return [(str(loss), float(alpha)) for loss, alpha in pairs.itertuples(index=False)]
