"""Losses of experiments: one class per registry entry, with its settings and their ranges."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, create_model, field_validator

from unsmooth.config.specs.base import Name, Spec
from unsmooth.registry import Parameter
from unsmooth.registry.losses import LOSSES
from unsmooth.registry.losses import Loss as Entry


class LossSpec(Spec):
    """A training loss with its strengths and fixed settings."""

    kind: str
    label: str

    @field_validator("label")
    @classmethod
    def _can_be_drawn(cls, value: str) -> str:
        if value.count("$") > 1:
            from matplotlib.mathtext import MathTextParser  # half a second of start-up, for this alone

            try:
                MathTextParser("path").parse(value)
            except ValueError:
                raise ValueError(
                    f"has mathematics between $ signs that cannot be drawn, {value!r}; write \\$ for a dollar sign"
                ) from None
        return value

    @property
    def entry(self) -> Entry:
        return LOSSES[self.kind]

    @property
    def alphas(self) -> list[float]:
        """Return its strengths; a loss without one has the single strength 0."""
        return list(getattr(self, "alpha", [0.0]))


class Taught(LossSpec):
    """A loss with a teacher: another cell of the same seed."""

    teacher: Name = Field(description="key of the teacher's loss")
    teacher_alpha: float | None = Field(None, description="its strength; may be left out where it has one only")
    teacher_architecture: Name | None = Field(None, description="key of its architecture; null is the student's")


def _spec(entry: Entry) -> type[LossSpec]:
    fields: dict[str, Any] = {"kind": (Literal[entry.name], Field(entry.name, description="selects this form"))}
    if entry.alpha is not None:
        strengths = Field(min_length=1, description=f"{entry.alpha.meaning}; the grid axis")
        fields["alpha"] = (list[_type(entry.alpha)], strengths)  # type: ignore[misc]
    for name, parameter in entry.params.items():
        fields[name] = (_type(parameter), Field(parameter.default, description=parameter.meaning))
    fields["label"] = (str, Field(entry.label, min_length=1, description="name in tables and figures"))
    base = Taught if entry.name == "distillation" else LossSpec
    return create_model(f"{entry.name}_loss", __base__=base, __doc__=entry.summary, **fields)


def _type(parameter: Parameter) -> Any:  # noqa: ANN401
    if isinstance(parameter.values, tuple):
        return Literal[parameter.values]
    limits = {
        "gt" if parameter.open_low else "ge": parameter.low,
        "lt" if parameter.open_high else "le": parameter.high,
    }
    ranged = Annotated[parameter.values, Field(allow_inf_nan=False, **limits)]  # type: ignore[name-defined]
    return ranged | None if parameter.optional else ranged


if TYPE_CHECKING:
    Loss = LossSpec
else:
    Loss = Annotated[Union[tuple(map(_spec, LOSSES.values()))], Field(discriminator="kind")]  # noqa: UP007
