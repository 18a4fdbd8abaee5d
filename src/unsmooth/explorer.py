"""Pictures of a diagnosis: one interactive HTML page that needs no network, and the risk-coverage plot for a paper."""

import html
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from unsmooth.diagnosis import Diagnosis, ScoreResult, label_of
from unsmooth.evaluation import curve_frame
from unsmooth.figures.style import CORRECT_COLOR, WRONG_COLOR, legend_below, new_figure, styled
from unsmooth.files import atomic_path
from unsmooth.tables.labels import score_label

__all__ = ["page", "risk_coverage_plot", "write_page"]

BEFORE_COLOR, AFTER_COLOR, TARGET_COLOR = "#555555", CORRECT_COLOR, "#009E73"
_POINTS = 400
_WINDOWS = 10
_DRAW = """
for (const [id, figure] of Object.entries(figures)) {
  const place = document.getElementById(id);
  Plotly.newPlot(place, figure.data, figure.layout, {displayModeBar: false});
  new ResizeObserver(() => Plotly.Plots.resize(place)).observe(place);
}
"""
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; background: #fff; margin: 0 auto;
  max-width: 1200px; padding: 16px; }
h1 { font-size: 1.5rem; margin: 0 0 8px; } h2 { font-size: 1.2rem; margin: 32px 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 0; } p, li { max-width: 80ch; } ul { padding-left: 20px; } li { margin: 4px 0; }
.quiet { color: #555; font-size: 0.875rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 24px; }
.grid > section { min-width: 0; } .plot { height: 380px; overflow: hidden; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.875rem; }
th, td { padding: 4px 12px 4px 0; text-align: left; white-space: nowrap; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr.chosen { font-weight: 600; }
"""


def write_page(diagnoses: Sequence[Diagnosis], path: str | os.PathLike[str]) -> None:
    """Write :func:`page` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(page(diagnoses), encoding="utf-8")


def page(diagnoses: Sequence[Diagnosis]) -> str:
    """One self-contained HTML page: findings, risk-coverage curves, AURC by p, confidences and the smoothing signature.

    Args:
        diagnoses: what :func:`unsmooth.diagnosis.diagnose` returned, one section each.

    Returns:
        HTML text with its own copy of plotly; nothing is loaded from elsewhere.
    """
    figures: dict[str, go.Figure] = {}
    sections = "".join(_section(diagnosis, figures) for diagnosis in diagnoses)
    # Drawn after the whole page is laid out, because a figure takes the width that its place has at that moment.
    drawn = ",".join(f'"{key}":{figure.to_json()}' for key, figure in figures.items()).replace("</", "<\\/")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Confidence diagnosis</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body>"
        "<h1>Confidence diagnosis</h1>"
        '<p class="quiet">Brackets are 95 % intervals. AURC: area under the risk-coverage curve, lower is better. '
        "Hover over a curve for coverage, risk and threshold.</p>"
        f"{_comparison(diagnoses) if len(diagnoses) > 1 else ''}{sections}"
        f"<script>const figures = {{{drawn}}};{_DRAW}</script></body></html>\n"
    )


@styled
def risk_coverage_plot(diagnoses: Sequence[Diagnosis]) -> Figure:
    """Risk-coverage curves before and after repair, one panel a diagnosis, with the target risk.

    Args:
        diagnoses: what :func:`unsmooth.diagnosis.diagnose` returned.

    Returns:
        A figure, 3.4 inches a panel.
    """
    figure = new_figure(3.4 * len(diagnoses), 2.8)
    axes = figure.subplots(1, len(diagnoses), squeeze=False, sharey=True)[0]
    styles: dict[str, dict[str, Any]] = {
        "MSP": {"color": BEFORE_COLOR, "linestyle": (0, (5, 2))},
        "Recommended": {"color": AFTER_COLOR, "linestyle": "-"},
        "Target risk": {"color": TARGET_COLOR, "linestyle": (0, (1, 1.5))},
    }
    for axis, diagnosis in zip(axes, diagnoses, strict=True):
        curves = curve_frame(diagnosis.confidences, diagnosis.errors, _POINTS)
        for score, label in (("msp", "MSP"), (diagnosis.recommended.name, "Recommended")):
            curve = curves[curves["score"] == score]
            axis.plot(100 * curve["coverage"], 100 * curve["selective_risk"], **styles[label])
        axis.axhline(100 * diagnosis.target_risk, **styles["Target risk"])
        highest = max(1.4 * diagnosis.error.point, 1.4 * diagnosis.target_risk)
        axis.set(xlim=(0, 100), ylim=(0, 100 * highest), xlabel="Coverage %", title=_panel_title(diagnosis))
    axes[0].set_ylabel("Selective risk %")
    legend_below(figure, styles)
    return figure


def _panel_title(diagnosis: Diagnosis) -> str:
    name = diagnosis.name.replace("$", r"\$")  # a file name is no mathematics
    return f"{name}\n{label_of(diagnosis.recommended)}"


def _section(diagnosis: Diagnosis, figures: dict[str, go.Figure]) -> str:
    """HTML of one diagnosis; its figures are added to `figures` under the ids of their places."""
    rows = diagnosis.rows
    findings = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in diagnosis.findings())
    places = ""
    for title, figure, caption in _plots(diagnosis):
        key = f"figure-{len(figures)}"
        figures[key] = _laid_out(figure)
        places += (
            f'<section><h3>{title}</h3><p class="quiet">{caption}</p><div class="plot" id="{key}"></div></section>'
        )
    return (
        f"<h2>{html.escape(diagnosis.name)}</h2>"
        f'<p class="quiet">{diagnosis.num_classes} classes. Split {html.escape(diagnosis.split)}: {rows["fit"]:,} fit, '
        f"{rows['certify']:,} certify, {rows['test']:,} test.</p>"
        f'<ul>{findings}</ul><div class="grid">{places}</div>{_scores(diagnosis)}'
    )


