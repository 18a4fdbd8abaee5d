"""Figures: each function turns tables or logits into a figure and the frame behind it.

A figure is in percent, its data are fractions. Sizes are in inches, and the height follows from the content; `losses`
are those of the experiment; frames named `summary` come from `tables.summarise`, others have the columns `CELL` and
those named. Missing columns or rows raise ValueError, and so do several experiments or architectures in one figure.
"""
