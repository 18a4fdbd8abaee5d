"""Interactive page of a workflow run or of diagnoses: one self-contained HTML file."""

from pathlib import Path

ASSETS = [Path(__file__).with_name(name) for name in ("page.html", "page.css", "plots.js", "page.js")]
