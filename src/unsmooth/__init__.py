"""Find, explain and repair the confidence that label smoothing breaks."""

from importlib.metadata import version

__version__ = version("unsmooth")