def _plots(diagnosis: Diagnosis) -> list[tuple[str, go.Figure, str]]:
    """Title, figure and caption of every plot that these data allow."""
    plots = [
        (
            "Risk against coverage",
            _curves(diagnosis),
            "Error rate among accepted samples, the most trusted ones first.",
        ),
        ("Confidence of correct and wrong predictions", _histogram(diagnosis), "Maximum softmax probability (MSP)."),
    ]
    if diagnosis.aurc_by_p:
        caption = "AURC of the maximum logit divided by the p-norm, on the test samples; lower is better."
        plots.insert(1, ("Which p", _by_p(diagnosis), caption))
    windows = _windows(diagnosis)
    if windows is not None:
        caption = "Error rate at equal MSP by maximum logit: apart after smoothing, or where the softmax is too soft."
        plots.append(("Signature of smoothing", windows, caption))
    return plots


def _laid_out(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 56, "r": 16, "t": 8, "b": 48},
        legend={"orientation": "h", "y": -0.2, "x": 0, "yanchor": "top"},
        font={"size": 13, "color": "#222"},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(title_standoff=8, linecolor="#888", fixedrange=True)
    figure.update_yaxes(title_standoff=8, linecolor="#888", fixedrange=True)
    return figure


def _curves(diagnosis: Diagnosis) -> go.Figure:
    figure = go.Figure()
    curves = curve_frame(diagnosis.confidences, diagnosis.errors, _POINTS)
    shown = [("msp", "MSP", BEFORE_COLOR, "dash")]
    if diagnosis.repaired:
        shown.append((diagnosis.recommended.name, label_of(diagnosis.recommended), AFTER_COLOR, "solid"))
    for score, label, color, dash in shown:
        curve = curves[curves["score"] == score]
        figure.add_scatter(
            x=_rounded(100 * curve["coverage"]),
            y=_rounded(100 * curve["selective_risk"]),
            customdata=_rounded(curve["threshold"], 6),
            mode="lines",
            name=label,
            line={"color": color, "dash": dash, "width": 2.5},
            hovertemplate="coverage %{x:.1f} %<br>risk %{y:.2f} %<br>threshold %{customdata:.5g}",
        )
    target = 100 * diagnosis.target_risk
    figure.add_scatter(
        x=[0, 100],
        y=[target, target],
        mode="lines",
        name=f"target risk {target:g} %",
        line={"color": TARGET_COLOR, "dash": "dot", "width": 2},
        hoverinfo="skip",
    )
    point = diagnosis.after
    if point.certificate.feasible and point.certified_coverage:
        figure.add_scatter(
            x=[100 * point.certified_coverage],
            y=[100 * point.certified_risk],
            customdata=[point.certificate.threshold],
            mode="markers",
            name="certified threshold",
            marker={"color": TARGET_COLOR, "size": 11, "symbol": "diamond"},
            hovertemplate="coverage %{x:.1f} %<br>risk %{y:.2f} %<br>threshold %{customdata:.5g}",
        )
    highest = 140 * max(diagnosis.error.point, diagnosis.target_risk)
    figure.update_xaxes(title="Coverage %", range=[0, 101])
    figure.update_yaxes(title="Selective risk %", range=[0, min(highest, 101)])
    return figure


