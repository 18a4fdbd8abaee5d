"""Reading and validation of the YAML files of configuration and experiments.

A missing file, no YAML, a duplicate key, a number in base 8 or 60, and a wrong key, type or range raise `ConfigError`,
one line per fault.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from unsmooth.config.errors import ConfigError, suggestion, validated
from unsmooth.config.kinds import Experiment, LogitsExperiment, WeightsExperiment
from unsmooth.config.settings import Config
from unsmooth.config.specs.base import NAME_PATTERN

REPLACED = {"logits": ("dataset", "architectures", "recipe", "weights"), "weights": ("recipe",)}
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _StrictLoader(yaml.SafeLoader):
    """YAML loader that refuses what YAML silently reads as something else.

    Of duplicate keys it would keep the last value; 1:30 would be 90, 010 would be 8, and the key no would be False.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401
        # Merge keys (<<) still stand here as they were written; construction replaces them by what they merge.
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key, str):
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                read_as = self.construct_object(key_node)
                raise _refused(f"the key {key} would be read as {read_as}; expected text, as in '{key}'", key_node)
            if key in seen:
                raise _refused(f"the key {key!r} occurs twice in one mapping", key_node)
            seen.add(key)
            for entry in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                if entry.tag in _NUMBER_TAGS and re.search(r":|^[-+]?0\d", entry.value):
                    read_as = self.construct_object(entry)
                    raise _refused(f"{key}: {entry.value} would be read as {read_as}; expected a decimal number", entry)
        return node


def _refused(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def parse_config(data: Mapping[str, Any]) -> Config:
    return validated(Config, data, "config")


def load_config(paths: Sequence[Path]) -> Config:
    """Read and validate configuration files; later files override earlier ones."""
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _laid_over(merged, read_yaml(path, f"configuration {path}"))
    return validated(Config, merged, f"configuration {', '.join(map(str, paths))}")


def experiment_path(entry: str, folder: Path) -> Path:
    """Return the file of an entry of `Config.experiments`: a name in `folder`, or a path with suffix .yaml."""
    is_path = "/" in entry or entry.endswith((".yaml", ".yml"))
    return Path(entry).expanduser() if is_path else folder / f"{entry}.yaml"


def load_experiment(path: Path) -> Experiment | WeightsExperiment | LogitsExperiment:
    """Read and validate an experiment file; the keys `weights` and `logits` replace training."""
    if not re.fullmatch(NAME_PATTERN, path.stem):
        raise ConfigError(f"experiment file {path} must be named in lower-case letters, digits and _, from a letter on")
    data = read_yaml(path, f"experiment file {path}")
    source = next((key for key in ("logits", "weights") if key in data), None)
    if source and (replaced := [key for key in REPLACED[source] if key in data]):
        raise ConfigError(f"{path}: {source} takes the place of {' and '.join(replaced)}: remove one or the other")
    if "logits" in data:
        return validated(LogitsExperiment, data, str(path))
    kind: type[Experiment | WeightsExperiment] = WeightsExperiment if "weights" in data else Experiment
    ours = validated(kind, data, str(path))
    released = validated(kind, _switched_back(data), f"{path} as released")
    return released if ours.as_released else ours


def read_yaml(path: Path, called: str) -> Mapping[str, Any]:
    """Read a YAML file of keys and values; messages name it `called`."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        known = sorted(other.stem for other in path.parent.glob("*.yaml") if other.exists())
        raise ConfigError(f"{called} does not exist{suggestion(path.stem, known)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{called} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{called}{line} is not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # an impossible date, or thousands of brackets
        raise ConfigError(f"{called} is not YAML: {error}") from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{called}: expected a mapping of keys to values, got {type(data).__name__}")
    return data


def _switched_back(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an experiment with the released values of its switchable deviations; given weights need no recipe."""
    if isinstance(data.get("deviations"), list):
        for deviation in data["deviations"]:
            if isinstance(deviation, Mapping) and isinstance(released := deviation.get("as_released"), Mapping):
                unused = {"recipe"} if "weights" in data else set()
                data = _laid_over(data, {key: value for key, value in released.items() if key not in unused})
    return data


def _laid_over(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` updated by `changes`, nested mappings included."""
    return {**data} | {
        key: _laid_over(data[key], value)
        if isinstance(value, Mapping) and isinstance(data.get(key), Mapping)
        else value
        for key, value in changes.items()
    }
