"""The kinds of experiment: trained here, on given weights, or on logits files."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, StrictBool, create_model

from unsmooth.config.cells import IMPORTED, Cell, format_number
from unsmooth.config.errors import suggestion
from unsmooth.config.grid import Grid
from unsmooth.config.settings import ScoreName
from unsmooth.config.specs.architectures import Architecture
from unsmooth.config.specs.base import Name, PositiveInt, Seed, Spec
from unsmooth.config.specs.datasets import Dataset
from unsmooth.config.specs.losses import Taught
from unsmooth.config.specs.recipes import FOR_IMAGE_FILES, Augmentation, Recipe
from unsmooth.registry.metrics import COMPARED, METRICS

HUB = "hf://"
HUB_FILE = re.compile(r"hf://[\w.-]+/[\w.-]+(@[\w.-]+)?(/(?!\.\.?(/|$))[\w.+-]+)+")


class Deviation(Spec):
    """A deliberate deviation of an experiment from the released code."""

    what: str = Field(description="the setting here")
    why: str = Field(description="the setting in the released code, and why it is not repeated")
    as_released: dict[str, Any] | None = Field(
        None, description="keys of this file with the released values, laid over it where as_released is true"
    )


class PublishedResult(Spec):
    """Published numbers of one loss, compared in the scorecard and used nowhere else; at least one of them."""

    loss: Name = Field(description="key of the loss")
    alpha: float = Field(0.0, description="its strength")
    score: ScoreName = Field("msp", description="confidence score")
    source: str = Field(description="where they are published, and on which samples")

    def _faults(self) -> Iterator[str]:
        numbers = self.model_dump(include=set(COMPARED), exclude_none=True).keys()
        if not numbers:
            yield f"needs a number: {', '.join(sorted(COMPARED))}"
        if self.score not in ("msp", "msp_temperature") and numbers - {"error", "aurc"}:
            yield f"{self.score} is no probability: only error and aurc can be compared"


def _published_number(metric: str) -> Any:  # noqa: ANN401
    percent = METRICS[metric].unit == "%"
    unit, convention = "percent" if percent else METRICS[metric].unit, COMPARED[metric].convention
    description = f"{unit}, {convention}" if convention else unit
    return Annotated[float, Field(ge=0, le=100 if percent else None)] | None, Field(None, description=description)


if TYPE_CHECKING:
    Published = PublishedResult
else:
    Published = create_model(
        "Published",
        __base__=PublishedResult,
        __doc__=PublishedResult.__doc__,
        **{name: _published_number(name) for name in COMPARED},
    )


class Pixels(Spec):
    """Data kept of scenes: logits of sampled pixels, and whole scenes for ranking maps."""

    per_scene: PositiveInt = Field(200, description="sampled pixels of each scene with logits, which fit the scores")
    seed: Seed = Field(0, description="seed of the choice of pixels; the same ones in every cell")
    maps: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 1], min_length=1, max_length=8, description="test scenes to draw, by their place in the sorted split"
    )
    map_size: PositiveInt = Field(512, description="longer side at which those are kept, pixels")


class ModelExperiment(Grid):
    """An experiment on models and a dataset, the same for every loss."""

    dataset: Dataset = Field(description="dataset to classify")
    architectures: Annotated[
        dict[Name, Architecture], Field(min_length=1, description="name to network; a key is the default kind")
    ]
    pixels: Pixels = Field(Pixels(), description="scenes only: pixels whose logits are kept")
    published: list[Published] = Field([], description="published results, compared in the scorecard")
    deviations: list[Deviation] = Field([], description="departures from the released code, listed in the scorecard")
    as_released: StrictBool = Field(False, description="revert the switchable deviations")

    def _faults(self) -> Iterator[str]:
        yield from super()._faults()
        for result in self.published:
            if result.loss not in self.losses or result.alpha not in self.alphas(result.loss):
                yield f"published: there is no loss {result.loss!r} with alpha {format_number(result.alpha)}"
        if IMPORTED in self.architectures:
            yield f"an architecture cannot be called {IMPORTED!r}, the name of logits from elsewhere"
        data = f"dataset {self.dataset.kind!r}"
        for name, architecture in self.architectures.items():
            if architecture.inputs != self.dataset.inputs:
                yield f"architecture {name!r} takes {architecture.inputs}, {data} holds {self.dataset.inputs}"
            if getattr(architecture, "preprocessing", "dataset") != "dataset" and not self.dataset.files:
                yield f"architecture {name!r} prepares image files, {data} has none"
        if "pixels" in self.model_fields_set and not self.dense:
            yield f"pixels needs scenes, {data} holds {self.dataset.inputs}"
        num_test = getattr(self.dataset, "num_test", None)  # unknown before a download
        if self.dense and num_test is not None and max(self.pixels.maps) >= num_test:
            yield f"pixels: maps must be below the {num_test} test scenes, got {self.pixels.maps}"

    @property
    def architecture_names(self) -> list[str]:
        return list(self.architectures)

    @property
    def embedded(self) -> bool:
        """Whether the data come with the package and need no download."""
        return self.dataset.embedded

    @property
    def dense(self) -> bool:
        """Whether targets are per pixel."""
        return self.dataset.inputs == "scenes"

    @property
    def compared(self) -> dict[str, Any]:
        if not (self.published or self.deviations):
            return {}
        return {
            "losses": self.named_losses,
            "published": [result.model_dump(exclude_none=True) for result in self.published],
            "deviations": [
                {"what": entry.what, "why": entry.why, "switchable": entry.as_released is not None}
                for entry in self.deviations
            ],
            "as_released": self.as_released,
            "data": list(self.dataset.sources),
        }

    @property
    def dataset_id(self) -> str:
        """Return the dataset's folder name: its kind, then all options that differ from the defaults."""
        parts = [self.dataset.kind]
        for key, value in sorted(self.dataset.model_dump(exclude_defaults=True).items()):
            text = format_number(value) if isinstance(value, float) else re.sub(r"[/\\]+", "-", str(value))
            parts.append(f"{key}-{text}")
        return "_".join(parts)