def _by_p(diagnosis: Diagnosis) -> go.Figure:
    figure = go.Figure()
    orders = sorted(diagnosis.aurc_by_p)
    figure.add_scatter(
        x=orders,
        y=_rounded([100 * diagnosis.aurc_by_p[p] for p in orders]),
        mode="lines+markers",
        name="p-norm",
        line={"color": AFTER_COLOR, "width": 2.5},
        hovertemplate="p = %{x:g}<br>AURC %{y:.3f} %",
    )
    figure.add_scatter(
        x=[orders[0], orders[-1]],
        y=[100 * diagnosis.aurc.point] * 2,
        mode="lines",
        name="MSP",
        line={"color": BEFORE_COLOR, "dash": "dash", "width": 2.5},
        hovertemplate="MSP<br>AURC %{y:.3f} %",
    )
    figure.update_xaxes(title="p", dtick=1)
    figure.update_yaxes(title="AURC %", rangemode="tozero")
    return figure


def _histogram(diagnosis: Diagnosis) -> go.Figure:
    probability = -100 * np.expm1(-diagnosis.confidences["msp"])
    edges = np.linspace(0, 100, 41)
    figure = go.Figure()
    for wrong, label, color in ((False, "correct", CORRECT_COLOR), (True, "wrong", WRONG_COLOR)):
        chosen = probability[diagnosis.errors == wrong]
        counts, _ = np.histogram(chosen, edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=_rounded(100 * counts / max(len(chosen), 1)),
            width=2.5,
            name=f"{label} ({len(chosen):,})",
            marker={"color": color, "opacity": 0.6},
            hovertemplate=f"MSP %{{x:.1f}} ± 1.25 %<br>%{{y:.1f}} % of the {label}",
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="MSP %", range=[0, 100])
    figure.update_yaxes(title="Share of each group %")
    return figure


