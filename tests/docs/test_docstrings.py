"""Every score and metric is documented: formula, direction, source and the meaning of each parameter."""

import inspect
import re
from importlib import import_module

import pytest

from unsmooth import metrics, monitors, scores
from unsmooth.scores import SCORES

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "References", "Example")
SPECIAL = {  # metrics that their modules export alone
    "balanced": ["balanced_augrc", "balanced_aurc", "balanced_risk_coverage"],
    "calibration": ["fail_nll", "mce", "top_label_brier"],
    "detection": ["ap_errors", "ap_successes"],
    "operating": ["sac", "selective_gap_terms"],
    "selective": ["eaugrc", "partial_aurc"],
}
METRICS = {name: getattr(metrics, name) for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
METRICS |= {
    name: getattr(import_module(f"unsmooth.metrics.{module}"), name) for module in SPECIAL for name in SPECIAL[module]
}
FUNCTIONS = {name: getattr(entry.function, "func", entry.function) for name, entry in SCORES.items()}


def sections(value):
    """The docstring by section; "" is the text before the first."""
    found, current = {"": []}, ""
    for line in inspect.getdoc(value).splitlines():
        if line.endswith(":") and line.rstrip(":") in SECTIONS:
            current = line.rstrip(":")
            found[current] = []
        else:
            found[current].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def arguments(value):
    """Parameters with a meaning, from the docstring or from the one to which "Arguments as `name`" refers."""
    parts = sections(value)
    reference = re.search(r"[Aa]rguments(?:\s+and\s+errors\s+raised)?\s+as\s+`(\w+)`", parts[""])
    found = arguments(METRICS[reference[1]]) if reference else set()
    for names in re.findall(r"^ *(\w+(?:, \w+)*): ", parts.get("Args", ""), re.MULTILINE):
        found |= set(names.split(", "))
    return found


@pytest.mark.parametrize(("name", "function"), [*FUNCTIONS.items(), *METRICS.items()])
def test_every_score_and_metric_has_formula_and_source(name, function):
    parts = sections(function)

    assert re.search(r":math:|math::|=|\^|sum_|max_b|\bmean of\b|\bMinus\b|, less that", parts[""]), "no formula"
    assert parts["References"].strip()


@pytest.mark.parametrize(("name", "function"), METRICS.items())
def test_every_metric_has_a_direction(name, function):
    assert re.search(r"\bbetter\b|more trusted|stronger evidence", inspect.getdoc(function))


def test_every_score_is_larger_for_more_trusted_predictions():
    assert "larger = more trusted" in inspect.getdoc(scores)


TOOLS = [getattr(monitors, name) for name in monitors.__all__] + [
    scores.score_all,
    scores.fit_score,
    scores.top_pnorm_logits,
]


@pytest.mark.parametrize("function", [*METRICS.values(), *TOOLS])
def test_every_parameter_has_a_meaning(function):
    assert set(inspect.signature(function).parameters) <= arguments(function)


@pytest.mark.parametrize("method", [name for name in vars(metrics.StreamingMetrics) if not name.startswith("_")])
def test_every_method_of_the_stream_is_documented(method):
    assert inspect.getdoc(getattr(metrics.StreamingMetrics, method))


def test_every_test_that_the_page_on_reliability_names_exists(pytestconfig):
    text = (pytestconfig.rootpath / "docs/reliability.md").read_text()
    file = None
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        file = (pytestconfig.rootpath / path).read_text() if path else file
        assert f"def {name}" in file