class Experiment(ModelExperiment):
    """An experiment that trains models on a dataset by a recipe, the same for every loss."""

    trained: ClassVar[bool] = True
    is_zoo: ClassVar[bool] = False

    recipe: Recipe = Field(description="how every cell is trained")

    def _faults(self) -> Iterator[str]:
        yield from super()._faults()
        yield from self._recipe_faults()
        yield from self._augmentation_faults()
        yield from self._teacher_faults()
        yield from self._mixing_faults()

    def _recipe_faults(self) -> Iterator[str]:
        for name, architecture in self.architectures.items():
            if getattr(architecture, "preprocessing", "dataset") != "dataset":
                rest = "preprocessing is for published weights; in training the dataset says how images are prepared"
                yield f"architecture {name!r}: {rest}"
        for name, loss in self.losses.items():
            if self.dense and not loss.entry.dense:
                yield f"loss {name!r} compares samples in pairs, too many where each pixel is one"
        num_train = getattr(self.dataset, "num_train", None)  # unknown before a download
        if self.recipe.warmup is not None and num_train is not None:
            steps = self.recipe.epochs * -(-num_train // self.recipe.batch_size)
            if (self.recipe.warmup.steps or 0) >= steps:
                yield f"warmup must be shorter than the {steps} steps, got {self.recipe.warmup.steps}"

    def _augmentation_faults(self) -> Iterator[str]:
        augmentation, files, data = self.recipe.augmentation, self.dataset.files, f"dataset {self.dataset.kind!r}"
        if self.dense and augmentation.model_copy(update={"scene_crop": None, "flip": False}) != Augmentation():
            yield f"augmentation of scenes is scene_crop and flip, got {augmentation.model_dump()}"
        if augmentation.scene_crop is not None and not (self.dense and files):
            yield f"augmentation scene_crop needs scenes in files, not {data}"
        if not (self.dataset.inputs == "images" or (self.dense and files)) and augmentation != Augmentation():
            yield f"augmentation needs images, {data} holds {self.dataset.inputs}"
        kept, other = ("image files", "images in memory") if files else ("images in memory", "image files")
        for name in ("crop_padding",) if files else FOR_IMAGE_FILES:
            if getattr(augmentation, name):
                yield f"augmentation {name} is for {other}, {data} holds {kept}"

    def _teacher_faults(self) -> Iterator[str]:
        taught = {name: loss for name, loss in self.losses.items() if isinstance(loss, Taught)}
        for name, loss in taught.items():
            for what, reference, known in (
                ("loss", loss.teacher, [*self.losses]),
                ("architecture", loss.teacher_architecture, [*self.architectures]),
            ):
                if reference is not None and reference not in known:
                    yield f"losses.{name}: there is no {what} {reference!r} of a teacher{suggestion(reference, known)}"
            alphas, alpha = self.alphas(loss.teacher), loss.teacher_alpha
            if alpha not in alphas and (alpha is not None or len(alphas) > 1):
                expected = f"one of {alphas}, those of loss {loss.teacher!r}"
                yield f"losses.{name}: teacher_alpha must be {expected}, got {alpha}"
        for name in taught:
            chain = [name]
            while chain[-1] in taught:
                chain.append(taught[chain[-1]].teacher)
                if chain[-1] in chain[:-1]:
                    yield f"losses.{name}: teachers form a cycle: {' from '.join(chain)}"

    def _mixing_faults(self) -> Iterator[str]:
        if not self.recipe.mixing:
            return
        for name, loss in self.losses.items():
            if not loss.entry.mixable:
                yield f"loss {name!r} is for samples of one class: remove it, or mixup and cutmix"
        inputs = self.dataset.inputs
        if inputs == "tokens" or (self.recipe.cutmix is not None and inputs == "vectors"):
            yield f"mixup needs images or vectors, cutmix images; dataset {self.dataset.kind!r} holds {inputs}"

    @property
    def compared(self) -> dict[str, Any]:
        return {**told, "precision": self.recipe.precision} if (told := super().compared) else {}

    def training(self, cell: "Cell") -> dict[str, Any]:
        """Return the settings that decide the weights of a cell as plain data, its teacher's under `teacher`."""
        loss = self.losses[cell.loss].model_dump(exclude={"label", *Taught.model_fields} - {"kind"})
        teacher = self.teacher(cell)
        return {
            "dataset": self.dataset_id,
            "architecture": self.architectures[cell.architecture].model_dump(),
            "loss": loss | {"alpha": cell.alpha},
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": cell.seed,
        } | ({} if teacher is None else {"teacher": self.training(teacher)})

    def teacher(self, cell: "Cell") -> "Cell | None":
        """Return the teacher cell of a distilled cell; None for other losses."""
        loss = self.losses[cell.loss]
        if not isinstance(loss, Taught):
            return None
        alpha = self.alphas(loss.teacher)[0] if loss.teacher_alpha is None else loss.teacher_alpha
        architecture = loss.teacher_architecture or cell.architecture
        return replace(cell, architecture=architecture, loss=loss.teacher, alpha=alpha)


class WeightsExperiment(ModelExperiment):
    """An experiment on given weights."""

    weights: str | dict[Name, str] = Field(
        description="path or hf://owner/repository/path, with the placeholders {architecture}, {name} (its name in its "
        "library), {loss}, {alpha} and {seed}, optional if they take a single value; or loss to such a path"
    )
    trained_with: dict[Name, list[Name]] | None = Field(
        None, description="a zoo, each architecture trained with a single loss: loss to its architectures"
    )

    def _faults(self) -> Iterator[str]:
        yield from super()._faults()
        losses = ", ".join(self.losses)
        if self.trained_with is not None:
            named = [architecture for each in self.trained_with.values() for architecture in each]
            if self.trained_with.keys() != self.losses.keys() or sorted(named) != sorted(self.architectures):
                expected = f"every loss, and every architecture once, of {losses} and {', '.join(self.architectures)}"
                yield f"trained_with must name {expected}, got {self.trained_with}"
        if isinstance(self.weights, dict) and self.weights.keys() != self.losses.keys():
            yield f"weights must be of the losses {losses}, got {', '.join(self.weights)}"
        placeholders = (
            "{architecture}, {name}, {loss}, {alpha} and {seed} only (and {name} where the architecture has one)"
        )
        sources = map(self.source, self.cells("experiment"))
        each = "architecture, loss, alpha and seed"
        for source in _different_files("weights", self.weights, placeholders, each, sources):
            if source.startswith(HUB) and not HUB_FILE.fullmatch(source):
                yield f"expected hf://owner/repository/path or hf://owner/repository@revision/path, got {source!r}"

    @property
    def is_zoo(self) -> bool:
        """Whether each architecture has a single model: losses cannot be compared within it."""
        return self.trained_with is not None

    def cells(self, experiment: str) -> list["Cell"]:
        made = self.trained_with
        return [cell for cell in super().cells(experiment) if made is None or cell.architecture in made[cell.loss]]

    def source(self, cell: "Cell") -> str:
        pattern = self.weights if isinstance(self.weights, str) else self.weights[cell.loss]
        return pattern.format(
            architecture=cell.architecture,
            loss=cell.loss,
            alpha=format_number(cell.alpha),
            seed=cell.seed,
            **self.architectures[cell.architecture].model_dump(include={"name"}),
        )


class LogitsExperiment(Grid):
    """An experiment on imported logits."""

    has_models: ClassVar[bool] = False
    embedded: ClassVar[bool] = False
    dense: ClassVar[bool] = False
    is_zoo: ClassVar[bool] = False

    logits: str = Field(
        description="path with the placeholders {split}, {loss}, {alpha} and {seed}, optional with a single value"
    )
    train: bool = Field(False, description="whether there are logits of the training split, besides val and test")

    def _faults(self) -> Iterator[str]:
        yield from super()._faults()
        paths = (self.path(cell, split) for cell in self.cells("experiment") for split in self.splits)
        each = "split, loss, alpha and seed"
        _different_files("logits", self.logits, "{split}, {loss}, {alpha} and {seed} only", each, paths)

    @property
    def architecture_names(self) -> list[str]:
        return [IMPORTED]

    @property
    def splits(self) -> list[str]:
        return ["train", "val", "test"] if self.train else ["val", "test"]

    def path(self, cell: "Cell", split: str) -> str:
        return self.logits.format(split=split, loss=cell.loss, alpha=format_number(cell.alpha), seed=cell.seed)


def _different_files(key: str, pattern: object, placeholders: str, each: str, files: Iterable[str]) -> list[str]:
    """Return the files that a pattern names; ValueError if it has other placeholders, or names a file twice."""
    try:
        named = list(files)
    except (AttributeError, LookupError, ValueError):
        raise ValueError(f"{key} may contain {placeholders}, got {pattern!r}") from None
    if len(set(named)) < len(named):
        raise ValueError(
            f"{key} must name {len(named)} different files, one for every {each}; {pattern!r} names {len(set(named))}"
        )
    return named
