"""Profiles say where jobs run, of rules that exist, and never which."""

import re
from pathlib import Path

import pytest
import yaml
from yte import process_yaml

RULES = Path(__file__).parents[2] / "rules"
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TEXT = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
GPU_RULES = {
    name
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)*)", TEXT, re.MULTILINE)
    if re.search(r"^        gpu=", body, re.MULTILINE)
}
GPU_RULES |= {name for base, name in re.findall(r"^use rule (\w+) as (\w+)", TEXT, re.MULTILINE) if base in GPU_RULES}
PROFILES = ["gpu", "slurm"]


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
    planned = fresh.planned()

    assert planned
    assert fresh.planned("--workflow-profile", f"profiles/{profile}") == planned


@pytest.mark.parametrize("present", [0, 3])
def test_gpu_profile_runs_as_many_jobs_at_a_time_as_there_are_gpus(monkeypatch, present):
    monkeypatch.setattr("torch.cuda.device_count", lambda: present)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    settings = process_yaml((RULES.parent / "profiles" / "gpu" / "config.yaml").read_text())

    assert settings["resources"] == {"gpu": present}


def test_training_and_inference_ask_for_gpus_and_nothing_else_does():
    assert sorted(GPU_RULES) == ["dump_logits", "dump_pixels", "stream_pixels", "train"]


def test_every_attempt_asks_for_more_memory_and_no_less_time():
    settings = yaml.safe_load((RULES.parent / "profiles" / "slurm" / "config.yaml").read_text())
    wanted = [settings["default-resources"], *settings["set-resources"].values()]

    for resources in wanted:
        for name in {"mem_mb", "runtime"} & resources.keys():
            for threads in (1, 8):
                asked = [
                    eval(str(resources[name]), {"attempt": attempt, "threads": threads})
                    for attempt in range(1, settings["retries"] + 2)
                ]
                assert asked == sorted(asked) and min(asked) > 0
                assert name != "mem_mb" or len(set(asked)) == len(asked)
    assert all("mem_mb" in settings["default-resources"] | resources for resources in wanted)
