"""Page content of diagnoses, one model per file, and their risk-coverage plot for a paper."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pandas import concat

from unsmooth.diagnosis.result import Diagnosis
from unsmooth.diagnosis.wording import label_of, score_rows
from unsmooth.evaluation import TARGET_RISKS, bin_frame, curve_frame, operating_frame
from unsmooth.figures.mechanism import outcome_windows
from unsmooth.figures.style import CORRECT_COLOR, legend_below, new_figure, styled
from unsmooth.page.content import Content, by_score, plain_columns, plain_curves, plain_windows
from unsmooth.page.page import page
from unsmooth.registry.scores import score_label
from unsmooth.scores import NLL_TEMPERATURE, FittedScore
from unsmooth.scores.thresholds import threshold_value

_POINTS = 500  # of a curve
_BINS = 20
_RECOMMENDED = "recommended"


def diagnoses_page(diagnoses: Sequence[Diagnosis]) -> str:
    """One self-contained HTML page of results of :func:`unsmooth.diagnosis.diagnose.diagnose`, one model each."""
    return page(
        [diagnoses_content(diagnoses)],
        title="Confidence diagnosis",
        lead="Brackets are 95 % intervals.",
        models="Files",
    )


def diagnoses_content(diagnoses: Sequence[Diagnosis]) -> Content:
    first = diagnoses[0]
    risks = sorted({*TARGET_RISKS, first.target_risk})
    cells = [_cell(place, diagnosis, risks) for place, diagnosis in enumerate(diagnoses)]
    label = f"Recommended: {label_of(first.recommended)}" if len(diagnoses) == 1 else "Recommended score"
    scores = [{"name": "msp", "label": score_label("msp")}]
    if any(diagnosis.repaired for diagnosis in diagnoses):
        scores.append({"name": _RECOMMENDED, "label": label})
    return {
        "name": ", ".join(diagnosis.name for diagnosis in diagnoses),
        "description": "",
        "facts": [[each.name if len(diagnoses) > 1 else "Samples", _samples(each)] for each in diagnoses],
        "models": [{"loss": diagnosis.name, "alpha": 0, "label": diagnosis.name} for diagnosis in diagnoses],
        "seeds": [0],
        "scores": scores,
        "before": "msp",
        "after": scores[-1]["name"],
        "headline": diagnoses[0].findings()[0],
        "shown": list(range(len(diagnoses))),
        "risks": risks,
        "risk": first.target_risk,
        "delta": first.delta,
        "findings": [
            {"heading": each.name, "sentences": [{"text": text, "model": place} for text in each.findings()]}
            for place, each in enumerate(diagnoses)
        ],
        "cells": cells,
        "by_alpha": [],
        "mechanism": [panel for diagnosis in diagnoses for panel in _mechanism(diagnosis)],
        "tables": [*([_comparison(diagnoses)] if len(diagnoses) > 1 else []), *map(_scores, diagnoses)],
    }


@styled
def risk_coverage_plot(diagnoses: Sequence[Diagnosis]) -> Figure:
    """Risk-coverage curves before and after repair, one panel of 3.4 inches a diagnosis, with the target risk."""
    figure = new_figure(3.4 * len(diagnoses), 2.8)
    axes = figure.subplots(1, len(diagnoses), squeeze=False, sharey=True)[0]
    styles: dict[str, dict[str, Any]] = {
        "MSP": {"color": "#555555", "linestyle": (0, (5, 2))},
        "Recommended": {"color": CORRECT_COLOR, "linestyle": "-"},
        "Target risk": {"color": "#009E73", "linestyle": (0, (1, 1.5))},
    }
    for axis, diagnosis in zip(axes, diagnoses, strict=True):
        curves = curve_frame(diagnosis.confidences, diagnosis.errors, _POINTS)
        for score, label in (("msp", "MSP"), (diagnosis.recommended.name, "Recommended")):
            curve = curves[curves["score"] == score]
            axis.plot(100 * curve["coverage"], 100 * curve["selective_risk"], **styles[label])
        axis.axhline(100 * diagnosis.target_risk, **styles["Target risk"])
        highest = max(1.4 * diagnosis.error.point, 1.4 * diagnosis.target_risk)
        name = diagnosis.name.replace("$", r"\$")  # no mathematics in file names
        axis.set(xlim=(0, 100), ylim=(0, 100 * highest), xlabel="Coverage %")
        axis.set_title(f"{name}\n{label_of(diagnosis.recommended)}")
    axes[0].set_ylabel("Selective risk %")
    legend_below(figure, styles)
    return figure


def _samples(diagnosis: Diagnosis) -> str:
    counts = ", ".join(f"{diagnosis.rows[part]:,} {part}" for part in ("fit", "certify", "test"))
    return f"{diagnosis.num_classes:,} classes; {counts} ({diagnosis.split})"


def _cell(place: int, diagnosis: Diagnosis, risks: Sequence[float]) -> Content:
    sources = {"msp": "msp", _RECOMMENDED: diagnosis.recommended.name}
    confidences = {name: diagnosis.confidences[source] for name, source in sources.items()}
    points = {
        name: operating_frame(
            confidences[name],
            diagnosis.errors,
            certifying=(diagnosis.certify_confidences[source], diagnosis.certify_errors),
            certified=confidences[name],
            risks=risks,
            delta=diagnosis.delta,
        )
        for name, source in sources.items()
    }
    scores = {"msp": FittedScore("msp"), _RECOMMENDED: diagnosis.recommended}
    frames = (curve_frame(confidences, diagnosis.errors, _POINTS), concat(points, names=["score"]).reset_index("score"))
    for frame in frames:
        thresholds = zip(frame["score"], frame["threshold"], strict=True)
        frame["threshold"] = [threshold_value(scores[name], value) for name, value in thresholds]
    orders, chosen = sorted(diagnosis.aurc_by_p), diagnosis.recommended.params.get("p")
    return {
        "model": place,
        "seed": 0,
        "curves": plain_curves(frames[0]),
        "points": by_score(frames[1]),
        "by_p": {
            "p": orders,
            "aurc": [diagnosis.aurc_by_p[p] for p in orders],
            "msp": diagnosis.aurc.point,
            "chosen": chosen if chosen in orders else None,  # infinity is not drawn, and JSON lacks it
        },
        "reliability": {
            name: plain_columns(
                bin_frame(-np.expm1(-diagnosis.confidences[name]), diagnosis.errors, _BINS).drop(columns="bin")
            )
            for name in ("msp", NLL_TEMPERATURE)
            if name in diagnosis.confidences
        },
    }


def _mechanism(diagnosis: Diagnosis) -> list[Content]:
    """The largest logit given the largest probability; empty if the regression of the signature is undefined."""
    if math.isnan(diagnosis.signature.max_logit_shift.point):
        return []
    probability = -np.expm1(-diagnosis.confidences["msp"])
    windows = outcome_windows(probability, diagnosis.max_logits, ~diagnosis.errors, step=0.01)
    return [{"title": diagnosis.name, "lines": plain_windows(windows)}]


def _scores(diagnosis: Diagnosis) -> Content:
    return {
        "caption": f"{diagnosis.name}: scores, best first",
        "columns": ["Score", "AURC % unfitted", "AURC % fitted", "change against MSP", "p (Holm)", "parameters"],
        "rows": score_rows(diagnosis, mark=" (recommended)"),
        "labels": 1,
        "notes": [f"Left out: {score_label(name)}: {reason}." for name, reason in diagnosis.left_out.items()],
    }


def _comparison(diagnoses: Sequence[Diagnosis]) -> Content:
    risk = f"{100 * diagnoses[0].target_risk:g}"
    return {
        "caption": f"Coverage at {risk} % risk, with hindsight, each file on its own test samples.",
        "columns": ["File", "smoothing", "recommended score", "error %", "AURC %", "repaired %", "coverage %"],
        "rows": [
            [
                d.name,
                d.signature.verdict,
                label_of(d.recommended),
                f"{100 * d.error.point:.2f}",
                f"{100 * d.aurc.point:.2f}",
                f"{100 * d.repaired_aurc.point:.2f}",
                f"{100 * d.before.coverage.point:.1f} → {100 * d.after.coverage.point:.1f}",
            ]
            for d in diagnoses
        ],
        "labels": 3,
        "notes": [],
    }
