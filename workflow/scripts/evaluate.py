"""Measure one cell's confidences on the test split."""

import json
from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

from unsmooth.atomic_files import atomic_path
from unsmooth.config.settings import Evaluation
from unsmooth.evaluation import (
    calibration_frames,
    curve_frame,
    reliability_frame,
    scene_groups,
    segmentation_frames,
    selective_frames,
    softmax_temperatures,
)
from unsmooth.logits.logits_file import read_logits
from unsmooth.runtime.jobs import job
from unsmooth.tables.collection import read_fitted


def evaluate(
    scores: Path,
    fitted: Path,
    logits: Path,
    settings: Evaluation,
    metrics: Path,
    bootstrap: Path,
    curves: Path,
    reliability: Path,
    *,
    pixels: str | None = None,
    confusions: str | None = None,
) -> None:
    """Write metrics.csv, bootstrap.parquet, curves.parquet and reliability.parquet of one cell.

    For scenes the logits are of sampled pixels, bootstrapped by scene; the metrics of all pixels are added.
    """
    confidences = load_file(scores)
    errors = confidences.pop("errors").astype(bool)
    file = read_logits(logits)
    temperatures = softmax_temperatures(read_fitted(fitted))
    groups = scene_groups(file.metadata.get("samples_by_scene"))
    parts = [
        selective_frames(confidences, errors, settings, groups),
        calibration_frames(file.logits, file.targets, temperatures, settings, groups),
    ]
    if pixels is not None and confusions is not None:
        parts.append(segmentation_frames(load_file(confusions)["confusions"], pd.read_csv(pixels), settings))
    values, replicates = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    with atomic_path(metrics) as temporary:
        values.to_csv(temporary, index=False)
    with atomic_path(bootstrap) as temporary:
        replicates.to_parquet(temporary, index=False)
    with atomic_path(curves) as temporary:
        curve_frame(confidences, errors, settings.curve_points).to_parquet(temporary, index=False)
    with atomic_path(reliability) as temporary:
        diagram = reliability_frame(file.logits, file.targets, temperatures, settings.reliability_bins)
        diagram.to_parquet(temporary, index=False)
    print(values.to_string())


if __name__ == "__main__":
    with job(snakemake, __file__):
        evaluate(
            Path(snakemake.input.scores),
            Path(snakemake.input.fitted),
            Path(snakemake.input.logits),
            Evaluation.model_validate(json.loads(snakemake.params.settings)["evaluation"]),
            Path(snakemake.output.metrics),
            Path(snakemake.output.bootstrap),
            Path(snakemake.output.curves),
            Path(snakemake.output.reliability),
            pixels=snakemake.input.get("pixels"),
            confusions=snakemake.input.get("confusions"),
        )
