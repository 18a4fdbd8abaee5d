# Helpers of the rules; no rule stands here.

import fcntl
import json
import re
import tempfile
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from unsmooth.data.hub import HUB
from unsmooth.data.sources import PROVIDED, SOURCES
from unsmooth.config.cells import IMPORTED
from unsmooth.config.errors import ConfigError
from unsmooth.config.loading import experiment_path, load_experiment, parse_config
from unsmooth.page import ASSETS
from unsmooth.atomic_files import sha256_of
from unsmooth.runtime.code import code_hash
from unsmooth.runtime.job_lines import shorten_terminal_output
from unsmooth.runtime.provenance import canonical_json
from unsmooth.runtime.targets import training_targets

REPOSITORY = Path(workflow.basedir)
CELL = "results/cells/{experiment}/{architecture}/{loss}_alpha-{alpha}/seed-{seed}"
IMPORTED_CELL = CELL.replace("{architecture}", IMPORTED)
TABLES = ["main", "scores", "calibration", "losses", "segmentation", "cost", "zoo"]
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
REPORT = "results/report/index.html"
FOLDER_LOCK = "results/.lock"
HELD = []
EXPLORED = [  # files of every cell that the report page shows
    "logits/val.safetensors",
    "logits/test.safetensors",
    "scores/test.safetensors",
    "scores/fitted.json",
    "scores/pnorm_sweep.csv",
    "reliability.parquet",
]
COMPARISONS = {"max_logit", "degradation", "extra_gradient", "ranking_maps"}  # figures of CE against label smoothing


wildcard_constraints:
    experiment=r"[a-z][a-z0-9_]*",
    architecture=r"[a-z][a-z0-9_]*",
    loss=r"[a-z][a-z0-9_]*",
    alpha=r"-?\d+(\.\d+)?",
    seed=r"\d+",
    split="train|val|test",
    dataset=r"[^/]+",
    source=r"[a-z0-9_]+",


def load_all():
    """Check config.yaml and every experiment file before the first job."""
    try:
        settings = parse_config(config)
        files = [experiment_path(entry, REPOSITORY / "experiments") for entry in settings.experiments]
        selected = {path.stem: path for path in files}
        if len(selected) < len(settings.experiments):
            raise ConfigError(f"config: experiments must have different names, got {settings.experiments}")
        shipped = {path.stem: path for path in sorted((REPOSITORY / "experiments").glob("*.yaml"))}
        experiments = {name: load_experiment(path) for name, path in (shipped | selected).items()}
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    return settings, experiments, list(selected)


def check_writable(*folders):
    """End before the first job where results could not be kept."""
    for folder in map(Path, folders):
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise WorkflowError(f"folder {folder.resolve()} cannot be written: {error.strerror}") from None


