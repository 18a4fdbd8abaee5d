"""Summaries over seeds, paired differences, and the tables and sentences made from them."""

from unsmooth.tables.findings import findings
from unsmooth.tables.layouts import (
    Table,
    cost_table,
    main_table,
    scores_table,
    segmentation_table,
    short_table,
)
from unsmooth.tables.scorecard import SCORECARD, scorecard, scorecard_table
from unsmooth.tables.summary import DIFFERENCES, SUMMARY, paired_differences, summarise
from unsmooth.tables.writing import write_table

__all__ = [
    "DIFFERENCES",
    "SCORECARD",
    "SUMMARY",
    "Table",
    "cost_table",
    "findings",
    "main_table",
    "paired_differences",
    "scorecard",
    "scorecard_table",
    "scores_table",
    "segmentation_table",
    "short_table",
    "summarise",
    "write_table",
]
