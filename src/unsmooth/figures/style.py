"""Common style of all figures, and atomic, reproducible figure files."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import cycle
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from pandas import DataFrame

from unsmooth.atomic_files import atomic_path
from unsmooth.registry.scores import score_label
from unsmooth.tables.labels import Losses, configurations_of

STYLE: Any = {
    **sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9", "axes.spines.top": False}),
    **sns.plotting_context("paper", rc={"font.size": 8.0, "lines.linewidth": 1.3}),
    **dict.fromkeys(["axes.titlesize", "axes.labelsize"], 8.0),
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"], 7.0),
    "axes.spines.right": False,
    "figure.titlesize": 9.0,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
    "legend.frameon": False,
    "legend.handlelength": 2.6,  # long enough to show a whole dash
    "legend.columnspacing": 1.6,
    "pdf.fonttype": 42,  # TrueType, so text in the PDF can be searched and edited
    "savefig.dpi": 250,
}
CORRECT_COLOR, _, _, WRONG_COLOR = sns.color_palette("colorblind", 4).as_hex()
BEFORE_STYLE: dict[str, Any] = {"color": WRONG_COLOR, "marker": "o", "linestyle": "-"}
AFTER_STYLE: dict[str, Any] = {"color": CORRECT_COLOR, "marker": "s", "linestyle": (0, (4, 1.5))}
BARS_TEXT = "bars: 95 % bootstrap interval of the mean over seeds"
MANY_SEEDS = 3  # seeds from which a band is drawn; fewer are drawn as lines
_RAMPS: dict[bool, tuple[str, Any]] = {False: ("YlOrRd", "-"), True: ("Blues", (0, (5, 2)))}  # whether alpha is below 0
_OTHER_HUES = ["Greens", "Purples", "RdPu", "PuBu", "YlOrBr"]
_OTHER_DASHES = [(0, (6, 2, 1, 2)), (0, (1, 1.2)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2))]

styled = matplotlib.rc_context(STYLE)  # decorator: draw in this style, and leave the caller's settings as they were


def new_figure(width: float, height: float) -> Figure:
    """Empty figure of `width` x `height` inches with automatic layout, without pyplot state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def undefined(title: str, score: str, width: float) -> Figure:
    """Figure that says why it has no data of a score."""
    text = f"{score_label(score)} is not defined for these logits: with two classes it is the same for every sample."
    figure = new_figure(width, 1.2)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    figure.suptitle(f"{title}, {score_label(score)}")
    return figure


