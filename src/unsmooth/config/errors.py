"""Configuration errors that name the key, the value and the expected values."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from unsmooth.config.specs.base import Spec

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """The configuration is invalid; the message names file, key, value and expected values."""


def validated(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Return `data` as a validated `model`; `ConfigError` with one line per fault, each beginning with `source`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_describe(dict(fault), data) for fault in error.errors()]
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in faults)) from None


def _describe(fault: dict[str, Any], data: Any) -> str:
    where = _location(fault["loc"], data, fault["type"])
    message = fault["msg"].removeprefix("Value error, ")
    message = (message[:1].lower() + message[1:]).replace("input should", "must").replace("string should", "must")
    match fault["type"]:
        case "extra_forbidden":
            key, known = str(fault["loc"][-1]), sorted(set(_known_keys()))
            elsewhere = f"; {key!r} is a key of other parts"
            return f"unknown key {where!r}{elsewhere if key in known else suggestion(key, known)}"
        case "missing":
            return f"key {where!r} is missing"
        case "too_short":
            return f"{where}: must not be empty"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{where}: must be a mapping of keys to values, got {fault['input']!r}"
        case "union_tag_not_found":
            return f"key '{where}.kind' is missing"
        case "union_tag_invalid":
            expected, came = fault["ctx"]["expected_tags"], fault["ctx"]["tag"]
            return f"{where}: unknown kind {came!r}, expected one of {expected}"
        case "value_error":
            return f"{where}: {message}" if where else message
        case _:
            return f"{where}: {message}, got {fault['input']!r}"


def _location(parts: tuple[Any, ...], data: Any, fault_type: str) -> str:
    """Join the keys of a location, without the union tags that pydantic adds."""
    kept = []
    for part in parts:
        if isinstance(data, Mapping) and part in data or isinstance(data, list) and part in range(len(data)):
            kept.append(part)
            data = data[part]
    return ".".join(map(str, (*kept, *parts[-1:]) if fault_type == "missing" else kept))


def _known_keys(model: type[BaseModel] = Spec) -> Iterator[str]:
    yield from model.model_fields
    for kind in model.__subclasses__():
        yield from _known_keys(kind)


def suggestion(word: str, known: list[str]) -> str:
    """Return the end of a sentence on an unknown `word`: the closest of `known`, or all if they are few."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}" if 0 < len(known) < 12 else ""
