"""Closing message of a run: short results, headlines, costs and output files."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unsmooth.tables.labels import Losses
from unsmooth.tables.main import short_table

SHOWN_COSTS = 6  # rules
FILES = ("report/index.html", "tables/scorecard.md", "tables/summary.csv")


def closing_message(results: Path, experiments: Mapping[str, Losses]) -> str:
    """Return the short result table and the headline of the findings of each experiment, costs, and files to open.

    Missing files are passed over; experiments, with their losses, keep their order.
    """
    parts = []
    for name, losses in experiments.items():
        tables = results / "tables" / name
        if (summary := tables / "summary.csv").exists():
            parts.append(short_table(pd.read_csv(summary), losses=losses))
        if (findings := tables / "findings.md").exists():
            parts += re.findall(r"^# .+\n+(.+)$", findings.read_text(encoding="utf-8"), re.MULTILINE)
    costs = costs_by_rule(results / "benchmarks").head(SHOWN_COSTS)
    if len(costs):
        shown = [f"{cost.rule} {cost.processor:,.0f} s ({cost.jobs})" for cost in costs.itertuples()]
        parts.append(f"Cost by rule, processor time and jobs, of all results here: {', '.join(shown)}")
    drawn = [f"tables/{name}/main.md" for name in experiments] + [f"figures/{name}" for name in experiments]
    if found := [str(results / file) for file in (*FILES, *drawn) if (results / file).exists()]:
        parts.append("To open:\n" + "\n".join(f"  {file}" for file in found))
    return "\n" + "\n\n".join(parts)


def costs_by_rule(benchmarks: Path) -> pd.DataFrame:
    """Return `rule, jobs, seconds, processor, memory` (s, s, MB) of every rule, the most expensive first.

    `benchmarks` has the usage of each job, by rule, written by `unsmooth.runtime.jobs`, or by Snakemake with "-" for
    unknown values. Times are totals, memory is the peak.
    """
    frames = [
        pd.read_csv(path, sep="\t", na_values="-").assign(rule=path.with_suffix("").relative_to(benchmarks).parts[0])
        for path in sorted(benchmarks.rglob("*.tsv"))
    ]
    if not frames:
        return pd.DataFrame(columns=["rule", "jobs", "seconds", "processor", "memory"])
    totals = {"jobs": ("s", "size"), "seconds": ("s", "sum"), "processor": ("cpu_time", "sum")}
    costs = pd.concat(frames).groupby("rule").agg(**totals, memory=("max_rss", "max"))
    return costs.sort_values("processor", ascending=False).reset_index()
