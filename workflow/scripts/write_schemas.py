"""Write the JSON schemas of config.yaml and of experiment files, for editors; run by `make schemas`."""

from pathlib import Path

import yaml
from pydantic import TypeAdapter

from unsmooth.atomic_files import atomic_path
from unsmooth.config.kinds import Experiment, LogitsExperiment, WeightsExperiment
from unsmooth.config.settings import Config

SCHEMAS = Path(__file__).parents[1] / "schemas"

if __name__ == "__main__":
    for name, kind in {"config": Config, "experiment": Experiment | WeightsExperiment | LogitsExperiment}.items():
        with atomic_path(SCHEMAS / f"{name}.schema.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(TypeAdapter(kind).json_schema(), sort_keys=False, width=120))
