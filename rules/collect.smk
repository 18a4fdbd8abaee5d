rule collect:
    input:
        metrics=PLAN.from_cells("metrics.csv"),
        bootstrap=PLAN.from_cells("bootstrap.parquet"),
    output:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    log:
        "results/logs/collect/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        cells=PLAN.keys_of(),
        losses=PLAN.loss_kinds,
        code=PLAN.code("collect"),
    script:
        "../workflow/scripts/collect.py"


rule write_findings:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        shown("results/tables/{experiment}/findings.md", "findings", "text"),
    log:
        "results/logs/write_findings/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=PLAN.loss_names,
        code=PLAN.code("write_findings"),
    script:
        "../workflow/scripts/write_findings.py"


rule merge_summaries:
    input:
        [f"results/tables/{name}/summary.csv" for name in PLAN.selected],
    output:
        shown("results/tables/summary.csv", "summary of every metric", "table"),
    log:
        "results/logs/merge_summaries.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        code=PLAN.code("merge_summaries"),
    script:
        "../workflow/scripts/merge_summaries.py"
