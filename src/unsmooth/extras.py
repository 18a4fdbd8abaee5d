"""Optional dependencies: which extra of the package installs what, and an error that says so."""

from collections.abc import Iterator
from contextlib import contextmanager

# Top-level module -> extra in pyproject.toml.
EXTRAS = {
    "pandas": "tables",
    "pyarrow": "tables",
    "tabulate": "tables",
    "matplotlib": "plots",
    "seaborn": "plots",
    "jinja2": "html",
    "plotly": "html",
    "torchmetrics": "metrics",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "nltk": "training",
    "PIL": "training",
    "requests": "training",
    "timm": "training",
    "torchvision": "training",
    "pydantic": "training",
    "snakemake": "workflow",
    "yaml": "workflow",
}


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""


@contextmanager
def named_extras() -> Iterator[None]:
    """Replace the error of a missing optional dependency, imported in the block, by one that names its extra.

    Raises:
        MissingExtraError: a module of `EXTRAS` is not installed.

    Example:
        >>> with named_extras():
        ...     raise ModuleNotFoundError(name="plotly.offline")
        Traceback (most recent call last):
        unsmooth.extras.MissingExtraError: plotly is not installed; run: pip install "unsmooth[html]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingExtraError(
            f'{package} is not installed; run: pip install "unsmooth[{EXTRAS[package]}]"', name=package
        ) from None
