"""Plan of a run of the published experiments: those with local data, or their finished cells."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from unsmooth.atomic_files import atomic_path
from unsmooth.config.cells import Cell, cell_name
from unsmooth.config.errors import ConfigError, suggestion
from unsmooth.config.kinds import Experiment
from unsmooth.config.loading import load_experiment
from unsmooth.data.sources import SOURCES

PLAN = Path("results/published")  # folder of what `write_plan` writes, relative to that of the workflow
AS_RELEASED = "_as_released"  # end of the name of an experiment whose deviations are switched back


def published_experiments(folder: Path) -> dict[str, Experiment]:
    """Return the shipped experiments of a folder that train a published recipe, by name."""
    loaded = {path.stem: load_experiment(path) for path in sorted(folder.glob("*.yaml"))}
    return {name: found for name, found in loaded.items() if isinstance(found, Experiment) and found.compared}


def write_plan(
    target: Path,
    experiments: Path,
    data: Path,
    *,
    only: Sequence[str] = (),
    as_released: Sequence[str] = (),
    finished: Path | None = None,
) -> list[str]:
    """Write config.yaml for a run of the published experiments with local data, and copies of those that it restricts.

    Args:
        target, experiments: folder of these files, and of the shipped experiments.
        data: folder with one folder a source, named after it, as `downloads.folders` takes it.
        only: names of experiments to choose from; all without.
        as_released: names of those that run with their deviations switched back too.
        finished: folder of a workflow; the plan is then of the cells that it has trained, and nothing is left to train.

    Returns:
        What is left out and why, a line an experiment.

    Raises:
        ConfigError: there is no such experiment, or nothing to run.
    """
    known = published_experiments(experiments)
    for name in {*only, *as_released} - known.keys():
        raise ConfigError(f"there is no published experiment {name!r}{suggestion(name, [*known])}")
    present = [source for source in SOURCES if (data / source).is_dir()]
    chosen, left_out = [], []
    for name in only or known:
        if missing := [source for source in known[name].dataset.sources if source not in present]:
            left_out.append(f"{name}: {data} has no folder {', '.join(missing)}")
            continue
        content = yaml.safe_load((experiments / f"{name}.yaml").read_text(encoding="utf-8"))
        variants = {name: content}
        if name in as_released:
            variants[name + AS_RELEASED] = {**content, "as_released": True}
        for variant, settings in variants.items():
            cells = known[name].cells(variant)
            kept = [cell for cell in cells if finished is None or _is_trained(finished, cell)]
            if not kept:
                left_out.append(f"{variant}: none of its {len(cells)} cells is trained in {finished}")
            elif variant == name and len(kept) == len(cells):
                chosen.append(name)
            else:
                path = target / f"{variant}.yaml"
                _write(path, _restricted(settings, known[name], kept))
                chosen.append(str(path))
    if not chosen:
        raise ConfigError("there is nothing to run\n" + "\n".join(left_out))
    folders = {source: str((data / source).resolve()) for source in present}
    _write(target / "config.yaml", {"experiments": chosen, "downloads": {"folders": folders}})
    return left_out


def planned_folders(target: Path) -> dict[str, str]:
    """Return the folder of every source that the plan in `target` found; nothing without a plan."""
    path = target / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["downloads"]["folders"] if path.exists() else {}


def _is_trained(run: Path, cell: Cell) -> bool:
    return all((run / cell.folder / name).exists() for name in ("model.safetensors", "run.json"))


def _restricted(content: dict[str, Any], experiment: Experiment, cells: Sequence[Cell]) -> dict[str, Any]:
    strengths = {(cell.loss, cell.alpha) for cell in cells}
    alphas = {
        loss: [alpha for alpha in experiment.alphas(loss) if (loss, alpha) in strengths] for loss in experiment.losses
    }
    losses = {
        loss: (content["losses"][loss] or {}) | ({"alpha": kept} if hasattr(experiment.losses[loss], "alpha") else {})
        for loss, kept in alphas.items()
        if kept
    }
    seeds = [seed for seed in experiment.seeds if seed in {cell.seed for cell in cells}]
    found = {cell_name(cell.loss, cell.alpha, cell.seed) for cell in cells}
    grid = [cell_name(loss, alpha, seed) for loss in alphas for alpha, seed in product(alphas[loss], seeds)]
    published = [row for row in content.get("published", []) if row.get("alpha", 0.0) in alphas[row["loss"]]]
    without = [name for name in grid if name not in found]
    return {**content, "losses": losses, "seeds": seeds, "published": published, "without": without}


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
