"""Write the JSON schemas of config.yaml and of experiment files, for editors; run by `make schemas`."""

from pathlib import Path

import yaml

from unsmooth.experiment import Config, Experiment
from unsmooth.files import atomic_path

SCHEMAS = Path(__file__).parents[1] / "schemas"

if __name__ == "__main__":
    for name, model in {"config": Config, "experiment": Experiment}.items():
        with atomic_path(SCHEMAS / f"{name}.schema.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(model.model_json_schema(), sort_keys=False, width=120))
