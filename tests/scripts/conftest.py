import sys
from pathlib import Path

# The scripts are files that snakemake runs, not a package.
sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "scripts"))
