import importlib.util
import re
from pathlib import Path

from unsmooth import metrics
from unsmooth.scores import REGISTRY

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_docstrings_say():
    assert (DOCS / "metrics_and_scores.md").read_text() == generator().page(), "run: python docs/generate.py"


def test_page_lists_every_score_and_metric():
    text = generator().page()
    functions = [name for name in metrics.__all__ if callable(getattr(metrics, name)) and name[0].islower()]

    assert all(f"### `{name}`" in text for name in REGISTRY)
    assert all(f"#### `{name}(" in text for name in functions)


def test_page_has_no_markup_of_docstrings_left():
    assert not re.search(r":(math|func|class|mod|data):|\.\. math", generator().page())
