"""Snakemake with jobs that start from a job server: `python snakemake_here.py CLIENT ARGUMENTS...`."""

import sys

from snakemake.cli import main
from snakemake.shell import shell

if __name__ == "__main__":
    _, client, *arguments = sys.argv
    del sys.path[0]  # the folder of this file: its modules are called server, cifar and the like
    sys.argv = ["snakemake", *arguments]
    shell.prefix(f"set -euo pipefail; {client} ")
    main()
