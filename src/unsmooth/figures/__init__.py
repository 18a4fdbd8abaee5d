"""Figures: each function turns tables or logits into a figure and its data.

Sizes are in inches; `losses` are those of the experiment. Missing columns or rows raise ValueError, and so do several
experiments or architectures in one figure.
"""
