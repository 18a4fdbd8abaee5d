"""Configuration: checked settings, experiment files and the grid of cells."""
