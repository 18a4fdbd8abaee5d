import re

from unsmooth.runtime import provenance
from unsmooth.runtime.provenance import git_commit, versions


def test_commit_is_a_hash_or_unknown(monkeypatch, tmp_path):
    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", git_commit())
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert git_commit() == "unknown"


def test_versions_name_what_is_missing():
    found = versions("numpy", "no-such-package")

    assert found["python"].startswith("3.") and found["numpy"][0].isdigit()
    assert found["no-such-package"] == "not installed"
