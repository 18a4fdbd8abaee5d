"""Start-up: what each job of the workflow loads before it works.

    python benchmarks/startup.py [--rounds 3]

For each script, a process of its own imports it and nothing else. Rows tell the median processor seconds, which other
processes do not lengthen, with those of Python alone in the first row, and which of the heavy libraries were loaded.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
HEAVY = ("torch", "torchvision", "timm", "scipy", "sklearn", "pandas", "matplotlib", "plotly")
PROGRAM = f"""
import importlib, sys, time
if sys.argv[1:]:
    importlib.import_module(sys.argv[1])
print(time.process_time(), *(name for name in {HEAVY} if name in sys.modules))
"""


def start(*script: str) -> tuple[float, list[str]]:
    """Import a script once; return processor seconds and the heavy libraries that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *script],
        cwd=SCRIPTS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu_s, *loaded = done.stdout.split()
    return float(cpu_s), loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    print(f"{'script':22} {'cpu s':>6}  loads")
    for script in [(), *((path.stem,) for path in sorted(SCRIPTS.glob("*.py")))]:
        rounds = [start(*script) for _ in range(arguments.rounds)]
        print(f"{''.join(script) or 'none':22} {median(cpu_s for cpu_s, _ in rounds):6.2f}  {', '.join(rounds[0][1])}")


if __name__ == "__main__":
    main()
