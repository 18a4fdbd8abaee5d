"""Configuration of the documentation site; `make docs` builds it."""

from unsmooth import __version__
from unsmooth.config.specs.architectures import ARCHITECTURES
from unsmooth.config.specs.datasets import DATASETS
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.scores import SCORES, Score

project = "unsmooth"
author = "The unsmooth developers"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["build"]
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "unsmooth"
html_show_copyright = False
html_static_path: list[str] = []


def _table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table; the first row is its head."""
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    head, *body = (f"| {' | '.join(row)} |" for row in escaped)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def _fitted(score: Score) -> str:
    return ", ".join(f"`{name}`: {parameter}" for name, parameter in score.fitted.items())


def _summary(documented: object) -> str:
    return f"{documented.__doc__}".splitlines()[0]


myst_substitutions = {
    "losses": _table(
        ("kind", "what it is", "strength `alpha`", "source"),
        *(
            (f"`{loss.name}` ({loss.label})", loss.summary, f"{loss.alpha or 'none'}", loss.source)
            for loss in LOSSES.values()
        ),
    ),
    "scores": _table(
        ("score", "label", "needs", "fitted on validation data", "source"),
        *(
            (f"`{score.name}`", score.label, ", ".join(sorted(score.needs)), _fitted(score), score.source)
            for score in SCORES.values()
        ),
    ),
    **{
        name: _table(
            ("kind", "what it is"),
            *((f"`{kind}`", (spec.__doc__ or "").splitlines()[0]) for kind, spec in found.items()),
        )
        for name, found in (("datasets", DATASETS), ("architectures", ARCHITECTURES))
    },
}
