# Wildcard constraints, the plan of the run, output helpers and the folder lock.

import fcntl
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.shell import shell

from unsmooth.atomic_files import sha256_of
from unsmooth.config.cells import CELL, CELL_NAME, IMPORTED
from unsmooth.config.errors import ConfigError
from unsmooth.config.kinds import HUB
from unsmooth.config.loading import experiment_path, read_yaml
from unsmooth.data.sources import PROVIDED
from unsmooth.page import ASSETS
from unsmooth.registry.scores import MAIN_SCORES
from unsmooth.runtime.gpus import has_gpus
from unsmooth.runtime.job_lines import shorten_terminal_output
from unsmooth.runtime.job_server import command_prefix
from unsmooth.runtime.plan import FIGURES, TABLES, Plan, one_of
from unsmooth.runtime.provenance import canonical_json
from unsmooth.runtime.targets import score_entries, score_targets

IMPORTED_CELL = CELL.replace("{architecture}", IMPORTED)
IMPORTED_CELL_NAME = CELL_NAME.replace("{architecture}", IMPORTED)
PAGE = "results/report/index.html"
PAGE_FILES = [  # of every cell
    "logits/test.safetensors",
    "scores/test.safetensors",
    "scores/fitted.json",
    "scores/pnorm_sweep.csv",
    "scores/operating_points.csv",
    "curves.parquet",
    "reliability.parquet",
]
FOLDER_LOCK = "results/.lock"
HELD = []
SERVED_JOBS = 12  # from here on a server saves more time than its own start takes


wildcard_constraints:
    experiment=r"[a-z][a-z0-9_]*",
    architecture=r"[a-z][a-z0-9_]*",
    loss=r"[a-z][a-z0-9_]*",
    alpha=r"-?\d+(\.\d+)?",
    seed=r"\d+",
    split="train|val|test",
    dataset=r"[^/]+",
    source=r"[a-z0-9_]+",


if {"{", "}"} & set(REPOSITORY):
    raise WorkflowError(f"Snakemake reads braces in a path as wildcards; rename or move the folder {REPOSITORY}")

try:
    for file in workflow.configfiles:
        read_yaml(Path(file), f"configuration {file}")  # Snakemake does not refuse a key that occurs twice
    PLAN = Plan.load(config, Path(REPOSITORY))
except ConfigError as error:
    raise WorkflowError(str(error)) from None


def figure_outputs(stem, what, caption=None):
    """The files of a figure; `caption` names its text in workflow/report, by default that of the figure."""
    return {
        "pdf": f"results/figures/{stem}.pdf",
        "png": shown(f"results/figures/{stem}.png", what, "figure", caption),
        "csv": f"results/figures/{stem}.csv",
    }


def table_outputs(stem, what, caption=None):
    """The files of a table; `caption` is as for `figure_outputs`."""
    return {
        "csv": f"results/tables/{stem}.csv",
        "md": shown(f"results/tables/{stem}.md", what, "table", caption),
        "tex": f"results/tables/{stem}.tex",
    }


def shown(path, what, kind, caption=None):
    """A file in Snakemake's report, in the category of its experiment if it has one."""
    category = "{experiment}" if "{experiment}" in path else "all experiments"
    caption = f"../workflow/report/{caption or Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels={"what": what, "kind": kind})


def as_written(value):
    """Return a params function: texts of the user as canonical JSON, in which braces are no wildcards."""
    text = canonical_json(value)
    return lambda wildcards: text


def check_experiment_names():
    """Refuse an experiment with the name of a rule, since it gets a target rule of its name."""
    taken = sorted(rule.name for rule in workflow.rules)
    for path in (experiment_path(entry, Path("experiments")) for entry in PLAN.settings.experiments):
        if path.stem in taken:
            raise WorkflowError(
                f"{path}: the name {path.stem!r} is taken by a rule of the workflow; rename the file to none of "
                f"{', '.join(taken)}"
            )


def check_writable(*folders):
    """Stop before the first job if results cannot be written."""
    for folder in map(Path, folders):
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise WorkflowError(f"folder {folder.resolve()} cannot be written: {error.strerror}") from None


def check_cores():
    """Refuse --cores 0, with which Snakemake waits for ever."""
    if workflow.local_exec and workflow.resource_settings.cores == 0:
        raise WorkflowError("--cores must be at least 1, or all; got 0, with which no job can start")


def hold_folder():
    """Lock the folder against other runs until this one has ended.

    Snakemake's own locks refuse runs with the same files alone, and a run that ends removes those of all others.
    With --nolock neither are asked.
    """
    if not workflow.execution_settings.lock:
        return
    lock = open(FOLDER_LOCK, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"another snakemake is making results in {Path.cwd()}: wait for its end, or stop it"
        ) from None
    except OSError:
        logger.warning("The file system has no locks: do not start a second snakemake in this folder.")
    HELD.append(lock)  # a closed file would release it


def start_job_server():
    """Let the jobs of a longer run on CPUs of this machine, in its own environment, start from one warm process."""
    settings, needed = workflow.deployment_settings, sum(1 for _ in workflow.dag.needrun_jobs())
    if workflow.local_exec and not settings.deployment_method and not has_gpus() and needed >= SERVED_JOBS:
        shell.prefix(f"set -euo pipefail; {command_prefix()}")


def lift_rate_limit():
    """Start jobs on this machine without Snakemake's default limit of 100 a second.

    With a limit it looks through all waiting jobs once a second for each job that has run, which in a run of hundreds
    of jobs takes most of a core.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.local_exec and limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def warn_of_stale_cells():
    """Warn about trained cells whose code has changed; an edit never reruns training, but never silently."""
    if stale := PLAN.stale_cells():
        logger.warning(
            "These cells are older than the training code, or their run.json is damaged; delete them, or use "
            "--forcerun train, to train them anew:\n" + "\n".join(f"  {folder}" for folder in stale)
        )


def follow_moved_data():
    """Update links to data in the user's folders to their present place in config.yaml, without any job."""
    for link in Path("resources/sources").glob(f"*/{PROVIDED}"):
        from unsmooth.data.download import follow  # imports network libraries

        follow(link.parent.name, link.parent, PLAN.settings.downloads.folders.get(link.parent.name))


def print_results():
    """Write the closing message of a run."""
    from unsmooth.runtime.closing_message import closing_message
    from unsmooth.tables.labels import Losses

    losses = {name: Losses.of(PLAN.experiments[name].named_losses) for name in PLAN.selected}
    logger.info(closing_message(Path("results"), losses))
