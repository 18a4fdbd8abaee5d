"""Measure one cell's confidences on the test split."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from unsmooth.evaluation import calibration_frames, curve_frame, segmentation_frames, selective_frames
from unsmooth.experiment import Evaluation
from unsmooth.files import atomic_path
from unsmooth.jobs import job_log
from unsmooth.logits import read_logits


def evaluate(
    scores: Path,
    fitted: Path,
    logits: Path,
    settings: Evaluation,
    metrics: Path,
    bootstrap: Path,
    curves: Path,
    *,
    pixels: str | None = None,
    confusions: str | None = None,
) -> None:
    """Write metrics.csv, bootstrap.parquet and curves.parquet of one cell.

    Of scenes, the logits are those of a sample, whose pixels the bootstrap draws scene by scene; what is known of all
    pixels is added.
    """
    confidences = load_file(scores)
    errors = confidences.pop("errors").astype(bool)
    file = read_logits(logits)
    repaired = json.loads(fitted.read_text())["msp_temperature"]
    # A score that fell back keeps the parameters that lost.
    temperature = 1.0 if repaired["fell_back"] else repaired["params"]["temperature"]
    temperatures = {"msp": 1.0, "msp_temperature": temperature}
    counts = file.metadata.get("samples_by_scene")
    groups = None if counts is None else np.repeat(np.arange(len(counts)), counts)
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
    print(values.to_string())


if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        evaluate(
            Path(snakemake.input.scores),
            Path(snakemake.input.fitted),
            Path(snakemake.input.logits),
            Evaluation.model_validate(json.loads(snakemake.params.settings)["evaluation"]),
            Path(snakemake.output.metrics),
            Path(snakemake.output.bootstrap),
            Path(snakemake.output.curves),
            pixels=snakemake.input.get("pixels"),
            confusions=snakemake.input.get("confusions"),
        )
