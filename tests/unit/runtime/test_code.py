from pathlib import Path

import pytest

from unsmooth.runtime import code
from unsmooth.runtime.code import code_hash, definitions, is_defined
from unsmooth.runtime.definitions import parse_ahead, parsed

FILES = {
    "__init__.py": "",
    "named.py": "from unsmooth.used import f, g\n\nKINDS = {'f': f}\n",
    "used.py": """
import math
from unsmooth import deeper
from unsmooth.runtime.log import log

def f(value=deeper.x):
    from unsmooth.late import late
    log()
    return math.sqrt(value) + late()

def g():
    return 2
""",
    "deeper.py": "x = 1\ny = 2\n",
    "late.py": "def late():\n    return 0\n",
    "target.py": "class Target:\n    pass\n",
    "registry/__init__.py": "",
    "registry/scores.py": "from unsmooth.used import g\n",
    "runtime/log.py": "def log():\n    print('a line')\n",
}
SCRIPT = "import json\nfrom unsmooth.named import f\nfrom unsmooth.registry.scores import g\n\nprint(f, g, json)\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package and a script, and their fingerprint now."""
    folder = tmp_path / "unsmooth"
    monkeypatch.setattr(code, "PACKAGE", folder)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def current(*targets):
        for function in (code._module, code._used, code_hash):
            function.cache_clear()
        return code_hash(script, *targets)

    return folder, current


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("used.py", "deeper.x):", 'deeper.x):  # comment\n    """Docstring."""'),
        ("used.py", "return 2", "return 3"),
        ("used.py", "def g", "def new():\n    return math.pi\n\n\ndef g"),
        ("used.py", "import math", "import math, sys\nfrom typing import Any"),
        ("deeper.py", "y = 2", "y = 3"),
        ("named.py", "KINDS = {'f': f}", "KINDS = {'f': f, 'g': g}"),
        ("registry/scores.py", "import g", "import g as g"),
        ("runtime/log.py", "a line", "another"),
        ("target.py", "pass", "x = 1"),
    ],
)
def test_what_the_script_does_not_reach_does_not_count(package, file, old, new):
    folder, current = package
    before = current()
    edit(folder / file, old, new)

    assert current() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("../script.py", "print(f", "print(1, f"),
        ("used.py", "math.sqrt", "math.cbrt"),
        ("used.py", "import math", "import cmath as math"),
        ("used.py", "def g", "print('imported')\n\n\ndef g"),
        ("deeper.py", "x = 1", "x = 3"),
        ("late.py", "return 0", "return 1"),
        ("named.py", "import f, g", "import g as f"),
    ],
)
def test_what_the_script_reaches_directly_or_not_counts(package, file, old, new):
    folder, current = package
    before = current()
    edit(folder / file, old, new)

    assert current() != before


def test_target_named_in_text_counts_where_it_is_an_entry(package):
    folder, current = package
    before = current("unsmooth.target:Target")
    edit(folder / "target.py", "pass", "x = 1")

    assert current() != before != current("unsmooth.target:Target")


@pytest.mark.parametrize("script", ["train", "score", "evaluate", "collect", "draw_pnorm_sweep"])
def test_infrastructure_decides_no_result(pytestconfig, script):
    reached = definitions(pytestconfig.rootpath / "workflow" / "scripts" / f"{script}.py")

    assert len(reached) > 1
    assert not any(file.split("/")[1] in code.INFRASTRUCTURE for file in reached)


def test_metrics_do_not_decide_weights_but_the_architecture_does(pytestconfig):
    train = pytestconfig.rootpath / "workflow" / "scripts" / "train.py"
    reached = definitions(train)

    assert {"unsmooth/training/loop.py", "unsmooth/data/loading.py"} <= reached.keys()
    assert not any(file.startswith(("unsmooth/metrics/", "unsmooth/scores/")) for file in reached)
    assert code_hash(train) != code_hash(train, "unsmooth.models.mlp:Mlp")


def test_module_that_is_being_edited_does_not_stop_the_parsing_of_others(tmp_path):
    texts = {"edited.py": "def f(:\n", "whole.py": f"def whole_{tmp_path.name}(): pass\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    misses = parsed.cache_info().misses
    parse_ahead([tmp_path / name for name in texts])

    assert parsed.cache_info().misses == misses + 2
    assert parsed(texts["whole.py"]).digest(f"whole_{tmp_path.name}") is not None
    assert parsed.cache_info().misses == misses + 2


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("unsmooth.losses.smoothing:LabelSmoothing", True),
        ("unsmooth.losses:LabelSmoothing", True),  # re-exported
        ("elsewhere.losses:Own", True),  # of another package, not read
        ("unsmooth.losses.smoothing:Smoothing", False),
        ("unsmooth.losses.smooth:LabelSmoothing", False),
        ("unsmooth.losses.smoothing.LabelSmoothing", False),
        ("LabelSmoothing", False),
    ],
)
def test_targets_are_found_without_their_import(target, expected):
    assert is_defined(target) == expected
