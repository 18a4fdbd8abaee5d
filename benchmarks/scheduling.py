"""Planning speed: what a dry run of many cells takes.

    python benchmarks/scheduling.py [--jobs 500 3000] [--rounds 3]

For each number of jobs, an experiment with as many seeds as give it is planned from nothing by `snakemake -n`, in a
process of its own and a temporary folder. Rows tell the median wall clock and processor seconds, which other processes
do not lengthen, and the milliseconds of processor time that each further job costs.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

REPOSITORY = Path(__file__).parents[1]
JOBS_A_SEED = 8  # train, dump_logits, score and evaluate, for CE and for LS
EXPERIMENT = {
    "description": "Many cells.",
    "dataset": {"kind": "gaussians"},
    "architectures": {"mlp": {"hidden": [8]}},
    "recipe": {"epochs": 1, "batch_size": 50, "optimizer": {"kind": "adamw", "lr": 0.01}},
    "losses": {"ce": None, "ls": {"alpha": [0.1]}},
}


def write_experiment(folder: Path, jobs: int) -> None:
    """Write an experiment of about this number of jobs, and the configuration that selects it alone."""
    seeds = list(range(jobs // JOBS_A_SEED))
    (folder / "many.yaml").write_text(yaml.safe_dump(EXPERIMENT | {"seeds": seeds}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"experiments": ["many.yaml"]}))


def plan(folder: Path) -> tuple[int, float, float]:
    """Plan everything once; return the number of jobs, wall clock and processor seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = ["--dry-run", "--snakefile", REPOSITORY / "Snakefile", "--directory", folder]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--configfile", folder / "config.yaml"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    total = re.search(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)
    assert total
    return int(total[1]), wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[500, 3000], help="about how many jobs")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    print(f"{'jobs':>6} {'wall s':>8} {'cpu s':>8} {'ms a further job':>17}")
    earlier = None
    for wanted in sorted(arguments.jobs):
        with tempfile.TemporaryDirectory() as folder:
            write_experiment(Path(folder), wanted)
            rounds = [plan(Path(folder)) for _ in range(arguments.rounds)]
        jobs, wall_s, cpu_s = (median(column) for column in zip(*rounds, strict=True))
        further = f"{1000 * (cpu_s - earlier[1]) / (jobs - earlier[0]):.2f}" if earlier else ""
        print(f"{jobs:6} {wall_s:8.2f} {cpu_s:8.2f} {further:>17}", flush=True)
        earlier = jobs, cpu_s


if __name__ == "__main__":
    main()
