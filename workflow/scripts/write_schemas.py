"""Write the JSON schemas of config.yaml and of experiment files, for editors; run by `make schemas`."""

from pathlib import Path

import yaml

from unsmooth.atomic_files import atomic_path
from unsmooth.config.schemas import SCHEMAS, schema

FOLDER = Path(__file__).parents[1] / "schemas"

if __name__ == "__main__":
    for name in SCHEMAS:
        with atomic_path(FOLDER / f"{name}.schema.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(schema(name), sort_keys=False, width=120))
