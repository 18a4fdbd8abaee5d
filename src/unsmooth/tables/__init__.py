"""Summaries over seeds, paired differences, and tables and sentences from them.

`summary` is the result of `summarise`, `differences` that of `paired_differences`, `losses` those of the experiment.
Missing columns or rows raise ValueError.
"""
