"""Registry of metrics, the source of names and units in tables and figures, and of comparable published numbers."""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """Registry entry of a metric."""

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
    def axis(self) -> str:
        """Label of its axis."""
        return f"{self.unit} ({'lower' if self.better == '↓' else 'higher'} is better)".strip()

    def column(self, name: str) -> str:
        """Return the name of its column of numbers in a table, where `name` is its own."""
        return f"{name}_pct" if self.unit == "%" else name

    @property
    def title(self) -> str:
        return " ".join(part for part in (self.label, self.unit, self.better) if part)


class Comparison(NamedTuple):
    """Registry entry of a metric of published numbers, which the scorecard compares."""

    decimals: int  # of the published numbers
    convention: str = ""
    measured: str = ""  # name of the metric in that convention, where it is another


def _coverage_at_risk(percent: str) -> Metric:
    return Metric(f"Coverage at {percent} % risk", better="↑")


def _risk_at_coverage(percent: str) -> Metric:
    return Metric(f"Risk at {percent} % coverage")


METRICS: Mapping[str, Metric] = {
    "mean_iou": Metric("mIoU", better="↑"),
    "pixel_accuracy": Metric("Pixel accuracy", better="↑"),
    "error": Metric("Error"),
    "aurc": Metric("AURC"),
    "aurc_paper": Metric("AURC (paper)"),
    "eaurc": Metric("E-AURC"),
    "naurc": Metric("NAURC"),
    "augrc": Metric("AUGRC"),
    "failure_auroc": Metric("Failure AUROC", better="↑"),
    "failure_fpr95": Metric("Failure FPR at 95 % TPR"),
    **{f"coverage_at_risk_{percent}": _coverage_at_risk(percent) for percent in ("1", "5")},
    **{f"risk_at_coverage_{percent}": _risk_at_coverage(percent) for percent in ("10", "20", "50", "80")},
    "ece": Metric("ECE"),
    "nll": Metric("NLL", unit="nats", decimals=3),
    "brier": Metric("Brier", unit="", decimals=3),
    "accuracy": Metric("Accuracy", better="↑", place="calibration"),
    "adaptive_ece": Metric("Adaptive ECE", place="calibration"),
    "classwise_ece": Metric("Classwise ECE", decimals=3, place="calibration"),
    "ece_mbls": Metric("ECE (MbLS)", place="calibration"),
    "adaptive_ece_mbls": Metric("Adaptive ECE (MbLS)", place="calibration"),
    "classwise_ece_mbls": Metric("Classwise ECE (MbLS)", decimals=3, place="calibration"),
    "mean_logit_distance": Metric("Mean logit distance", unit="", better="", place="distances"),
    "max_logit_distance": Metric("Max logit distance", unit="", better="", place="distances"),
    "top_logit_margin": Metric("Margin of the top logit", unit="", better="", place="distances"),
}
MBLS = "as the code of MbLS computes it"
COMPARED: Mapping[str, Comparison] = {
    "error": Comparison(1),
    "aurc": Comparison(2, "in the convention of Xia et al., ICLR 2025", "aurc_paper"),
    "accuracy": Comparison(2),
    "ece": Comparison(2, "15 bins of equal width"),
    "ece_mbls": Comparison(2, MBLS),
    "adaptive_ece_mbls": Comparison(2, MBLS),
    "classwise_ece_mbls": Comparison(3, MBLS),
    "nll": Comparison(5),
    "mean_iou": Comparison(2),
}
LOGIT_DISTANCES = tuple(name for name, metric in METRICS.items() if metric.place == "distances")
CALIBRATION_METRICS = tuple(name for name, metric in METRICS.items() if metric.place != "all")
ALL_PIXELS = "all_pixels_"  # over all labelled pixels; other metrics are then over a sample


def metric_style(metric: str) -> Metric:
    """Display of `metric`; an unknown one that is no operating point keeps its name, as a plain number."""
    if metric in METRICS:
        return METRICS[metric]
    if metric.startswith(ALL_PIXELS):
        style = metric_style(metric.removeprefix(ALL_PIXELS))
        return style._replace(label=f"{style.label}, all pixels")
    if metric.startswith("risk_at_coverage_"):
        return _risk_at_coverage(metric.removeprefix("risk_at_coverage_"))
    if metric.startswith("coverage_at_risk_"):
        return _coverage_at_risk(metric.removeprefix("coverage_at_risk_"))
    return Metric(metric, unit="", decimals=4, better="")
