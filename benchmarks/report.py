"""The report page of a large run: how many bytes it has, how soon it is drawn, and how far its curves are off.

    python benchmarks/report.py [--cells 30] [--samples 50000]

Cells are drawn at random, with every score of config.yaml; some of their errors hide among the trusted samples.
Chromium opens the page from disk three times; the best time from navigation until every plot is drawn is printed. The
error of the curves is measured on what the browser draws.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from unsmooth.evaluation import DELTA, TARGET_RISKS, curve_frame, operating_frame
from unsmooth.metrics import risk_coverage_curve
from unsmooth.page.content import plain_columns, plain_curves
from unsmooth.page.page import page, write_page

SCORES = ["msp", "msp_temperature", "max_logit_pnorm", "max_logit", "negative_entropy", "energy", "logit_margin"]
SEEDS = 3
POINTS = 500  # of a curve, as in config.yaml

Sample = tuple[NDArray[np.float64], NDArray[np.bool_]]


def sample(count: int, key: list[int]) -> Sample:
    """Confidence and errors; some errors are trusted as much as any sample, as after label smoothing."""
    generator = np.random.default_rng(key)
    confidence = generator.normal(size=count)
    hidden = generator.random(count) < 0.02
    return confidence, hidden | (generator.random(count) < 1 / (1 + np.exp(2.5 * confidence + 2.5)))


def content(cells: int, samples: int) -> dict[str, Any]:
    """What the page shows of `cells` models."""
    made = []
    some = sample(1000, [0])
    points = plain_columns(operating_frame(*some, certifying=some, certified=some[0]))
    for cell in range(cells):
        confidences = {name: sample(samples, [cell, place])[0] for place, name in enumerate(SCORES)}
        made.append(
            {
                "model": cell // SEEDS,
                "seed": cell % SEEDS,
                "curves": plain_curves(curve_frame(confidences, sample(samples, [cell, 0])[1], POINTS)),
                "points": {"msp": points, "max_logit_pnorm": points},
            }
        )
    models = [{"loss": "ls", "alpha": model / 20, "label": f"LS {model / 20:g}"} for model in range(-(-cells // SEEDS))]
    return {
        "name": "benchmark",
        "description": "",
        "facts": [],
        "models": models,
        "seeds": list(range(SEEDS)),
        "scores": [{"name": name, "label": name} for name in SCORES],
        **{"before": "msp", "after": "max_logit_pnorm", "headline": "", "shown": list(range(len(models)))},
        **{"risks": list(TARGET_RISKS), "risk": 0.05, "delta": DELTA},
        **{"findings": [], "cells": made, "by_alpha": [], "mechanism": [], "tables": []},
    }


def opened(place: Page, path: Path) -> float:
    """Seconds from navigation until the script of the page has drawn everything."""
    start = time.perf_counter()
    place.goto(path.as_uri(), wait_until="load")
    place.wait_for_function("document.querySelectorAll('#contents a').length > 0")
    return time.perf_counter() - start


def drawn_error(place: Page, samples: int) -> float:
    """Largest vertical distance of the curve that the browser draws of the first seed from the whole one, fraction."""
    place.uncheck("#seeds input >> nth=2")
    place.uncheck("#seeds input >> nth=1")
    line = place.evaluate("(({x, y}) => ({x: [...x], y: [...y]}))(document.getElementById('plot-before').data[2])")
    whole = risk_coverage_curve(*sample(samples, [0, 0]))
    drawn = whole.coverage >= line["x"][0] / 100
    found = np.interp(100 * whole.coverage[drawn], line["x"], line["y"]) / 100
    return float(np.abs(found - whole.selective_risk[drawn]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--samples", type=int, default=50_000)
    options = parser.parse_args()
    start = time.perf_counter()
    data = content(options.cells, options.samples)
    gathered = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "index.html"
        write_page(page([data], title="Benchmark", lead=""), path)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        place = browser.new_page(viewport={"width": 1280, "height": 900})
        seconds = min(opened(place, path) for _ in range(3))
        error = drawn_error(place, options.samples)
        browser.close()
        print(f"{options.cells} cells of {options.samples:,} samples and {len(SCORES)} scores")
        print(f"  gathered in      {gathered:8.1f} s")
        print(f"  data             {len(json.dumps(data)) / 1e6:8.1f} MB")
        print(f"  page             {path.stat().st_size / 1e6:8.1f} MB")
        print(f"  drawn after      {seconds:8.2f} s")
        print(f"  curve error      {100 * error:8.4f} points")


if __name__ == "__main__":
    main()
