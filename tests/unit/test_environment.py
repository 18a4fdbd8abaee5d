"""The lock file, the conda environments and pyproject.toml say the same."""

import re
import tomllib

import pytest
import yaml


def locked(root):
    """Version of every package; where several platforms or Pythons differ, that of Python 3.11."""
    text = (root / "requirements.lock").read_text()
    found = {}
    for name, version, marker in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\$", text, re.MULTILINE):
        if "python_full_version >= '3.12'" not in marker:
            found[name.lower()] = version
    return found


@pytest.mark.parametrize("environment", ["train", "report"])
def test_conda_environments_have_the_locked_versions(pytestconfig, environment):
    content = yaml.safe_load((pytestconfig.rootpath / "envs" / f"{environment}.yaml").read_text())
    versions = locked(pytestconfig.rootpath)

    pins = dict(pin.split("==") for pin in content["dependencies"][-1]["pip"])

    assert len(pins) > 5
    assert pins == {name: versions[name] for name in pins}


def test_every_dependency_is_locked_with_hashes_and_without_an_index(pytestconfig):
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    text = (pytestconfig.rootpath / "requirements.lock").read_text()
    wanted = [
        *project["dependencies"],
        *(need for extra in project["optional-dependencies"].values() for need in extra),
    ]
    wanted = [need for need in wanted if not need.startswith("unsmooth[")]

    assert {re.split(r"[<>=!]", need)[0].lower() for need in wanted} <= set(locked(pytestconfig.rootpath))
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_torch_is_2_14_or_newer_with_matching_torchvision(pytestconfig):
    versions = locked(pytestconfig.rootpath)

    assert tuple(map(int, versions["torch"].split(".")[:2])) >= (2, 14)
    assert "torchvision" in versions
