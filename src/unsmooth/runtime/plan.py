"""Plan of a run: its experiments and cells, and the inputs, parameters and outputs of each job.

Methods that take `wildcards` are input and params functions of rules. Parameters are canonical JSON, so that equal
settings are equal text; a job's parameters hold only settings that its result depends on.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from unsmooth.config.cells import CELL, IMPORTED, Cell
from unsmooth.config.errors import ConfigError, suggestion
from unsmooth.config.kinds import HUB
from unsmooth.config.loading import experiment_path, load_experiment, parse_config
from unsmooth.config.settings import Config
from unsmooth.data.sources import SOURCES
from unsmooth.runtime.code import code_hash
from unsmooth.runtime.provenance import canonical_json
from unsmooth.runtime.targets import training_targets, undefined_targets

TABLES = ["main", "main_all", "scores", "calibration", "losses", "segmentation", "cost", "zoo"]
FIGURES = [
    "risk_coverage_msp",
    "risk_coverage_max_logit_pnorm",
    "max_logit",
    "degradation",
    "pnorm_sweep",
    "extra_gradient",
    "reliability",
    "logit_distances",
    "zoo",
    "ranking_maps",
]
COMPARISONS = {"max_logit", "degradation", "extra_gradient", "ranking_maps"}  # figures of CE against label smoothing

Wildcards = Any  # Snakemake's, which has no public type
Cells = Callable[[Wildcards], list[Cell]]
Params = Callable[[Wildcards], str]


class Plan:
    """Experiments by name, cells, inputs and outputs of a run, from its configuration.

    `experiments` are those that ship with the workflow and those of the configuration, which `selected` names.
    """

    def __init__(self, settings: Config, experiments: Mapping[str, Any], selected: list[str], scripts: Path) -> None:
        self.settings, self.experiments, self.selected, self.scripts = settings, experiments, selected, scripts
        self.cells = {cell.folder: cell for name, found in experiments.items() for cell in found.cells(name)}

    @classmethod
    def load(cls, config: Mapping[str, Any], repository: Path) -> "Plan":
        settings = parse_config(config)
        files = [experiment_path(entry, repository / "experiments") for entry in settings.experiments]
        selected = {path.stem: path for path in files}
        if len(selected) < len(settings.experiments):
            raise ConfigError(f"config: experiments must have different names, got {settings.experiments}")
        shipped = {path.stem: path for path in sorted((repository / "experiments").glob("*.yaml"))}
        experiments = {name: load_experiment(path) for name, path in (shipped | selected).items()}
        for name in selected:
            for fault in undefined_targets(experiments[name]):
                raise ConfigError(f"{selected[name]}: {fault}")
        return cls(settings, experiments, list(selected), repository / "workflow" / "scripts")

    @cached_property
    def datasets(self) -> dict[str, Any]:
        return {found.dataset_id: found.dataset for found in self.experiments.values() if found.has_models}

    @cached_property
    def compared(self) -> dict[str, Any]:
        """Scorecard entries of the experiments with published counterparts."""
        return {name: told for name, found in self.experiments.items() if (told := found.compared)}

    @property
    def compared_here(self) -> list[str]:
        """Names of the experiments among them that this run makes."""
        return [name for name in self.selected if name in self.compared]

    @property
    def compared_costs(self) -> list[str]:
        """Training cost tables of the experiments among them that are trained here."""
        return [f"results/tables/{name}/cost.csv" for name in self.compared_here if self.experiments[name].trained]

    @property
    def scorecard(self) -> list[str]:
        """Tables and figures of the scorecard; empty without published numbers."""
        published = {name for name, told in self.compared.items() if told["published"]}
        listed = ["results/tables/published_experiments.md"] if published else []
        compared = ["results/tables/scorecard.md", "results/figures/scorecard.png"]
        return listed + (compared if published & {*self.selected} else [])

    def named(self, condition: Callable[[Any], bool]) -> list[str]:
        return [name for name, found in self.experiments.items() if condition(found)]

    def of(self, wildcards: Wildcards) -> Any:  # noqa: ANN401 - one of the kinds of experiment
        name, known = wildcards.experiment, [*self.experiments]
        if name not in known:
            raise ConfigError(f"there is no experiment {name!r}{suggestion(name, known)}")
        return self.experiments[name]

    def cell(self, wildcards: Wildcards) -> Cell:
        """Return the cell that the wildcards name; `ConfigError` if a path only looks like one (alpha 0.10 for 0.1)."""
        folder = CELL.format(**{"architecture": IMPORTED, **wildcards})
        if folder not in self.cells:
            raise ConfigError(f"{folder} is not a cell of experiment {wildcards.experiment}; see its losses and seeds")
        return self.cells[folder]

    def cells_of(self, wildcards: Wildcards) -> list[Cell]:
        """Return the cells of an experiment, or of one of its architectures where the path names one."""
        chosen = wildcards.get("architecture")
        return [cell for cell in self.of(wildcards).cells(wildcards.experiment) if chosen in (None, cell.architecture)]

    def extreme_cells(self, wildcards: Wildcards) -> list[Cell]:
        """Return the cells of CE and of the strongest smoothing; logits of all cells would not fit into memory."""
        found, cells = self.of(wildcards), self.cells_of(wildcards)
        strongest = max((cell.alpha for cell in cells if cell.loss == found.smoothed[0]), default=0.0)
        kept = {(found.baseline, 0.0), (found.smoothed[0], strongest)}
        return [cell for cell in cells if (cell.loss, cell.alpha) in kept]

    def mapped_cells(self, wildcards: Wildcards) -> list[Cell]:
        """Return the extreme cells of the first seed that has both."""
        cells = self.extreme_cells(wildcards)
        first = max(self.of(wildcards).seeds, key=[cell.seed for cell in cells].count)
        return [cell for cell in cells if cell.seed == first]

    def smoothed_cells(self, wildcards: Wildcards) -> list[Cell]:
        return [cell for cell in self.cells_of(wildcards) if cell.loss in self.of(wildcards).smoothed]

    def from_cells(self, *names: str, chosen: Cells | None = None) -> Callable[[Wildcards], list[str]]:
        """Return an input function: the files `names` of the chosen cells, by default of all."""
        chosen = chosen or self.cells_of
        return lambda wildcards: [f"{cell.folder}/{name}" for name in names for cell in chosen(wildcards)]

    def runs(self, wildcards: Wildcards) -> list[str]:
        return self.from_cells("run.json")(wildcards) if self.of(wildcards).trained else []

    def logits_from_cells(self, *splits: str, chosen: Cells) -> Callable[[Wildcards], list[str]]:
        """Return an input function: the logits of the chosen cells on the splits that exist."""
        return lambda wildcards: [
            f"{cell.folder}/logits/{split}.safetensors"
            for split in splits
            if split in self.of(wildcards).splits
            for cell in chosen(wildcards)
        ]

    def keys_of(self, chosen: Cells | None = None) -> Params:
        """Return a params function: the keys of the chosen cells, by default of all, in the order of `from_cells`."""
        return lambda wildcards: canonical_json([vars(cell) for cell in (chosen or self.cells_of)(wildcards)])

    def cell_key(self, wildcards: Wildcards) -> str:
        return canonical_json(vars(self.cell(wildcards)))

    def training(self, wildcards: Wildcards) -> str:
        return canonical_json(self.of(wildcards).training(self.cell(wildcards)))

    def architecture(self, wildcards: Wildcards) -> str:
        return canonical_json(self._architecture(wildcards).model_dump())

    def pixels(self, *names: str) -> Params:
        """Return a params function: the pixel settings of an experiment on scenes."""
        return lambda wildcards: canonical_json({name: getattr(self.of(wildcards).pixels, name) for name in names})

    def setting(self, *names: str) -> str:
        return canonical_json({name: self.settings.setting(name) for name in names})

    def shown(self, wildcards: Wildcards) -> str:
        found = self.of(wildcards)
        images = found.trained and found.dataset.inputs == "images"
        return canonical_json({"losses": found.named_losses, "trained": found.trained, "images": images})

    def smoothed_losses(self, wildcards: Wildcards) -> str:
        return canonical_json(self.of(wildcards).smoothed)

    def loss_names(self, wildcards: Wildcards) -> str:
        return canonical_json(self.of(wildcards).named_losses)

    def loss_kinds(self, wildcards: Wildcards) -> str:
        """Return the losses of an experiment without labels, which change no number."""
        losses = self.of(wildcards).losses
        return canonical_json([{"key": key, "kind": loss.kind} for key, loss in losses.items()])

    def archives(self, wildcards: Wildcards) -> str:
        """Return the expected digests of a source's archives; config.yaml may override them for a repacked mirror."""
        digests = self.settings.downloads.checksums
        archives = SOURCES[wildcards.source].archives
        return canonical_json({archive.file: digests.get(archive.file, archive.digest) for archive in archives})

    def code(self, script: str, *targets: str) -> Params:
        """Return a params function: the fingerprint of a script and of its dynamic imports `targets`, "module:name".

        As a function, so that a process that runs one job of a cluster computes that of no other job.
        """
        return lambda wildcards: code_hash(self.scripts / f"{script}.py", *targets)

    def architecture_code(self, script: str, *targets: str) -> Params:
        return lambda wildcards: self.code(script, self._architecture(wildcards).target, *targets)(wildcards)

    def stale_cells(self) -> list[str]:
        """Return the folders of trained cells whose run.json records other training code, or is damaged."""
        stale = []
        for folder, cell in self.cells.items():
            found, run = self.experiments[cell.experiment], Path(folder, "run.json")
            if found.trained and run.exists():
                code = code_hash(self.scripts / "train.py", *training_targets(found.training(cell)))
                stale += [folder] if _recorded_code(run) != code else []
        return stale

    def sources(self, wildcards: Wildcards) -> dict[str, str]:
        """Return the downloads behind a dataset by name, and the user's own file."""
        dataset = self.datasets[wildcards.dataset]
        own = {"file": dataset.path} if dataset.kind == "arrays" else {}
        return {source: _download(source) for source in dataset.sources} | own

    def dataset_files(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the manifest, on which results depend, and the data, which must exist but whose date is ignored."""
        from snakemake.io import ancient

        found = self.of(wildcards)
        if not found.has_models:
            return {}
        data = "images.csv" if found.dataset.files else "data.safetensors"
        folder = f"resources/{found.dataset_id}"
        return {"manifest": f"{folder}/manifest.json", "data": ancient(f"{folder}/{data}")}

    def pretrained_weights(self, wildcards: Wildcards) -> dict[str, str]:
        source = getattr(self._architecture(wildcards), "pretrained", None)
        return {"pretrained": _download(source)} if source else {}

    def teacher_weights(self, wildcards: Wildcards) -> dict[str, str]:
        teacher = self.of(wildcards).teacher(self.cell(wildcards))
        return {} if teacher is None else {"teacher": f"{teacher.folder}/model.safetensors"}

    def source_of_weights(self, wildcards: Wildcards) -> str:
        """Return path or hub reference of the given weights of a cell."""
        return str(self.of(wildcards).source(self.cell(wildcards)))

    def weights_file(self, wildcards: Wildcards) -> str:
        """Return the file of these weights: the user's own, or its download."""
        source = self.source_of_weights(wildcards)
        return f"resources/hub/{source.removeprefix(HUB)}" if source.startswith(HUB) else source

    def logits_file(self, wildcards: Wildcards) -> str:
        return str(self.of(wildcards).path(self.cell(wildcards), wildcards.split))

    def imported_for_comparison(self, wildcards: Wildcards) -> list[str]:
        """Return the imported test logits of the first cell, whose targets all other cells must share."""
        first = self.cells_of(wildcards)[0]
        compares = wildcards.split == "test" and self.cell(wildcards) != first
        return [f"{first.folder}/logits/test.safetensors"] if compares else []

    def pixel_files(self, wildcards: Wildcards) -> dict[str, str]:
        if not self.of(wildcards).dense:
            return {}
        folder = f"{self.cell(wildcards).folder}/pixels"
        return {"pixels": f"{folder}/metrics.csv", "confusions": f"{folder}/confusions.safetensors"}

    def shards(self, wildcards: Wildcards) -> int:
        """Return the number of devices that a training can use, one per shard of a batch; 1 without training."""
        found = self.of(wildcards)
        return found.recipe.shards if found.trained else 1

    def threads(self, wildcards: Wildcards) -> int:
        """Return the threads of inference on a dataset: one, and more that decode image files."""
        return 8 if self.of(wildcards).dataset.files else 1

    def training_threads(self, wildcards: Wildcards) -> int:
        """Return the threads of a training over all its devices."""
        return self.threads(wildcards) * (self.shards(wildcards) if self.of(wildcards).dataset.files else 1)

    def figure_files(self, figure: str, experiment: str) -> list[str]:
        """Return the files of a figure; none where the experiment lacks losses to compare, scenes or a zoo."""
        found = self.experiments[experiment]
        compared = found.baseline and found.smoothed
        absent = (figure in COMPARISONS and not compared) or (figure == "ranking_maps" and not found.dense)
        if found.is_zoo != (figure == "zoo") or absent:
            return []
        places = [experiment] if found.is_zoo else [f"{experiment}/{name}" for name in found.architecture_names]
        return [f"results/figures/{place}/{figure}.{suffix}" for place in places for suffix in ("pdf", "png", "csv")]

    def table_files(self, table: str, experiment: str) -> list[str]:
        """Return the files of a table; none where the experiment has no data for it."""
        found = self.experiments[experiment]
        present = {
            "cost": found.trained,
            "losses": found.trained and found.baseline is not None and len(found.losses) > 1,
            "segmentation": found.dense,
            "zoo": found.is_zoo,
        }
        suffixes = ("csv", "md", "tex") if present.get(table, True) else ()
        return [f"results/tables/{experiment}/{table}.{suffix}" for suffix in suffixes]

    def outputs(self, experiment: str) -> list[str]:
        drawn = [file for figure in FIGURES for file in self.figure_files(figure, experiment)]
        written = [file for table in TABLES for file in self.table_files(table, experiment)]
        return [*drawn, *written, f"results/tables/{experiment}/findings.md"]

    def _architecture(self, wildcards: Wildcards) -> Any:  # noqa: ANN401 - one of the kinds of architecture
        return self.of(wildcards).architectures[self.cell(wildcards).architecture]


def one_of(names: Iterable[str]) -> str:
    """Return a wildcard constraint to these names; without names it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def _recorded_code(run: Path) -> str | None:
    """Return the hash of the training code in a run.json; None if the file is damaged."""
    try:
        return json.loads(run.read_text())["code"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _download(source: str) -> str:
    return f"resources/sources/{source}/source.json"