def legend_below(
    figure: Figure, entries: Mapping[str, Mapping[str, Any]], *, title: str | None = None, columns: int = 5
) -> None:
    """Legend below the axes, in rows of at most `columns` entries."""
    handles = [Line2D([], [], label=label, **style) for label, style in entries.items()]
    columns = -(-len(handles) // -(-len(handles) // columns))
    by_column = [handle for start in range(columns) for handle in handles[start::columns]]
    legend = figure.legend(handles=by_column, title=title, loc="outside lower center", ncols=columns)
    legend.get_title().set_multialignment("center")


def mean_and_bars(rows: DataFrame, scale: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of rows of a summary, and their distances from both ends of their intervals, for `Axes.errorbar`."""
    mean, low, high = (scale * rows[name].to_numpy() for name in ("mean", "low", "high"))
    return mean, np.nan_to_num(np.maximum([mean - low, high - mean], 0.0))


def means_of(
    summary: DataFrame, key: tuple[str, float], column: str, names: Iterable[str], losses: Losses, where: str
) -> list[float]:
    """Means of one loss and alpha in a summary by the `names` in `column`; ValueError if one is missing."""
    means = summary[(summary["loss"] == key[0]) & (summary["alpha"] == key[1])].set_index(column)["mean"]
    if missing := [name for name in names if name not in means]:
        raise ValueError(f"summary must have {missing} of {losses.label(*key)} {where}")
    return [means[name] for name in names]


def seed_lines(
    axes: Axes, frame: DataFrame, x: str, y: str, losses: Losses, *, band: str | tuple[str, float] = "sd"
) -> None:
    """Mean over seeds of every loss and alpha against the column `x`, with a band, or each seed where they are few."""
    seeds, styles = frame["seed"].nunique(), line_styles(configurations_of(frame, losses), losses)
    looks = {f"{loss}{alpha}": style for (loss, alpha), style in styles.items()}
    dashes = {name: (1, 0) if look["linestyle"] == "-" else look["linestyle"][1] for name, look in looks.items()}
    shared: dict[str, Any] = {"x": x, "y": y, "hue": "name", "hue_order": [*looks], "ax": axes, "legend": False}
    shared |= {"palette": {name: look["color"] for name, look in looks.items()}}
    means: dict[str, Any] = shared | {"style": "name", "style_order": [*looks], "dashes": dashes}
    named = frame.assign(name=frame["loss"] + frame["alpha"].astype(str))
    if seeds >= MANY_SEEDS:
        sns.lineplot(named, **means, errorbar=band, err_kws={"linewidth": 0, "alpha": 0.18})
        return
    sns.lineplot(named.groupby(["name", x], as_index=False)[y].mean(), **means, estimator=None)
    if seeds > 1:
        sns.lineplot(named, **shared, units="seed", estimator=None, linewidth=0.5, alpha=0.4)


def seeds_text(counts: Iterable[int], band: str = "± 1 std") -> str:
    """Legend text for `seed_lines` of losses with these numbers of seeds."""
    fewest, most = min(counts := [*counts]), max(counts)
    if most == 1:
        return "one seed"
    if fewest < most:
        return f"mean of {fewest} to {most} seeds; {f'band: {band}' if most >= MANY_SEEDS else 'thin lines: each seed'}"
    return f"mean; band: {band} over {most} seeds" if most >= MANY_SEEDS else f"mean; thin lines: the {most} seeds"


def line_styles(configurations: Iterable[tuple[str, float]], losses: Losses) -> dict[tuple[str, float], dict[str, Any]]:
    """Colour and dash of every (loss, alpha): CE black, LS light to dark with alpha, NLS blue and dashed.

    Each loss has one hue and one dash; lightness falls with |alpha|, so the order survives printing in grey.
    """
    wanted = sorted(set(configurations))
    others = [loss for loss in dict(wanted) if loss not in (losses.baseline, *losses.smoothed)]
    ramps = dict(zip(others, zip(cycle(_OTHER_HUES), cycle(_OTHER_DASHES), strict=False), strict=False))  # 20 pairs
    styles: dict[tuple[str, float], dict[str, Any]] = {}
    for loss, alpha in wanted:
        if loss == losses.baseline:
            styles[loss, alpha] = {"color": "black", "linestyle": "-"}
            continue
        name, dash = _RAMPS[alpha < 0] if loss in losses.smoothed else ramps[loss]
        ranks = sorted((other for key, other in wanted if key == loss), key=abs)
        darkness = 1.0 if len(ranks) == 1 else ranks.index(alpha) / (len(ranks) - 1)
        color = to_hex(sns.color_palette(name, as_cmap=True)(0.45 + 0.45 * darkness))
        styles[loss, alpha] = {"color": color, "linestyle": dash}
    return styles


def save_picture(figure: Figure, path: str | PathLike[str]) -> None:
    with atomic_path(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary)


def save_figure(figure: Figure, data: DataFrame, stem: str | PathLike[str]) -> None:
    """Write `stem`.pdf, `stem`.png and, of the drawn data, `stem`.csv, replaced together once all three are complete.

    The same figure and data give the same bytes: no dates, no versions, embedded TrueType fonts.
    """
    stem, plain = Path(stem), {"CreationDate": None, "Producer": None, "Creator": None}
    writers: dict[str, Callable[[Path], None]] = {
        "pdf": lambda path: figure.savefig(path, metadata=plain),
        "png": lambda path: figure.savefig(path, metadata={"Software": None}),
        "csv": lambda path: data.to_csv(path, index=False, lineterminator="\n"),
    }
    with matplotlib.rc_context(STYLE), ExitStack() as written:
        for suffix, write in writers.items():
            write(written.enter_context(atomic_path(stem.with_name(f"{stem.name}.{suffix}"))))
