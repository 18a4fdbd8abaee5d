"""Page content of an experiment, from the files of its cells and its tables."""

import base64
import io
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame
from safetensors.numpy import load_file

from unsmooth.config.cells import Cell
from unsmooth.data.arrays import read_manifest
from unsmooth.data.thumbnails import read_pictures
from unsmooth.evaluation import DELTA, TARGET_RISKS
from unsmooth.logits.logits_file import read_logits
from unsmooth.page.content import Content, by_score, counted, plain_columns, plain_curves, plain_table, plain_windows
from unsmooth.registry.scores import BASELINE_SCORE, NORMALISED_SCORE, score_label
from unsmooth.tables.collection import read_cells, read_fitted
from unsmooth.tables.findings import findings, headline
from unsmooth.tables.labels import Losses, configurations_of, scores_in_order
from unsmooth.tables.layouts import cost_table
from unsmooth.tables.main import all_metrics_table, main_table
from unsmooth.tables.titles import place_title

Floats = NDArray[np.floating[Any]]

SHOWN_ERRORS = 12  # per model, to fit on a screen


def experiment_content(
    cells: Sequence[Mapping[str, Any]],
    *,
    losses: Losses,
    summary: DataFrame,
    differences: DataFrame,
    windows: DataFrame | None,
    dataset: Path | None,
    trained: bool,
) -> Content:
    """Page content of one architecture of an experiment, as plain JSON-ready data.

    Args:
        cells: its cells, by `tables.labels.CELL`.
        losses: of the experiment; label-smoothing losses share the axis of alpha with CE.
        summary, differences: from `tables.summarise` and `tables.paired_differences`.
        windows: data of `figures.max_logit_given_probability`; None without that figure.
        dataset: the prepared dataset if its inputs are images, else None.
        trained: whether the models were trained here and have costs.
    """
    place = (cells[0]["experiment"], cells[0]["architecture"])
    summary, differences = (
        frame[(frame["experiment"] == place[0]) & (frame["architecture"] == place[1])]
        for frame in (summary, differences)
    )
    models = configurations_of(DataFrame(cells), losses)
    folders = [Path(Cell(**cell).folder) for cell in cells]
    first = read_logits(folders[0] / "logits" / "test.safetensors", mmap=True, verify=False)
    num_samples, num_classes = first.logits.shape
    found = [
        {"model": models.index((cell["loss"], cell["alpha"])), "seed": cell["seed"], **_cell(path, dataset is not None)}
        for cell, path in zip(cells, folders, strict=True)
    ]
    scores = scores_in_order(found[0]["curves"]["scores"])
    finding = headline(summary, differences, losses=losses)
    shown = sorted({0, models.index(finding.configuration)}) if finding.configuration else [*range(len(models))]
    sentences = [
        {"text": text, "model": configuration and models.index(configuration)}
        for configuration, text in findings(summary, differences, losses=losses)
    ]
    fitted = read_cells([path / "scores/fitted.json" for path in folders], cells)
    tables = [plain_table(main_table(summary, fitted, losses=losses))]
    for heading, part in summary.groupby(summary["metric"].map(_part), sort=False):
        defined = fitted[fitted["score"].isin(part["score"])]  # p-norm has no calibration
        caption = f"{heading} before and after repair (mean ± std over seeds)."
        table = plain_table(all_metrics_table(part, defined, losses=losses))
        tables.append({**table, "fold": heading, "caption": caption})
    if trained:
        costs = cost_table(read_cells([path / "run.json" for path in folders], cells), losses=losses)
        tables.append({**plain_table(costs), "fold": "Cost of training"})
    content: Content = {
        "name": place_title(*place),
        "experiment": place[0],
        "facts": [
            ["Classes", f"{num_classes:,}"],
            ["Test samples", f"{num_samples:,}"],
            ["Models", f"{len(models)} with {counted(len({cell['seed'] for cell in cells}), 'seed')}"],
        ],
        "models": [{"loss": loss, "alpha": alpha, "label": losses.label(loss, alpha)} for loss, alpha in models],
        "seeds": sorted({cell["seed"] for cell in cells}),
        "scores": [{"name": name, "label": score_label(name)} for name in scores],
        "before": BASELINE_SCORE,
        "after": NORMALISED_SCORE if NORMALISED_SCORE in scores else BASELINE_SCORE,
        "headline": finding.text,
        "shown": shown,
        "risks": list(TARGET_RISKS),
        "risk": risk_of_most_contrast([part for part in found if part["model"] in shown]),
        "delta": DELTA,
        "findings": [{"heading": "Each loss beside cross-entropy", "sentences": sentences}],
        "cells": found,
        "by_alpha": _by_alpha(summary, models, losses),
        "mechanism": [] if windows is None else _mechanism(windows, losses),
        "tables": tables,
    }
    if dataset is not None:
        content["samples"] = num_samples
        content["classes"] = read_manifest(dataset).classes
        content["pictures"] = _pictures(dataset, found)
    return content


