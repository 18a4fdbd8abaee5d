import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from unsmooth import metrics, monitors, scores
from unsmooth.scores import REGISTRY

DOCS = Path(__file__).parents[2] / "docs"


@cache
def generator():
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_docstrings_say():
    assert (DOCS / "metrics_and_scores.md").read_text() == page(), "run: python docs/generate.py"


FUNCTIONS = [name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))]


@cache
def page():
    return generator().page()


def entry_of(heading):
    """Text of one entry of the page."""
    found = re.search(rf"^#+ `{heading}[`(].*?(?=^##|\Z)", page(), re.MULTILINE | re.DOTALL)
    assert found, f"no entry {heading}"
    return found.group()


@pytest.mark.parametrize("name", [*REGISTRY, *FUNCTIONS])
def test_every_score_and_metric_has_formula_direction_and_source(name):
    entry = entry_of(name)
    description = entry.partition("\n")[2].partition("\n- `")[0]

    assert re.search(r"\$|=|\^|sum_|max_b|\bmean of\b|\bMinus\b|, less that", description), "no formula"
    assert re.search(r"\bbetter\b|more trusted|stronger evidence", entry), "no direction"
    assert "*Source:* " in entry


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_of_a_metric_has_a_meaning(name):
    function = getattr(metrics, name)

    assert list(generator().arguments(function)) == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("module", "name"),
    [(monitors, name) for name in monitors.__all__]
    + [(scores, name) for name in ("score_all", "fit_score", "top_pnorm_logits")],
)
def test_every_parameter_of_a_tool_has_a_meaning(module, name):
    value = getattr(module, name)
    entry_of(name)

    assert list(generator().arguments(value)) == list(inspect.signature(value).parameters)


@pytest.mark.parametrize("method", [name for name in vars(metrics.StreamingMetrics) if not name.startswith("_")])
def test_every_method_of_the_stream_is_listed(method):
    assert f"- `{method}" in entry_of("StreamingMetrics")


def test_signatures_show_defaults():
    assert "(logits, *, p, temperature=1.0, centring='mean', scale='log')" in entry_of("msp_pnorm")
    assert "(confidence, errors, *, convention='harmonic', sample_weight=None)" in entry_of("aurc")


def test_page_has_no_markup_of_docstrings_left():
    assert not re.search(r":(math|func|class|mod|data):|\.\. math", page())


def test_every_test_that_the_page_on_reliability_names_exists(pytestconfig):
    text = (DOCS / "reliability.md").read_text()
    file = None
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        file = (pytestconfig.rootpath / path).read_text() if path else file
        assert f"def {name}" in file
