"""Profiles say where jobs run, of rules that exist, and never which."""

import re
from pathlib import Path

import pytest
import yaml

RULES = Path(__file__).parents[2] / "rules"
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TEXT = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
GPU_RULES = {
    name
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)*)", TEXT, re.MULTILINE)
    if re.search(r"^        gpu=", body, re.MULTILINE)
}
GPU_RULES |= {name for base, name in re.findall(r"^use rule (\w+) as (\w+)", TEXT, re.MULTILINE) if base in GPU_RULES}
PROFILES = ["gpu", "kubernetes", "slurm"]


def test_profiles_name_rules_and_groups_that_exist(fresh):
    rules = set(fresh.snakemake("--list-rules").stdout.split())

    for profile in PROFILES:
        settings = yaml.safe_load((fresh.folder / "profiles" / profile / "config.yaml").read_text())
        groups = settings.get("groups", {})
        if profile != "gpu":
            assert settings["set-resources"].keys() >= GPU_RULES, profile
        assert settings.get("set-resources", {}).keys() | groups.keys() <= rules, profile
        assert settings.get("group-components", {}).keys() <= set(groups.values()), profile


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_plans_the_same_jobs_as_the_default(fresh, profile):
    storage = ["--default-storage-prefix", str(fresh.folder)] if profile == "kubernetes" else []
    planned = fresh.planned()

    assert planned
    assert fresh.planned("--workflow-profile", f"profiles/{profile}", *storage) == planned
