"""What a run spends beside training: starting jobs, and everything after the weights.

    python benchmarks/overhead.py [--rounds 3] [--run] [--cores 2]

Start-up is the processor time until a job's script has its modules, in a process of its own, the median of some rounds;
beside it stands which of the slow libraries it loads. With --run the default run is made in a temporary folder, and its
processor time told by rule, with snakemake's own; other processes do not lengthen it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from unsmooth.runtime.closing_message import costs_by_rule

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
SLOW = ("torch", "timm", "matplotlib", "pandas", "scipy")


def start_up(script: str) -> tuple[float, list[str]]:
    """Return the processor seconds until the modules of a script are there, and the slow libraries among them."""
    program = f"import sys, time; import {script}; print(time.process_time(), *(m for m in {SLOW} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


def processor_seconds() -> float:
    """Of all processes started from here that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{REPOSITORY / 'src'}:{SCRIPTS}", "OMP_NUM_THREADS": "1"}


def run(cores: int) -> None:
    """Make the default run and print its processor time by rule."""
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", str(cores), "--snakefile", REPOSITORY / "Snakefile"]
            + ["--workflow-profile", REPOSITORY / "profiles" / "default", "--directory", folder, "--quiet", "all"],
            env=environment(),
            check=True,
        )
        costs = costs_by_rule(Path(folder) / "results" / "benchmarks").set_index("rule")
    total, jobs = processor_seconds() - before, costs["processor s"]
    print(costs.round(1).to_string())
    print(f"snakemake itself, and the start and end of its jobs: {total - jobs.sum():.1f} s")
    print(f"processor time {total:.0f} s, of which not training {1 - jobs['train'] / total:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", action="store_true", help="make the default run, which takes minutes")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    for script in sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "write_schemas"):
        found = [start_up(script) for _ in range(options.rounds)]
        print(f"{script:22s} {median(seconds for seconds, _ in found):5.2f} s  {' '.join(found[0][1])}")
    if options.run:
        run(options.cores)


if __name__ == "__main__":
    main()
