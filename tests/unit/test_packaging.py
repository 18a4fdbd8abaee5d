"""The extras of pyproject.toml, the public names and the folder of `unsmooth init`."""

import re
import tomllib

import pytest

import unsmooth
from unsmooth.extras import EXTRAS, MissingExtraError, named_extras
from unsmooth.runtime import project
from unsmooth.runtime.project import PARTS, ProjectError, create_project

DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}  # where the module has another name


@pytest.fixture
def declared(pytestconfig):
    return tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())


def test_every_named_extra_installs_its_module(declared):
    extras = declared["project"]["optional-dependencies"]

    for module, extra in EXTRAS.items():
        installed = {re.split(r"[<>=!]", need)[0] for need in extras[extra]}
        assert DISTRIBUTIONS.get(module, module) in installed


def test_missing_extra_is_named_with_its_install_command():
    with (
        pytest.raises(MissingExtraError, match=r'^plotly is not installed; run: pip install "unsmooth\[html\]"$'),
        named_extras(),
    ):
        raise ModuleNotFoundError(name="plotly.offline")


def test_missing_module_of_another_package_keeps_its_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), named_extras():
        import no_such_package  # noqa: F401


def test_every_public_name_is_there():
    for name in unsmooth.__all__:
        assert getattr(unsmooth, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        unsmooth.nothing  # noqa: B018


def test_init_lays_out_the_whole_workflow(tmp_path, declared):
    create_project(tmp_path / "study")

    assert {path.name for path in (tmp_path / "study").iterdir()} == set(PARTS)
    assert (tmp_path / "study/workflow/scripts/train.py").exists()
    assert not list((tmp_path / "study").rglob("__pycache__"))


def test_init_copies_what_a_wheel_holds(tmp_path, monkeypatch, declared):
    included = declared["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    installed = tmp_path / "site-packages" / "project"
    create_project(installed)
    monkeypatch.setattr(project, "INSTALLED", installed)

    create_project(tmp_path / "study")

    assert included == {part: f"unsmooth/project/{part}" for part in PARTS}
    assert (tmp_path / "study" / "Snakefile").read_bytes() == (installed / "Snakefile").read_bytes()


def test_init_never_writes_into_a_folder_in_use(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ProjectError, match="must be a new or an empty folder"):
        create_project(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
