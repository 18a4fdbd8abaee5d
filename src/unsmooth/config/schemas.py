"""JSON schemas of config.yaml and experiment files, for completion and validation in editors."""

from typing import Any

from pydantic import TypeAdapter

from unsmooth.config.kinds import Experiment, LogitsExperiment, WeightsExperiment
from unsmooth.config.settings import Config

SCHEMAS: dict[str, Any] = {"config": Config, "experiment": Experiment | WeightsExperiment | LogitsExperiment}
BY_KIND = ("architectures", "losses")  # mappings in which a key is the default kind


def schema(name: str) -> dict[str, Any]:
    found = _untitled(TypeAdapter(SCHEMAS[name]).json_schema())
    for definition in found.get("$defs", {}).values():
        for key in BY_KIND:
            if key in definition.get("properties", {}):
                _take_keys_for_kinds(definition["properties"][key])
    return found


def _untitled(part: Any) -> Any:  # noqa: ANN401
    """Drop generated titles; a property named title is a mapping and stays."""
    if isinstance(part, dict):
        return {key: _untitled(value) for key, value in part.items() if not (key == "title" and isinstance(value, str))}
    return [_untitled(value) for value in part] if isinstance(part, list) else part


def _take_keys_for_kinds(mapping: dict[str, Any]) -> None:
    """Allow an entry whose key is a kind to omit the kind, or to be empty."""
    [(pattern, named)] = mapping.pop("patternProperties").items()
    explicit = {"required": ["kind"], **named}
    mapping["propertyNames"] = {"pattern": pattern}
    mapping["properties"] = {
        kind: {"anyOf": [{"$ref": entry}, {"type": "null"}, explicit]}
        for kind, entry in named["discriminator"]["mapping"].items()
    }
    mapping["additionalProperties"] = explicit
