"""Mechanism: the largest logit at equal probability, and the extra gradient of smoothing on it."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas import DataFrame

from unsmooth.figures.style import CORRECT_COLOR, WRONG_COLOR, legend_below, line_styles, new_figure, styled
from unsmooth.registry.losses import SMOOTHING
from unsmooth.tables.collection import CellLogits
from unsmooth.tables.labels import KINDS, Losses, in_order
from unsmooth.theory import (
    BinnedGradient,
    expected_extra_gradient,
    gradient_by_estimated_error,
    gradient_by_exact_error,
    peak,
    window_statistics,
)

FEWEST_OF_WINDOW, FEWEST_OF_BIN = 10, 20  # samples of all seeds; windows and bins of fewer are not drawn
OUTCOMES: dict[str, dict[str, Any]] = {
    "correct": {"color": CORRECT_COLOR, "linestyle": "-"},
    "wrong": {"color": WRONG_COLOR, "linestyle": (0, (4, 1.5))},
}


@styled
def max_logit_given_probability(
    cells: Sequence[CellLogits],
    *,
    alpha: float | None = None,
    loss: str = SMOOTHING,
    losses: Losses = KINDS,
    splits: Sequence[str] = ("train", "test"),
    window: float = 0.05,
    step: float = 0.005,
    title: str = "",
    width: float = 7.0,
) -> tuple[Figure, DataFrame]:
    """Largest logit given the largest probability, for correct and wrong predictions, under CE and under smoothing.

    Where their difference is not 0, the largest logit says something about correctness that the probability does not.
    Samples of all seeds are pooled; the data also hold the windows that are not drawn.

    Args:
        cells: logits of CE and of the smoothed loss for every split, any number of seeds.
        alpha: smoothing to draw; the largest one given if None.
        loss: key of the smoothed loss.
        splits: one row of panels each.
        window, step: width of a window of probability, and distance between windows.
    """
    strengths = {cell.alpha for cell in cells if cell.loss == loss}
    if not strengths:
        raise ValueError(f"cells must include the loss {loss!r}, got {sorted({cell.loss for cell in cells})}")
    alpha = max(strengths) if alpha is None else alpha
    wanted = [(losses.baseline, 0.0), (loss, alpha)]
    parts = [_windows(cells, split, *key, window, step, losses) for split in splits for key in wanted]
    data = pd.concat(parts, ignore_index=True)

    drawn = data[data["count"] >= FEWEST_OF_WINDOW].assign(error=lambda rows: rows["std"] / np.sqrt(rows["count"]))
    figure = new_figure(width, 4.6)
    grid = figure.subplots(len(splits), 3, squeeze=False, sharex=True, sharey="col", width_ratios=[1.5, 1, 1])
    name = losses.label(loss, alpha)
    for row, split in zip(grid, splits, strict=True):
        right, wrong = (_line(drawn, split, loss, outcome) for outcome in OUTCOMES)
        both = wrong.merge(right[["probability", "mean", "error"]], on="probability", suffixes=("", "_correct"))
        row[0].axhline(0.0, color=CORRECT_COLOR)
        error = (both["error"] ** 2 + both["error_correct"] ** 2) ** 0.5
        _band_line(row[0], both["probability"], both["mean"] - both["mean_correct"], error, OUTCOMES["wrong"])
        row[0].set(title=f"{name}, {split}: wrong minus correct", ylabel="Difference of the largest logit")
        for axes, key in zip(row[1:], wanted, strict=True):
            for outcome, style in OUTCOMES.items():
                line = _line(drawn, split, key[0], outcome)
                _band_line(axes, line["probability"], line["mean"], line["error"], style)
            axes.set_title(f"{losses.label(*key)}, {split}")
        row[1].set_ylabel("Largest logit")
    for axes in grid[-1]:
        axes.set_xlabel("Largest probability")
        axes.set_xlim(0.0, 1.0)
    if title:
        figure.suptitle(title)
    legend_below(
        figure,
        {f"{outcome} predictions": style for outcome, style in OUTCOMES.items()},
        title=f"mean of the samples within windows of width {window:g}; band: ± 2 standard errors",
    )
    return figure, data


def _windows(
    cells: Sequence[CellLogits], split: str, loss: str, alpha: float, window: float, step: float, losses: Losses
) -> DataFrame:
    chosen = [cell for cell in cells if (cell.split, cell.loss, cell.alpha) == (split, loss, alpha)]
    if not chosen:
        raise ValueError(f"cells must include {losses.label(loss, alpha)} on {split!r}")
    tops = [peak(cell.logits) for cell in chosen]
    correct = np.concatenate([top.prediction == cell.targets for top, cell in zip(tops, chosen, strict=True)])
    probability = np.concatenate([top.probability for top in tops])
    max_logit = np.concatenate([top.max_logit for top in tops])
    found = outcome_windows(probability, max_logit, correct, width=window, step=step)
    return DataFrame({"split": split, "loss": loss, "alpha": alpha}, found.index).join(found)


def outcome_windows(
    probability: NDArray[np.floating], max_logit: NDArray[np.floating], correct: NDArray[np.bool_], **windows: float
) -> DataFrame:
    """Statistics of the largest logit in windows of the largest probability, by outcome; `windows` as in theory."""
    parts = []
    for outcome, mask in zip(OUTCOMES, (correct, ~correct), strict=True):
        found = window_statistics(probability[mask], max_logit[mask], **windows)
        columns = {"probability": found.centre, "mean": found.mean, "std": found.std, "count": found.samples}
        parts.append(DataFrame({"outcome": outcome, **columns}))
    return pd.concat(parts, ignore_index=True)


def _line(data: DataFrame, split: str, loss: str, outcome: str) -> DataFrame:
    return data[(data["split"] == split) & (data["loss"] == loss) & (data["outcome"] == outcome)]


def _band_line(axes: Axes, x: pd.Series, mean: pd.Series, error: pd.Series, style: dict[str, Any]) -> None:
    axes.plot(x, mean, **style)
    axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=style["color"], alpha=0.25, linewidth=0)


@styled
def extra_gradient(
    cells: Sequence[CellLogits],
    *,
    error: Literal["exact", "estimated"] = "estimated",
    losses: Losses = KINDS,
    bins: int = 12,
    title: str = "",
) -> tuple[Figure, DataFrame]:
    """Mean extra gradient of smoothing on the largest logit against the probability of an error.

    Points are means over test samples of d(L_LS - L_CE)/dv_max = alpha ([y = argmax] - 1/K) with the sampled targets.
    The line is their expectation, alpha (1 - P_error - 1/K) = alpha (p_bar_max - 1/K), p_bar_max = P(y = argmax | x).
    Above 0, training pushes the largest logit down.

    Args:
        cells: test logits of the smoothed cells, with `posterior` for exact error probabilities, or with the validation
            logits of the same cells for estimated ones.
        error: "exact": P_error = 1 - posterior of the prediction, in equal bins over [0, 1]. "estimated": quantile bins
            of the largest probability on validation, whose validation error is the estimate; the gradient is from test.
        bins: number of bins; estimated ones are at most as many as validation samples.

    Returns:
        The figure and its data. Seeds share their test inputs, so averaging them does not shrink the standard errors.
    """
    keys = sorted({(cell.loss, cell.alpha) for cell in cells if cell.loss in losses.smoothed and cell.split == "test"})
    if not keys:
        raise ValueError(f"cells must include test logits of a loss in {losses.smoothed}, got none")
    data = in_order(pd.concat([_binned(cells, *key, error, bins, losses) for key in keys], ignore_index=True), losses)

    figure = new_figure(3.5, 3.6)
    axes = figure.subplots()
    styles = line_styles(keys, losses)
    drawn = data[data["count"] >= FEWEST_OF_BIN]
    num_classes = cells[0].logits.shape[1]
    ends = np.array([0.0, min(1.0, 1.05 * drawn["error"].max())])
    bars: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "elinewidth": 0.8, "capsize": 1.5, "zorder": 3}
    for (loss, alpha), style in styles.items():
        points = drawn[(drawn["loss"] == loss) & (drawn["alpha"] == alpha)]
        expected = expected_extra_gradient(ends, alpha=alpha, num_classes=num_classes)
        axes.plot(ends, expected, **style | {"linewidth": 1.0})
        x, y, x_error, y_error = (points[name] for name in ("error", "gradient", "error_se", "gradient_se"))
        axes.errorbar(x, y, xerr=x_error, yerr=y_error, color=style["color"], **bars)
    axes.axhline(0.0, color="0.5", linewidth=0.6)
    source = "exact, from the posterior" if error == "exact" else "estimated on validation"
    axes.set_xlabel(f"P(error), {source}")
    axes.set_ylabel("Extra gradient on the largest logit\n(above 0: pushed down)")
    if title:
        axes.set_title(title)
    legend_below(
        figure,
        {losses.label(*key): {"marker": "o", "markersize": 3.5} | style for key, style in styles.items()},
        title="points: mean ± standard error (test)\nlines: alpha (1 − P(error) − 1/K)",
        columns=3,
    )
    return figure, data


def _binned(cells: Sequence[CellLogits], loss: str, alpha: float, error: str, bins: int, losses: Losses) -> DataFrame:
    mine = [cell for cell in cells if (cell.loss, cell.alpha) == (loss, alpha)]
    validation = {cell.seed: cell for cell in mine if cell.split == "val"}
    found = []
    for cell in (cell for cell in mine if cell.split == "test"):
        where, test = f"{losses.label(loss, alpha)}, seed {cell.seed}", (cell.logits, cell.targets)
        if error == "exact":
            if cell.posterior is None:
                raise ValueError(f"cells must have the posterior for exact error probabilities, {where} has none")
            found.append(gradient_by_exact_error(*test, cell.posterior, alpha=alpha, bins=bins))
        elif val := validation.get(cell.seed):
            most = min(bins, len(val.targets))
            found.append(gradient_by_estimated_error(val.logits, val.targets, *test, alpha=alpha, bins=most))
        else:
            raise ValueError(f"cells must include validation logits to estimate the error, {where} has none")
    num_classes = mine[0].logits.shape[1]
    return _over_seeds(found).assign(
        loss=loss,
        alpha=alpha,
        expected=lambda frame: expected_extra_gradient(frame["error"], alpha=alpha, num_classes=num_classes),
        seeds=len(found),
    )


def _over_seeds(found: Sequence[BinnedGradient]) -> DataFrame:
    """Average the bins over seeds, weighted by count, without bins that are empty in every seed."""
    stacked = {name: np.stack([getattr(binned, name) for binned in found]) for name in BinnedGradient._fields}
    weights = stacked.pop("samples").astype(np.float64)
    total = weights.sum(axis=0)
    used = total > 0

    def average(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # An empty bin of one seed is nan and weighs nothing; an unknown error of a filled one makes the mean unknown.
        return np.asarray(np.where(weights > 0, values * weights, 0.0).sum(axis=0)[used] / total[used])

    columns = {name: average(values) for name, values in stacked.items() if not name.endswith("_se")}
    columns |= {name: np.sqrt(average(values**2)) for name, values in stacked.items() if name.endswith("_se")}
    return DataFrame({"bin": np.flatnonzero(used), **columns, "count": total[used].astype(np.int64)})
