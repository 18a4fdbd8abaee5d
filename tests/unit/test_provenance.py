import re

import pytest

from unsmooth.config.specs import module_file
from unsmooth.runtime import provenance
from unsmooth.runtime.provenance import code_hash, git_commit, versions


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "used.py").write_text(
        '"""Doc."""\nfrom unsmooth.deeper import x\n\ndef f():\n    """Doc."""\n    return 1\n'
    )
    (tmp_path / "deeper.py").write_text("x = 1\n")
    (tmp_path / "unused.py").write_text("y = 1\n")
    script = tmp_path / "script.py"
    script.write_text("import os\n\ndef main():\n    from unsmooth.used import f\n    return f\n")

    def current():
        provenance._tree.cache_clear()
        provenance.source_digest.cache_clear()
        return code_hash(script)

    return tmp_path, current


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("used.py", "# comment\nfrom unsmooth.deeper import x\n\n\ndef f():\n    '''Other.'''\n    return 1\n"),
        ("unused.py", "y = 2\n"),
    ],
)
def test_comments_docstrings_formatting_and_unused_modules_do_not_count(package, file, text):
    folder, current = package
    before = current()
    (folder / file).write_text(text)

    assert current() == before


@pytest.mark.parametrize(("file", "text"), [("used.py", "def f():\n    return 2\n"), ("deeper.py", "x = 2\n")])
def test_code_that_is_used_directly_or_not_counts(package, file, text):
    folder, current = package
    before = current()
    (folder / file).write_text(text)

    assert current() != before


def test_metrics_do_not_decide_weights_but_the_architecture_does(pytestconfig):
    train = pytestconfig.rootpath / "workflow" / "scripts" / "train.py"
    reached, pending = set(), [train]
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending += provenance._imported_modules(path)

    assert {"loop.py", "losses.py", "loading.py"} <= {path.name for path in reached}
    assert not any(path.parent.name in ("metrics", "scores") for path in reached)
    assert code_hash(train) != code_hash(train, module_file("unsmooth.models.mlp:Mlp"))


def test_commit_is_a_hash_or_unknown(monkeypatch, tmp_path):
    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", git_commit())
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert git_commit() == "unknown"


def test_versions_name_what_is_missing():
    found = versions("numpy", "no-such-package")

    assert found["python"].startswith("3.") and found["numpy"][0].isdigit()
    assert found["no-such-package"] == "not installed"
