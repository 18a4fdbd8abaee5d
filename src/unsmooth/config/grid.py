"""The grid of cells that every experiment file spans: losses with their strengths, and seeds."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from unsmooth.config.cells import Cell, cell_name
from unsmooth.config.errors import suggestion
from unsmooth.config.specs.base import Name, Seed, Spec
from unsmooth.config.specs.losses import Loss
from unsmooth.registry.losses import BASELINE, SMOOTHING


class Grid(Spec):
    """Keys of every experiment file: losses with their strengths, and seeds."""

    trained: ClassVar[bool] = False  # whether its models are trained here
    has_models: ClassVar[bool] = True  # whether models run over a dataset; otherwise logits are imported

    description: str = Field(description="what the experiment is, in a sentence")
    losses: Annotated[dict[Name, Loss], Field(min_length=1, description="name to loss; a key is the default kind")]
    seeds: Annotated[list[Seed], Field(min_length=1, description="one model a seed")]
    without: list[str] = Field([], description="cells of the grid that are left out, as in ls_alpha-0.2/seed-0")

    @field_validator("architectures", "losses", mode="before", check_fields=False)
    @classmethod
    def _key_is_default_kind(cls, value: Any) -> Any:
        entries = value.items() if isinstance(value, dict) else ()
        named = {key: {"kind": key, **(entry or {})} for key, entry in entries if isinstance(entry, dict | None)}
        return {**value, **named} if named else value

    def _faults(self) -> Iterator[str]:
        if len(set(self.seeds)) < len(self.seeds):
            yield f"seeds must differ, got {self.seeds}"
        names: dict[tuple[str, float], str] = {}
        for name, loss in self.losses.items():
            if len(set(loss.alphas)) < len(loss.alphas):
                yield f"alphas of loss {name!r} must differ, got {loss.alphas}"
            for alpha in loss.alphas:
                if (other := names.setdefault((loss.label, alpha), name)) != name:
                    shared = f"losses {other!r} and {name!r} share the label {loss.label!r} with alpha {alpha:g}"
                    yield f"{shared}, which tables and figures could not tell apart; set the label of one"
        known = {cell_name(*key): key[0] for key in self._grid()}
        for cell in self.without:
            if cell not in known:
                yield f"without: there is no cell {cell!r}{suggestion(cell, [*known])}"
        kept = {loss for cell, loss in known.items() if cell not in self.without}
        for name in self.losses:
            if name not in kept:
                yield f"without: no cell of loss {name!r} is left; remove the loss"

    @property
    def architecture_names(self) -> list[str]:
        """Return the keys of the architectures, in the order of the file."""
        raise NotImplementedError

    @property
    def splits(self) -> list[str]:
        """Return the splits that have logits."""
        return ["train", "val", "test"]

    @property
    def baseline(self) -> str | None:
        """Return the key of the baseline, the first cross-entropy loss."""
        return next((name for name, loss in self.losses.items() if loss.kind == BASELINE), None)

    @property
    def named_losses(self) -> list[dict[str, str]]:
        """Return key, kind and label of the losses for tables and figures, in the order of the file."""
        return [{"key": key, "kind": loss.kind, "label": loss.label} for key, loss in self.losses.items()]

    @property
    def smoothed(self) -> list[str]:
        """Return the keys of the label-smoothing losses, the largest alpha first; none if all of them sharpen."""
        keys = [name for name, loss in self.losses.items() if loss.kind == SMOOTHING]
        keys.sort(key=lambda name: -max(self.alphas(name)))
        return keys if keys and max(self.alphas(keys[0])) > 0 else []

    @property
    def compared(self) -> dict[str, Any]:
        """Return the scorecard entry as plain data; empty without published numbers."""
        return {}

    def alphas(self, loss: str) -> list[float]:
        """Return the strengths of a loss; a loss without one has the single strength 0."""
        return self.losses[loss].alphas

    def cells(self, experiment: str) -> list["Cell"]:
        """Return the grid in the order of the file; `experiment` is its name."""
        return [
            Cell(experiment, architecture, *key)
            for architecture in self.architecture_names
            for key in self._grid()
            if cell_name(*key) not in self.without
        ]

    def _grid(self) -> list[tuple[str, float, int]]:
        return [(loss, alpha, seed) for loss in self.losses for alpha in self.alphas(loss) for seed in self.seeds]
