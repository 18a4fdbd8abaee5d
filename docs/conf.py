"""Configuration of the documentation site; `make docs` builds it."""

from unsmooth import __version__

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
html_static_path: list[str] = []
