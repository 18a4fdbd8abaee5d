"""Write docs/metrics_and_scores.md from the docstrings, or with `--check` see whether it is current."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from unsmooth import metrics, monitors, scores
from unsmooth.scores import REGISTRY
from unsmooth.scores.registry import Score

PAGE = Path(__file__).parent / "metrics_and_scores.md"
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "References", "Example")
NEEDS = {
    "logits": "logits",
    "features": "penultimate features",
    "last_layer": "the last layer",
    "training": "training features",
}
SCORE_TOOLS = ("score_all", "fit_score", "FittedScore", "top_pnorm_logits")
MODULES = {
    "selective": "Areas under the risk-coverage curve",
    "operating": "Operating points and the selective gap",
    "detection": "Errors as a detection problem",
    "balanced": "Class-balanced variants",
    "summary": "All selective metrics at once",
    "intervals": "Intervals and comparisons",
    "certificates": "Certified thresholds",
    "streaming": "Any number of samples",
    "calibration": "Calibration",
    "calibration_mbls": "Calibration as released with MbLS",
    "logit_distances": "Distances between logits",
    "segmentation": "Segmentation",
}


def main() -> None:
    """Write the page, or with `--check` exit with status 1 when it is not current."""
    text = page()
    if "--check" in sys.argv[1:]:
        sys.exit(
            PAGE.read_text(encoding="utf-8") != text and f"{PAGE.name} is not current: run python docs/generate.py"
        )
    PAGE.write_text(text, encoding="utf-8")


def page() -> str:
    """The whole page in Markdown."""
    parts = [
        "# Metrics and scores",
        "Written from the docstrings by `python docs/generate.py`; do not edit.\n"
        "A score turns logits into a confidence, larger for more trusted predictions; a metric judges a confidence by "
        "the errors it ranks.",
        "## Scores",
        _markdown(_split(scores)[""]),
        _score_table(),
        *(_score(entry) for entry in REGISTRY.values()),
        "### All at once, fitting, features",
        *(_entry(getattr(scores, name)) for name in SCORE_TOOLS),
        "## Metrics",
        _markdown(_split(metrics)[""]),
    ]
    for module, title in MODULES.items():
        parts += [f"### {title}", *_module(module)]
    parts += ["## Monitors for a training loop", _markdown(_split(monitors)[""])]
    parts += [_entry(getattr(monitors, name)) for name in monitors.__all__]
    return "\n\n".join(part for part in parts if part) + "\n"


def _score_table() -> str:
    rows = []
    for entry in REGISTRY.values():
        cells = (f"[`{entry.name}`](#{entry.name})", _markdown(entry.summary), ", ".join(entry.fitted), _needs(entry))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(["| score | what it is | fitted | needs |", "|---|---|---|---|", *rows])


def _needs(entry: Score) -> str:
    return ", ".join(text for need, text in NEEDS.items() if need in entry.needs)


def _score(entry: Score) -> str:
    function = getattr(entry.function, "func", entry.function)
    defaults = ", ".join(f"{name} = {value}" for name, value in entry.defaults.items())
    facts = [f"Larger is more trusted. Needs {_needs(entry)}."]
    if entry.fitted:
        facts.append(f"Fitted on validation data: {', '.join(entry.fitted)}.")
    if defaults:
        facts.append(f"Without fitting: {defaults}.")
    return "\n\n".join(
        [f"### `{entry.name}`", f"`{_signature(entry.function)}`", _described(function), " ".join(facts)]
    )


def _module(name: str) -> list[str]:
    module = import_module(f"unsmooth.metrics.{name}")
    public = [getattr(metrics, member) for member in metrics.__all__]
    members = [value for value in public if getattr(value, "__module__", None) == module.__name__]
    members.sort(key=lambda value: inspect.getsourcelines(value)[1])
    return [_markdown(_split(module)[""]), *map(_entry, members)]


def _entry(value: Callable[..., Any]) -> str:
    """Signature and description; of a class with behaviour its methods too."""
    parts = [f"#### `{_signature(value)}`", _described(value)]
    if inspect.isclass(value) and not hasattr(value, "__dataclass_fields__"):
        for name, member in vars(value).items():
            if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                described = getattr(value, name)
                shown = name if isinstance(member, property) else _signature(described)
                text = " ".join(_markdown(_split(described)[""]).split())
                meanings = {} if isinstance(member, property) else arguments(described)
                text += "".join(f" `{each}`: {_markdown(meaning)}" for each, meaning in meanings.items())
                parts.append(f"- `{shown}`: {text}")
    return "\n\n".join(parts)


def _signature(value: Callable[..., Any]) -> str:
    """Name and parameters with their defaults."""
    name = getattr(getattr(value, "func", value), "__name__", "")
    names = []
    for parameter in inspect.signature(value).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        names.append("**" * (parameter.kind is parameter.VAR_KEYWORD) + parameter.name + default)
    return f"{name}({', '.join(names)})"


def _default(value: object) -> str:
    return "..." if callable(value) else repr(value)


def _described(value: Callable[..., Any]) -> str:
    """Text, formula, parameters, result with its direction, conditions and source of a docstring."""
    sections = _split(value)
    parts = [_markdown(sections[""])]
    meanings = arguments(value)
    if meanings:
        parts.append("\n".join(f"- `{name}`: {_markdown(meaning)}" for name, meaning in meanings.items()))
    for title, label in (
        ("Attributes", "Holds"),
        ("Returns", "Returns"),
        ("Raises", "Refuses"),
        ("References", "Source"),
    ):
        if title in sections:
            parts.append(f"*{label}:* " + " ".join(_markdown(sections[title]).split()))
    return "\n\n".join(parts)


def arguments(value: Callable[..., Any]) -> Mapping[str, str]:
    """Meaning of each parameter, from the docstring or from the one that it refers to by "Arguments as `name`"."""
    sections, found = _split(value), {}
    reference = re.search(r"[Aa]rguments(?:\s+and\s+errors\s+raised)?\s+as\s+`(\w+)`", sections[""])
    if reference:
        found |= arguments(getattr(metrics, reference.group(1)))
    for names, meaning in re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n +.*)*)", sections.get("Args", ""), re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return {name: found[name] for name in inspect.signature(value).parameters if name in found}


def _split(value: object) -> dict[str, str]:
    """Docstring by section; "" is the text before the first."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in (inspect.getdoc(value) or "").splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            current = line.rstrip(":")
            sections[current] = []
        else:
            sections[current].append(line)
    return {name: inspect.cleandoc("\n".join(lines)) for name, lines in sections.items()}


def _markdown(text: str) -> str:
    """reStructuredText as Markdown: display and inline mathematics, references, literals."""
    text = re.sub(r"^\.\. math:: (.*(?:\n[ \t]+.*)*)", _display, text, flags=re.MULTILINE)
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":(?:func|class|meth|mod|data):`~?(?:unsmooth\.(?:scores|metrics)\.)?([^`]*)`", r"`\1`", text)
    return text.replace("``", "`")


def _display(match: re.Match[str]) -> str:
    return f"$$\n{' '.join(match.group(1).split())}\n$$"


if __name__ == "__main__":
    main()
