"""Readers of the results of many cells into tidy frames."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unsmooth.logits.logits_file import read_logits
from unsmooth.tables.labels import CELL
from unsmooth.tables.summary import SUMMARY


class CellLogits(NamedTuple):
    """Logits of one cell on one split."""

    loss: str
    alpha: float
    seed: int
    split: Literal["train", "val", "test"]
    logits: NDArray[np.float32]  # (N, K)
    targets: NDArray[np.int64]  # (N,)
    posterior: NDArray[np.float64] | None = None  # (N, K) exact P(y | x), if known


def read_cells(paths: Sequence[str | PathLike[str]], cells: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Read one file per cell and stack the rows, in this order, behind the key columns `CELL` of the cell.

    Files are .csv or .parquet tables, .json objects (one row each), or fitted.json: by score `fell_back` (bool), to
    MSP, and `p` in use, nan where the score has none or fell back.

    Example:
        >>> import tempfile
        >>> cell = {"experiment": "e", "architecture": "a", "loss": "ce", "alpha": 0.0, "seed": 1}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "run.json").write_text('{"device": "cpu"}')
        ...     read_cells([Path(folder) / "run.json"], [cell])[["loss", "seed", "device"]].values.tolist()
        [['ce', 1, 'cpu']]
    """
    frames = []
    for path, cell in zip(map(Path, paths), cells, strict=True):
        frame = _read(path)
        keys = pd.DataFrame({key: cell[key] for key in CELL}, index=frame.index)
        frames.append(pd.concat([keys, frame.drop(columns=CELL, errors="ignore")], axis=1))
    return pd.concat(frames, ignore_index=True)


def read_cell_logits(paths: Sequence[str | PathLike[str]], cells: Sequence[Mapping[str, Any]]) -> list[CellLogits]:
    """Read logits files named after their split: one file per cell, in the order of `cells`, for each split in turn."""
    found = []
    for path, cell in zip(map(Path, paths), list(cells) * (len(paths) // len(cells)), strict=True):
        file, split = read_logits(path), cast(Literal["train", "val", "test"], path.stem)
        found.append(CellLogits(cell["loss"], cell["alpha"], cell["seed"], split, file.logits, file.targets))
    return found


def read_fitted(path: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """Read scores/fitted.json of a cell: the fields of each `unsmooth.scores.FittedScore`, by name in results."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_summaries(paths: Sequence[str | PathLike[str]]) -> pd.DataFrame:
    """Read summary.csv of several experiments; without any, a frame without rows."""
    return _stacked(paths, SUMMARY)


def read_costs(paths: Sequence[str | PathLike[str]]) -> pd.DataFrame:
    """Read the cells of cost.csv of several experiments, not its totals; without any, a frame without rows."""
    costs = _stacked(paths, [*CELL, "device", "precision", "wall_time_s"])
    return costs[costs["experiment"] != "total"].astype({"seed": int})  # floats, as totals have no seed


def _stacked(paths: Sequence[str | PathLike[str]], columns: list[str]) -> pd.DataFrame:
    return pd.concat([pd.read_csv(path) for path in paths]) if paths else pd.DataFrame(columns=columns)


def _read(path: Path) -> pd.DataFrame:
    if path.name == "fitted.json":
        return pd.DataFrame(
            {
                "score": score,
                "fell_back": fields["fell_back"],
                "p": np.nan if fields["fell_back"] else float(fields["params"].get("p", "nan")),
            }
            for score, fields in read_fitted(path).items()
        )
    if path.suffix == ".json":
        record = json.loads(path.read_text(encoding="utf-8"))
        plain = {key: value for key, value in record.items() if not isinstance(value, dict | list)}
        return pd.DataFrame([{key: float("nan") if value is None else value for key, value in plain.items()}])
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
