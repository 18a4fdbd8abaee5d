"""Closing message of a workflow run: results, costs and where to look."""

from pathlib import Path

import pandas as pd

from unsmooth.tables import short_table

__all__ = ["closing_message", "costs_by_rule"]


def closing_message(results: Path, experiments: list[str]) -> str:
    """Return the short result table of the experiments that have one, the cost by rule, and where to look.

    Args:
        results: the results folder.
        experiments: names, in the order to show.
    """
    summaries = [results / "tables" / name / "summary.csv" for name in experiments]
    parts = [short_table(pd.read_csv(path)) for path in summaries if path.exists()]
    costs = costs_by_rule(results / "benchmarks")
    if len(costs):
        shown = costs.to_string(index=False, formatters=dict.fromkeys(costs.columns[2:], "{:,.0f}".format))
        heading = "Cost by rule, of all results in this folder (times summed over jobs, memory of the largest process)"
        parts.append(f"{heading}\n{shown}")
    parts.append(f"Tables: {results}/tables/  figures: {results}/figures/  to look at: {results}/report/index.html")
    return "\n" + "\n\n".join(parts)


def costs_by_rule(benchmarks: Path) -> pd.DataFrame:
    """Return jobs, total wall clock and processor seconds and peak memory of every rule.

    Args:
        benchmarks: the folder that holds one folder a rule, with what `unsmooth.runtime.jobs` wrote of each job, or
            Snakemake, which writes "-" for what it did not see.

    Returns:
        `rule, jobs, total s, processor s, peak MB`, the most expensive rule first.
    """
    paths = sorted(benchmarks.glob("*/**/*.tsv"))
    frames = [
        pd.read_csv(path, sep="\t", na_values="-").assign(rule=path.relative_to(benchmarks).parts[0]) for path in paths
    ]
    if not frames:
        return pd.DataFrame(columns=["rule", "jobs", "total s", "processor s", "peak MB"])
    totals = {"jobs": ("s", "size"), "total s": ("s", "sum"), "processor s": ("cpu_time", "sum")}
    costs = pd.concat(frames).groupby("rule").agg(**totals, **{"peak MB": ("max_rss", "max")})
    return costs.sort_values("processor s", ascending=False).reset_index()
