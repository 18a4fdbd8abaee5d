"""Fit one cell's scores on its validation logits and apply them to its test logits."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from unsmooth.atomic_files import atomic_path
from unsmooth.evaluation import operating_frame, sweep_frame
from unsmooth.logits.guards import check_disjoint
from unsmooth.logits.logits_file import LogitsFile, LogitsFileError, read_logits
from unsmooth.metrics import aurc
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import score_targets
from unsmooth.scores import NLL_TEMPERATURE, fit_score, score_all
from unsmooth.scores.splits import split_rows

SWEEP_PS = range(11)
CERTIFIED = ("msp", "max_logit_pnorm")


def score(
    val_path: Path, test_path: Path, names: list[str], scores: Path, fitted_path: Path, sweep: Path, operating: Path
) -> None:
    """Write test confidences and errors, fitted parameters, AURC by p on both splits, and operating points.

    The temperature that minimises NLL is fitted too, for the calibration metrics of `evaluate`.

    A score that ranks nothing (the p-norm of two logits) has no confidences; its entry in `fitted_path` has the reason.
    """
    val = read_logits(val_path)
    test = read_logits(test_path, num_classes=val.logits.shape[1])
    tested, fitting = (file.metadata.get("source", path) for file, path in ((test, test_path), (val, val_path)))
    if len(val.targets) < 2:
        raise LogitsFileError(f"{fitting}: expected at least 2 samples, to fit scores and to certify thresholds, got 1")
    check_disjoint(test.logits, f"the rows of {tested}", val.logits, fitting)
    fitted = {name: fit_score(name, val.logits, val.targets) for name in names}
    calibrating = fit_score("msp_temperature", val.logits, val.targets, objective="nll", fallback=False)
    defined = {name: found for name, found in fitted.items() if found.objective_value is not None}
    on_val = score_all(val, scores=["msp"], ps=SWEEP_PS)
    on_test = score_all(test, scores=defined, ps=SWEEP_PS)
    errors = on_test.predictions != test.targets
    for name, found in defined.items():
        note = " (fell back to msp)" if found.fell_back else ""
        print(f"{name} {dict(found.params)}{note}: test AURC {100 * aurc(on_test[name], errors):.3f} %")
    with atomic_path(fitted_path) as temporary:
        content = {
            name: json.loads(found.to_json()) for name, found in (fitted | {NLL_TEMPERATURE: calibrating}).items()
        }
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    with atomic_path(sweep) as temporary:
        sweeps = [
            sweep_frame(split, scored.by_p(SWEEP_PS) | {math.nan: scored["msp"]}, scored.predictions != rows.targets)
            for split, rows, scored in (("val", val, on_val), ("test", test, on_test))
        ]
        pd.concat(sweeps).to_csv(temporary, index=False)
    with atomic_path(operating) as temporary:
        confidences = {name: on_test[name] for name in CERTIFIED if name in defined}
        operating_points(val, test, confidences, errors).to_csv(temporary, index=False)
    with atomic_path(scores) as temporary:
        save_file({**{name: on_test[name] for name in defined}, "errors": errors.astype(np.uint8)}, temporary)


def operating_points(
    val: LogitsFile, test: LogitsFile, confidences: dict[str, NDArray[np.floating[Any]]], errors: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return `operating_frame` by score, certified on the half of the validation split that did not fit the score."""
    fitting, certifying = split_rows(len(val.targets), fraction=0.5, seed=0)
    fitted = {name: fit_score(name, val.logits[fitting], val.targets[fitting]) for name in confidences}
    on_val, on_test = (score_all(rows, scores=fitted, ps=()) for rows in (val.logits[certifying], test.logits))
    val_errors = on_val.predictions != val.targets[certifying]
    frames = {
        name: operating_frame(confidence, errors, certifying=(on_val[name], val_errors), certified=on_test[name])
        for name, confidence in confidences.items()
    }
    return pd.concat(frames, names=["score"]).reset_index("score")


if __name__ == "__main__":
    names = json.loads(snakemake.params.scores)["scores"]
    with job(snakemake, __file__, *score_targets(names)):
        torch.set_num_threads(snakemake.threads)
        score(
            Path(snakemake.input.val),
            Path(snakemake.input.test),
            names,
            Path(snakemake.output.scores),
            Path(snakemake.output.fitted),
            Path(snakemake.output.sweep),
            Path(snakemake.output.operating),
        )