def hold_folder():
    """Let no other run make results in the same folder until this one has ended.

    The locks of Snakemake refuse runs with the same files alone, and any run that ends removes those of all others.
    With --nolock neither are asked.
    """
    if not workflow.execution_settings.lock:
        return
    folder = Path.cwd()
    lock = open(FOLDER_LOCK, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(f"another snakemake is making results in {folder}: wait for its end, or stop it") from None
    except OSError:
        logger.warning("The file system has no locks: do not start a second snakemake in this folder.")
    HELD.append(lock)  # a closed file would release it


SETTINGS, EXPERIMENTS, SELECTED = load_all()
DATASETS = {found.dataset_id: found.dataset for found in EXPERIMENTS.values() if found.has_models}
COMPARED = {name: told for name, found in EXPERIMENTS.items() if (told := found.compared)}
PUBLISHED = [name for name, entry in COMPARED.items() if entry["published"]]
SCORECARD = [
    *(["results/tables/published_experiments.md"] if PUBLISHED else []),
    *(["results/tables/scorecard.md", "results/figures/scorecard.png"] if set(PUBLISHED) & set(SELECTED) else []),
]
SCORECARD_SUMMARIES = [f"results/tables/{name}/summary.csv" for name in SELECTED if name in COMPARED]
SCORECARD_COSTS = [
    f"results/tables/{name}/cost.csv" for name in SELECTED if name in COMPARED and EXPERIMENTS[name].trained
]
DENSE = [name for name, found in EXPERIMENTS.items() if found.dense]
CELLS = {cell.folder: cell for name, found in EXPERIMENTS.items() for cell in found.cells(name)}


def cell_of(wildcards):
    """The cell that the wildcards name; a path that only looks like one (alpha 0.10 for 0.1) is refused."""
    folder = CELL.format(**{"architecture": IMPORTED, **wildcards})
    if folder not in CELLS:
        raise WorkflowError(f"{folder} is not a cell of experiment {wildcards.experiment}; see its losses and seeds")
    return CELLS[folder]


def training_of(wildcards):
    cell = cell_of(wildcards)
    return EXPERIMENTS[cell.experiment].training(cell)


def architecture_of(wildcards):
    """The architecture of a cell, as canonical JSON."""
    cell = cell_of(wildcards)
    return canonical_json(EXPERIMENTS[cell.experiment].architectures[cell.architecture].model_dump())


def weights_of(wildcards):
    """Where the weights of a cell come from that are not trained here."""
    return EXPERIMENTS[wildcards.experiment].source(cell_of(wildcards))


def weights_file(wildcards):
    """The file with these weights, downloaded or of the user."""
    source = weights_of(wildcards)
    return f"resources/hub/{source.removeprefix(HUB)}" if source.startswith(HUB) else source


def pixels_of(wildcards, *names):
    """Settings of an experiment on scenes about its pixels, as canonical JSON."""
    return canonical_json({name: getattr(EXPERIMENTS[wildcards.experiment].pixels, name) for name in names})


def one_of(names):
    """A wildcard constraint: one of these names, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def archives_of(source):
    """The archives of a source with their digests; config.yaml may give those of a mirror that packed them anew."""
    digests = SETTINGS.downloads.checksums
    return {archive.file: digests.get(archive.file, archive.digest) for archive in SOURCES[source].archives}


def sources_of(wildcards):
    """The downloads that a dataset is made from, by name."""
    return {source: f"resources/sources/{source}/source.json" for source in DATASETS[wildcards.dataset].sources}


def dataset_files(wildcards):
    """Results depend on the manifest; the data must exist, but a newer date on it changes nothing."""
    found = EXPERIMENTS[wildcards.experiment]
    if not found.has_models:
        return {}
    folder = f"resources/{found.dataset_id}"
    data = "images.csv" if found.dataset.files else "data.safetensors"
    return {"manifest": f"{folder}/manifest.json", "data": ancient(f"{folder}/{data}")}


def pretrained_weights(wildcards):
    """The download of the weights from which a training starts, where its architecture names them."""
    source = getattr(EXPERIMENTS[wildcards.experiment].architectures[wildcards.architecture], "pretrained", None)
    return {"pretrained": f"resources/sources/{source}/source.json"} if source else {}


def teacher_weights(wildcards):
    """The trained model from which a cell is distilled, where there is one."""
    cell = cell_of(wildcards)
    teacher = EXPERIMENTS[cell.experiment].teacher(cell)
    return {} if teacher is None else {"teacher": f"{teacher.folder}/model.safetensors"}


def pixel_files(wildcards):
    """What is known of all pixels of a cell whose inputs are scenes."""
    if not EXPERIMENTS[wildcards.experiment].dense:
        return {}
    folder = f"{cell_of(wildcards).folder}/pixels"
    return {"pixels": f"{folder}/metrics.csv", "confusions": f"{folder}/confusions.safetensors"}


def decoding_threads(wildcards, devices=1):
    """Threads of a job that reads a dataset: one computes; where it holds image files, others decode for each device."""
    return 8 * devices if EXPERIMENTS[wildcards.experiment].dataset.files else 1


def shards_of(wildcards):
    """The devices that a training can use: one for each shard of a batch; one where nothing is trained."""
    found = EXPERIMENTS[wildcards.experiment]
    return found.recipe.shards if found.trained else 1


def cells_of(wildcards):
    """The cells of an experiment, or of one of its architectures where the path names one."""
    cells = EXPERIMENTS[wildcards.experiment].cells(wildcards.experiment)
    chosen = wildcards.get("architecture")
    return [cell for cell in cells if chosen in (None, cell.architecture)]


def extreme_cells(wildcards):
    """The cells of CE and of the strongest smoothing: logits of all would not fit into memory for the large datasets."""
    found = EXPERIMENTS[wildcards.experiment]
    strongest = found.smoothed[0]
    kept = {(found.baseline, 0.0), (strongest, max(found.alphas(strongest)))}
    return [cell for cell in cells_of(wildcards) if (cell.loss, cell.alpha) in kept]


def mapped_cells(wildcards):
    """Of those, the cells of the first seed."""
    return [cell for cell in extreme_cells(wildcards) if cell.seed == EXPERIMENTS[wildcards.experiment].seeds[0]]


def smoothed_cells(wildcards):
    """The cells of the label-smoothing losses."""
    return [cell for cell in cells_of(wildcards) if cell.loss in EXPERIMENTS[wildcards.experiment].smoothed]


def from_cells(*names, chosen=cells_of):
    """An input function: the files `names` of the chosen cells."""
    return lambda wildcards: [f"{cell.folder}/{name}" for name in names for cell in chosen(wildcards)]


def logits_from_cells(*splits, chosen):
    """An input function: the logits of the chosen cells on those of the `splits` that the experiment has."""

    def paths(wildcards):
        present = [split for split in splits if split in EXPERIMENTS[wildcards.experiment].splits]
        return from_cells(*(f"logits/{split}.safetensors" for split in present), chosen=chosen)(wildcards)

    return paths


def keys_of(chosen):
    """A params function: what the chosen cells are, in the order of `from_cells`, as canonical JSON."""
    return lambda wildcards: canonical_json([vars(cell) for cell in chosen(wildcards)])


cell_keys = keys_of(cells_of)


def page_hash():
    """The content of the report page's template, style and script, which are no modules."""
    return [sha256_of(path) for path in ASSETS]


@cache
def code_of(script, *targets):
    """The fingerprint of a script, of `targets` ("module:name") that it imports by name, and of all that they use."""
    return code_hash(REPOSITORY / "workflow" / "scripts" / f"{script}.py", *targets)


def architecture_code(script, wildcards):
    """The fingerprint of a script that runs the architecture of a cell."""
    cell = cell_of(wildcards)
    return code_of(script, EXPERIMENTS[cell.experiment].architectures[cell.architecture].target)


def settings_of(*names):
    """Parts of the configuration as canonical JSON; `figures.width` names a nested one."""
    return canonical_json({name: SETTINGS.setting(name) for name in names})


def figure_files(figure, experiment):
    """The files of a figure; none where it needs losses to compare, scenes or a zoo that the experiment has not.

    A zoo has one figure of all its models, and no other.
    """
    found = EXPERIMENTS[experiment]
    if found.is_zoo != (figure == "zoo"):
        return []
    if figure == "zoo":
        return [f"results/figures/{experiment}/zoo.{suffix}" for suffix in ("pdf", "png", "csv")]
    if figure in COMPARISONS and not (found.baseline and found.smoothed):
        return []
    if figure == "ranking_maps" and not found.dense:
        return []
    return [
        f"results/figures/{experiment}/{architecture}/{figure}.{suffix}"
        for architecture in found.architecture_names
        for suffix in ("pdf", "png", "csv")
    ]


def table_files(table, experiment):
    """The files of a table; none where what it tells of, training here, a comparison with CE, scenes, a zoo, is not."""
    found = EXPERIMENTS[experiment]
    present = {
        "cost": found.trained,
        "losses": found.trained and found.baseline is not None and len(found.losses) > 1,
        "segmentation": found.dense,
        "zoo": found.is_zoo,
    }
    if not present.get(table, True):
        return []
    return [f"results/tables/{experiment}/{table}.{suffix}" for suffix in ("csv", "md", "tex")]


def smoothed_losses(wildcards):
    """The keys of the experiment's label-smoothing losses, as canonical JSON."""
    return canonical_json(EXPERIMENTS[wildcards.experiment].smoothed)


def loss_names(wildcards):
    """What tables and figures call the losses of an experiment, in its order, as canonical JSON."""
    return canonical_json(EXPERIMENTS[wildcards.experiment].named_losses)


def loss_kinds(wildcards):
    """The losses of an experiment without their labels, which change no number, as canonical JSON."""
    found = EXPERIMENTS[wildcards.experiment].losses
    return canonical_json([{"key": key, "kind": loss.kind} for key, loss in found.items()])


def has_images(wildcards):
    """Whether the inputs can be looked at."""
    found = EXPERIMENTS[wildcards.experiment]
    return found.trained and found.dataset.inputs == "images"


def explored_settings(wildcards):
    """What the report page needs to know of an experiment beside its results, as canonical JSON."""
    found = EXPERIMENTS[wildcards.experiment]
    return canonical_json({"losses": found.named_losses, "trained": found.trained})


def outputs_of(experiment):
    """Everything that a full run of one experiment makes."""
    drawn = [file for figure in FIGURES for file in figure_files(figure, experiment)]
    written = [file for table in TABLES for file in table_files(table, experiment)]
    return [*drawn, *written, f"results/tables/{experiment}/findings.md"]


def training_code(cell):
    """The fingerprint of what trains a cell."""
    return code_of("train", *training_targets(EXPERIMENTS[cell.experiment].training(cell)))


def warn_of_stale_cells():
    """Name the trained cells whose code has changed since: training is never rerun for an edit, but never silently."""
    trained = {
        folder: json.loads(run.read_text()).get("code")
        for folder, cell in CELLS.items()
        if EXPERIMENTS[cell.experiment].trained
        for run in [Path(folder, "run.json")]
        if run.exists()
    }
    stale = [folder for folder, code in trained.items() if code != training_code(CELLS[folder])]
    if stale:
        logger.warning(
            "These cells are older than the training code; delete them, or use --forcerun train, to train them anew:\n"
            + "\n".join(f"  {folder}" for folder in stale)
        )


def follow_moved_data():
    """Use data that lie in a folder of the user's where config.yaml says they are now, without any job."""
    for link in Path("resources/sources").glob(f"*/{PROVIDED}"):
        from unsmooth.data.download import follow  # the network libraries are not for every start

        follow(link.parent.name, link.parent, SETTINGS.downloads.folders.get(link.parent.name))


def print_results():
    """Say at the end of a run what was found, what it cost and where to look."""
    from unsmooth.runtime.closing_message import closing_message

    logger.info(closing_message(Path("results"), SELECTED))
