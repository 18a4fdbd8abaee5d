"""The interactive page of a run of the workflow, or of diagnoses: one HTML file that needs no network."""

from pathlib import Path

ASSETS = [Path(__file__).with_name(name) for name in ("page.html", "page.css", "plots.js", "page.js")]