def _windows(diagnosis: Diagnosis) -> go.Figure | None:
    """Error rate of the halves with larger and smaller maximum logit in windows of MSP; None without a signature."""
    if math.isnan(diagnosis.signature.max_logit_shift.point):
        return None
    confidence, errors = diagnosis.confidences["msp"], diagnosis.errors
    probability = -100 * np.expm1(-confidence)
    order = np.argsort(confidence, kind="stable")
    centres, larger, smaller = [], [], []
    for window in np.array_split(order, _WINDOWS):
        if np.ptp(confidence[window]) == 0:
            continue
        # What is left of the maximum logit beside a line in MSP, so that a half is not simply the surer one.
        line = np.polynomial.Polynomial.fit(confidence[window], diagnosis.max_logits[window], 1)
        rest = diagnosis.max_logits[window] - line(confidence[window])
        above = rest > np.median(rest)
        if above.all() or not above.any():
            continue
        centres.append(float(np.median(probability[window])))
        larger.append(100 * float(errors[window][above].mean()))
        smaller.append(100 * float(errors[window][~above].mean()))
    figure = go.Figure()
    for label, rates, color in (("larger half", larger, WRONG_COLOR), ("smaller half", smaller, CORRECT_COLOR)):
        figure.add_scatter(
            x=_rounded(centres),
            y=_rounded(rates),
            mode="lines+markers",
            name=f"{label} of maximum logits",
            line={"color": color, "width": 2.5},
            hovertemplate="MSP %{x:.1f} %<br>error %{y:.1f} %",
        )
    figure.update_xaxes(title="MSP %")
    figure.update_yaxes(title="Error %", rangemode="tozero")
    return figure


def _scores(diagnosis: Diagnosis) -> str:
    head = ("score", "AURC % unfitted", "AURC % fitted", "change against MSP", "p (Holm)", "parameters")
    body = "".join(
        _score_row(entry, entry.score == diagnosis.recommended.name)
        for entry in sorted(diagnosis.scores, key=lambda entry: entry.after)
    )
    missing = "".join(
        f"<li>{html.escape(score_label(name))}: {html.escape(reason)}</li>"
        for name, reason in diagnosis.left_out.items()
    )
    cells = "".join(f"<th>{name}</th>" for name in head)
    return f'<h3>Scores, best first</h3><div class="scroll"><table><tr>{cells}</tr>{body}</table></div>' + (
        f'<p class="quiet">Left out:</p><ul class="quiet">{missing}</ul>' if missing else ""
    )


def _score_row(entry: ScoreResult, chosen: bool) -> str:
    change = entry.change
    params = ", ".join(f"{key} {value:.4g}" for key, value in entry.params.items() if key != "centring")
    cells = [
        "" if entry.before is None else f"{100 * entry.before:.3f}",
        f"{100 * entry.after:.3f}",
        f"{100 * change.point:+.3f} [{100 * change.low:+.3f}, {100 * change.high:+.3f}]",
        f"{entry.adjusted_p:.3f}",
    ]
    if entry.score == "msp":
        cells[2:] = ["", ""]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    note = "falls back to MSP" if entry.note else params
    label = html.escape(score_label(entry.score)) + (" (recommended)" if chosen else "")
    row = '<tr class="chosen">' if chosen else "<tr>"
    return f"{row}<td>{label}</td>{numbers}<td>{html.escape(note)}</td></tr>"


def _comparison(diagnoses: Sequence[Diagnosis]) -> str:
    head = ("file", "error %", "smoothing", "AURC %", "repaired %", "recommended score", "coverage %, before and after")
    rows = "".join(
        f"<tr><td>{html.escape(d.name)}</td>"
        f'<td class="number">{100 * d.error.point:.2f}</td><td>{d.signature.verdict}</td>'
        f'<td class="number">{100 * d.aurc.point:.2f}</td><td class="number">{100 * d.repaired_aurc.point:.2f}</td>'
        f"<td>{html.escape(label_of(d.recommended))}</td>"
        f'<td class="number">{100 * d.before.coverage.point:.1f} → {100 * d.after.coverage.point:.1f}</td></tr>'
        for d in diagnoses
    )
    cells = "".join(f"<th>{name}</th>" for name in head)
    risk = f"{100 * diagnoses[0].target_risk:g}"
    return (
        f'<div class="scroll"><table><tr>{cells}</tr>{rows}</table></div>'
        f'<p class="quiet">Coverage at {risk} % risk, with hindsight, each file on its own test samples.</p>'
    )


def _rounded(values: Any, decimals: int = 4) -> NDArray[np.float64]:  # noqa: ANN401 - anything numpy reads
    """Few digits: they are the page's size."""
    return np.asarray(values, dtype=np.float64).round(decimals)
