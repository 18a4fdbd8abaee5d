"""Rules and scripts agree on parameters."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = re.findall(
    r"^rule (\w+):\n(.*?)scripts/(\w+)\.py\"",
    "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk"))),
    re.MULTILINE | re.DOTALL,
)


def test_every_rule_with_a_script_is_found():
    assert len(RULES) > 25


RERUN = {"code", "entries", "page"}  # an edit of these reruns the job, which does not read them


@pytest.mark.parametrize(("rule", "text", "script"), RULES, ids=[rule for rule, _, _ in RULES])
def test_script_reads_the_parameters_that_its_rule_sets(rule, text, script):
    params = re.search(r"^    params:\n((?:        .*\n)+)", text, re.MULTILINE)
    given = set(re.findall(r"^        (\w+)=", params[1], re.MULTILINE)) if params else set()
    source = (ROOT / "workflow" / "scripts" / f"{script}.py").read_text()
    read = set(re.findall(r"snakemake\.params\.(\w+)", source)) - {"get", "items"}
    optional = set(re.findall(r"snakemake\.params\.get\(\"(\w+)\"", source))

    assert read <= given
    assert given - RERUN <= read | optional
