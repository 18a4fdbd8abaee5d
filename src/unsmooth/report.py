"""What a run of the workflow says when it ends."""

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
        shown = costs.to_string(index=False, formatters={"total s": "{:,.1f}".format, "peak MB": "{:,.0f}".format})
        heading = "Cost by rule, of all results in this folder (time summed over jobs, largest memory of a job)"
        parts.append(f"{heading}\n{shown}")
    parts.append(f"Tables: {results}/tables/  figures: {results}/figures/  to look at: {results}/report/index.html")
    return "\n" + "\n\n".join(parts)


def costs_by_rule(benchmarks: Path) -> pd.DataFrame:
    """Return jobs, total seconds and peak memory of every rule, from Snakemake's benchmark files.

    Args:
        benchmarks: the folder that holds one folder a rule.

    Returns:
        `rule, jobs, total s, peak MB`, the most expensive rule first.
    """
    rows = [
        (path.relative_to(benchmarks).parts[0], float(frame["s"].sum()), float(frame["max_rss"].max()))
        for path in sorted(benchmarks.glob("*/**/*.tsv"))
        for frame in [pd.read_csv(path, sep="\t", na_values="-")]
    ]
    frame = pd.DataFrame(rows, columns=["rule", "s", "rss"])
    costs = frame.groupby("rule").agg(**{"jobs": ("s", "size"), "total s": ("s", "sum"), "peak MB": ("rss", "max")})
    return costs.sort_values("total s", ascending=False).reset_index()
