"""Base of all parts of the configuration: strict, frozen, with numbers in range."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

NAME_PATTERN = r"[a-z][a-z0-9_]*"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

K = TypeVar("K", bound="Kind")


class Spec(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_numbers(cls, data: object) -> object:
        """Refuse the truths that YAML makes of yes and on, which pydantic would read as 1."""
        for key, value in data.items() if isinstance(data, dict) else ():
            wanted = str(cls.model_fields[key].annotation) if key in cls.model_fields else ""
            is_number = re.search(r"\b(int|float)\b", wanted) and not re.search(r"\bbool\b", wanted)
            if is_number and any(isinstance(each, bool) for each in (value if isinstance(value, list) else [value])):
                raise ValueError(f"{key} must be a number, got {value}")
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for fault in self._faults():
            raise ValueError(fault)
        return self

    def _faults(self) -> Iterator[str]:
        """Yield what is wrong with fields that are valid alone; the first is reported."""
        yield from ()


class Kind(Spec):
    """A form that `kind` selects: a subclass with that keyword. Its other keywords set class attributes."""

    package: ClassVar[str]  # of the target
    target: ClassVar[str]  # class or function of the kind, "module:name"; the keyword is relative to the package

    kind: str = ""

    def __init_subclass__(cls, *, kind: str = "", target: str = "", **attributes: object) -> None:
        super().__init_subclass__()
        if target:
            cls.target = f"{cls.package}.{target}"
        if kind:
            cls.__annotations__ = {"kind": Literal[kind], **cls.__dict__.get("__annotations__", {})}
            cls.kind = Field(kind, description="selects this form")
        for name, value in attributes.items():
            setattr(cls, name, value)


def left_at(default: object) -> Callable[[Any], bool]:
    """Return an `exclude_if` that omits an option at its default, so that a new option changes no job."""
    return lambda value: value == default


def kinds(base: type[K]) -> dict[str, type[K]]:
    """Return the kinds, the classes below `base` without subclasses, by name in order of definition."""
    found: dict[str, type[K]] = {}
    for each in base.__subclasses__():
        found |= kinds(each) or {each.model_fields["kind"].default: each}
    return found
