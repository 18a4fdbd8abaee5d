"""Summaries over seeds, paired differences, and tables and sentences from them.

`summary` is the result of `summarise`, `differences` that of `paired_differences`, `losses` those of the experiment.
Missing columns or rows raise ValueError. `tables.losses` is not imported here: it needs the metrics, which no other
table or figure may depend on.
"""

from unsmooth.tables.calibration import calibration_table
from unsmooth.tables.findings import Finding, findings, findings_text, headline
from unsmooth.tables.layouts import (
    Table,
    cost_table,
    scores_table,
    segmentation_table,
)
from unsmooth.tables.main import all_metrics_table, main_table, short_table
from unsmooth.tables.scorecard import SCORECARD, published_table, scorecard, scorecard_table
from unsmooth.tables.summary import DIFFERENCES, SUMMARY, paired_differences, summarise
from unsmooth.tables.writing import write_table
from unsmooth.tables.zoo import zoo_gains, zoo_table

__all__ = [
    "DIFFERENCES",
    "SCORECARD",
    "SUMMARY",
    "Finding",
    "Table",
    "all_metrics_table",
    "calibration_table",
    "cost_table",
    "findings",
    "findings_text",
    "headline",
    "main_table",
    "paired_differences",
    "published_table",
    "scorecard",
    "scorecard_table",
    "scores_table",
    "segmentation_table",
    "short_table",
    "summarise",
    "write_table",
    "zoo_gains",
    "zoo_table",
]
