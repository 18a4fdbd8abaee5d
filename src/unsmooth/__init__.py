"""Find, explain and repair the confidence that label smoothing breaks."""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unsmooth.classifier import SelectiveClassifier

__all__ = ["SelectiveClassifier", "__version__"]

__version__ = version("unsmooth")


def __getattr__(name: str) -> type["SelectiveClassifier"]:
    # On first use, so that `import unsmooth` and the metrics need no torch.
    if name == "SelectiveClassifier":
        from unsmooth.classifier import SelectiveClassifier

        return SelectiveClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