def risk_of_most_contrast(cells: Sequence[Content]) -> float:
    """The target risk at which the mean coverage over seeds differs most between models and scores.

    A cell has `model`, and in `points` by score the columns of `evaluation.operating_frame` at `TARGET_RISKS`.
    """
    reached = [
        {"model": cell["model"], "score": score, "risk": place, "coverage": coverage}
        for cell in cells
        for score, columns in cell["points"].items()
        for place, coverage in enumerate(columns["coverage"])
    ]
    means = DataFrame(reached).pivot_table("coverage", index="risk", columns=["model", "score"])
    return float(TARGET_RISKS[(means.max(axis=1) - means.min(axis=1)).to_numpy().argmax()])


def _part(metric: str) -> str:
    """The heading of a metric's table: one table of all metrics is wider than the page."""
    if metric.startswith(("coverage_at", "risk_at")):
        return "Operating points"
    return "Calibration" if metric in ("ece", "nll", "brier") else "Ranking"


def _cell(folder: Path, has_images: bool) -> dict[str, Any]:
    confidences = load_file(folder / "scores" / "test.safetensors")
    errors = confidences.pop("errors").astype(bool)
    part: dict[str, Any] = {
        "curves": plain_curves(pd.read_parquet(folder / "curves.parquet")),
        "points": by_score(pd.read_csv(folder / "scores" / "operating_points.csv")),
        "by_p": _by_p(folder),
        "reliability": by_score(pd.read_parquet(folder / "reliability.parquet").drop(columns="bin")),
    }
    if has_images:
        test = read_logits(folder / "logits" / "test.safetensors")
        part["errors"] = _confident_errors(confidences, errors, test.logits.argmax(axis=1), test.targets)
    return part


def _by_p(folder: Path) -> dict[str, Any]:
    sweep = pd.read_csv(folder / "scores" / "pnorm_sweep.csv")
    sweep = sweep[sweep["split"] == "test"]
    fitted = read_fitted(folder / "scores" / "fitted.json")[NORMALISED_SCORE]
    orders = sweep[sweep["p"].notna()]
    return {
        "p": orders["p"].tolist(),
        "aurc": orders["aurc"].tolist(),
        "msp": float(sweep.loc[sweep["p"].isna(), "aurc"].iloc[0]),
        "chosen": None if fitted["fell_back"] else fitted["params"].get("p"),
    }


def _confident_errors(
    confidences: Mapping[str, Floats],
    errors: NDArray[np.bool_],
    predictions: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> list[dict[Hashable, Any]]:
    """The errors with the highest MSP, with their ranks among all test samples; rank 1 is the most trusted."""
    before = confidences[BASELINE_SCORE]
    ranked = DataFrame({"before": before, "after": confidences.get(NORMALISED_SCORE, before)})
    ranks = ranked.rank(method="min", ascending=False).astype(int)
    samples = DataFrame({"row": range(len(errors)), "target": targets, "prediction": predictions}).join(ranks)
    return samples[errors].sort_values("before", kind="stable").head(SHOWN_ERRORS).to_dict("records")


def _pictures(dataset: Path, cells: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    rows = sorted({error["row"] for cell in cells for error in cell["errors"]})
    found = {}
    for row, picture in zip(rows, read_pictures(dataset, "test", rows), strict=True):
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", optimize=True)
        found[row] = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return found


def _by_alpha(summary: DataFrame, models: list[tuple[str, float]], losses: Losses) -> list[dict[str, Any]]:
    """AURC of CE and the smoothed losses under every score; empty without a smoothed loss."""
    if not losses.smoothed:
        return []
    rows = summary[(summary["metric"] == "aurc") & summary["loss"].isin([losses.baseline, *losses.smoothed])]
    places = [models.index(key) for key in zip(rows["loss"], rows["alpha"], strict=True)]
    columns = {"model": places, "score": rows["score"], **plain_columns(rows[["mean", "low", "high"]])}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _mechanism(windows: DataFrame, losses: Losses) -> list[dict[str, Any]]:
    """The largest logit given the largest probability: a panel per split and loss, a line per outcome."""
    panels: Iterable[tuple[Any, DataFrame]] = windows.groupby(["split", "loss", "alpha"], sort=False)
    return [
        {"title": f"{losses.label(loss, alpha)}, {split}", "lines": plain_windows(panel, step=2)}
        for (split, loss, alpha), panel in panels
    ]
