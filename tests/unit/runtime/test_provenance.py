import platform
import re
from pathlib import Path

from unsmooth.runtime import provenance
from unsmooth.runtime.provenance import git_commit, processor, versions


def test_commit_is_a_hash_or_unknown(monkeypatch, tmp_path):
    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", git_commit())
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert git_commit() == "unknown"


def test_processor_has_the_name_that_linux_gives_it_or_its_architecture(monkeypatch):
    text = "processor\t: 0\nmodel name\t: AMD EPYC 9554\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert processor() == "AMD EPYC 9554"
    monkeypatch.setattr(Path, "read_text", lambda path: "processor\t: 0\n")
    assert processor() == (platform.processor() or platform.machine())


def test_versions_name_what_is_missing():
    found = versions("numpy", "no-such-package")

    assert found["python"].startswith("3.") and found["numpy"][0].isdigit()
    assert found["no-such-package"] == "not installed"
