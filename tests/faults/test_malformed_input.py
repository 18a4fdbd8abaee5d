"""A thousand malformed configurations and logits files: each is read as what it says, or refused in one error."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsmooth.config.errors import ConfigError
from unsmooth.config.kinds import Experiment
from unsmooth.config.loading import load_config, load_experiment
from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.logits_file import LogitsFileError, read_logits, write_logits
from unsmooth.runtime.provenance import canonical_json

pytestmark = [pytest.mark.faults, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
SHIPPED = [yaml.safe_load(path.read_text()) for path in sorted((REPOSITORY / "experiments").glob("*.yaml"))]
CONFIGURATION = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
many = settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])


def paths_in(data, path=()):
    """Return the place of every value in nested mappings and lists."""
    places = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, value in places for found in paths_in(value, (*path, key)))]


def replaced(data, path, value):
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["{seed}", "../up", "0.10", "ls", "1e3", "", "a/b", float("1e308"), 10**400]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@many
@given(data=st.data())
def test_experiment_with_another_value_somewhere_is_read_or_refused(tmp_path, data):
    original = data.draw(st.sampled_from(SHIPPED))
    place = data.draw(st.sampled_from(paths_in(original)))
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(replaced(original, place, data.draw(values))))

    try:
        found = load_experiment(path)
    except ConfigError as error:
        assert str(error).count(str(path)) >= 1
        return
    cells = found.cells("study")
    assert len({cell.folder for cell in cells}) == len(cells) > 0
    for cell in cells:
        assert ".." not in cell.folder
        if isinstance(found, Experiment):
            assert json.loads(canonical_json(found.training(cell)))["seed"] == cell.seed


@many
@given(data=st.data())
def test_configuration_with_another_value_somewhere_is_read_or_refused(tmp_path, data):
    place = data.draw(st.sampled_from(paths_in(CONFIGURATION)))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(replaced(CONFIGURATION, place, data.draw(values))))

    try:
        found = load_config([path])
    except ConfigError as error:
        assert str(error).startswith("config")
        return
    assert 0 < min(found.evaluation.risk_at_coverage, default=1) <= 1 and found.figures.width > 0


@settings(many, max_examples=100)
@given(text=st.text() | st.binary() | st.sampled_from(["2001-99-99", "[" * 5000, "a: &x [*x]", "!!python/x"]))
def test_text_that_is_no_configuration_is_refused(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    for read in (load_experiment, lambda path: load_config([path])):
        with pytest.raises(ConfigError):
            read(path)


LOGITS = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
CLASSES = np.random.default_rng(1).integers(0, 5, 40)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    """A valid file in every format, as bytes by suffix."""
    folder = tmp_path_factory.mktemp("dumps")
    write_logits(folder / "dump.safetensors", LOGITS, CLASSES, metadata={"split": "test"})
    np.savez(folder / "dump.npz", logits=LOGITS, targets=CLASSES)
    torch.save({"logits": torch.from_numpy(LOGITS), "targets": torch.from_numpy(CLASSES)}, folder / "dump.pt")
    table = pd.DataFrame(LOGITS, columns=list("abcde")).assign(target=CLASSES)
    table.to_csv(folder / "dump.csv", index=False)
    table.to_parquet(folder / "dump.parquet")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@st.composite
def damaged(draw, content):
    """Bytes cut off, changed, put in or taken out, up to three times."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        content = draw(
            st.sampled_from([content[:start], content[:start] + content[end:]])
            | st.binary(max_size=40).map(lambda new, c=content, s=start, e=end: c[:s] + new + c[e:])
        )
    return content


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".csv", ".parquet"])
@settings(many, max_examples=250)
@given(data=st.data())
def test_damaged_logits_are_refused_or_are_logits(tmp_path, dumps, suffix, data):
    path = tmp_path / f"dump{suffix}"
    path.write_bytes(data.draw(damaged(dumps[suffix])))

    try:
        found = read_any(path)
    except LogitsFileError as error:
        assert str(error).startswith(str(path))
        return
    assert found.logits.ndim == 2 and found.targets.shape == (len(found.logits),)
    assert found.targets.min() >= 0 and found.targets.max() < found.logits.shape[1]
    assert not np.isnan(found.logits).any()


@settings(many, max_examples=1000)
@given(data=st.data())
def test_damaged_file_of_ours_is_refused_or_unchanged(tmp_path, dumps, data):
    path = tmp_path / "test.safetensors"
    path.write_bytes(data.draw(damaged(dumps[".safetensors"])))

    try:
        found = read_logits(path)
    except LogitsFileError as error:
        assert str(error).startswith(str(path))
        return
    assert (found.logits == LOGITS).all() and (found.targets == CLASSES).all()
