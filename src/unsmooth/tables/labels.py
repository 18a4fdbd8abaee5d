"""Labels and order of losses, scores and metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pandas import DataFrame, Series

from unsmooth.registry.losses import BASELINE, LOSSES, SMOOTHING
from unsmooth.registry.metrics import METRICS
from unsmooth.registry.scores import SCORE_LABELS

CONFIGURATION = ["experiment", "architecture", "loss", "alpha"]
CELL = [*CONFIGURATION, "seed"]
COMPARISONS = ("loss", "score", "repair")
DASH, DAGGER = "–", "†"


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
    def baseline(self) -> str:
        """The key of the baseline, the first cross-entropy loss; empty without one."""
        return next((loss.key for loss in self.named.values() if loss.kind == BASELINE), "")

    @property
    def smoothed(self) -> list[str]:
        return [loss.key for loss in self.named.values() if loss.kind == SMOOTHING]

    def label(self, key: str, alpha: float) -> str:
        """Name of a loss and its strength for legends and tables: "CE", "LS 0.2"; an unknown key names itself."""
        if key not in self.named:
            return f"{key} {alpha:g}"
        _, kind, label = self.named[key]
        name = label or LOSSES[kind].label
        return name if LOSSES[kind].alpha is None else f"{name} {alpha:g}"


KINDS = Losses(LossName(kind, kind) for kind in LOSSES)  # each key is its kind


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
    ranks = {"comparison": [*COMPARISONS], "loss": [*losses.named], "score": [*SCORE_LABELS], "metric": [*METRICS]}
    order = ["experiment", "architecture", "comparison", "loss", "alpha", "seed", "score", "metric"]

    def rank(column: Series) -> Series:
        names = ranks.get(str(column.name))
        if names is None:
            return column
        known = {name: f"{position:03d}" for position, name in enumerate(names)}
        return column.map(lambda name: known.get(name, f"~{name}"))

    return frame.sort_values([name for name in order if name in frame], key=rank, kind="stable", ignore_index=True)


def configurations_of(frame: DataFrame, losses: Losses) -> list[tuple[str, float]]:
    pairs = in_order(frame[["loss", "alpha"]].drop_duplicates(), losses)
    return [(str(loss), float(alpha)) for loss, alpha in pairs.itertuples(index=False)]
