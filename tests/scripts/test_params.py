"""Rules and scripts agree: a script reads no parameter that its rule does not set."""

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


@pytest.mark.parametrize(("rule", "text", "script"), RULES, ids=[rule for rule, _, _ in RULES])
def test_script_reads_only_parameters_that_its_rule_sets(rule, text, script):
    params = re.search(r"^    params:\n((?:        .*\n)+)", text, re.MULTILINE)
    given = set(re.findall(r"^        (\w+)=", params[1], re.MULTILINE)) if params else set()
    source = (ROOT / "workflow" / "scripts" / f"{script}.py").read_text()

    assert set(re.findall(r"snakemake\.params\.(\w+)", source)) - {"get", "items"} <= given
