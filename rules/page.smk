rule collect_page:
    input:
        unpack(PLAN.dataset_files),
        cells=PLAN.from_cells(*PAGE_FILES),
        runs=PLAN.runs,
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
        windows=lambda wildcards: [
            file for file in PLAN.figure_files("max_logit", wildcards.experiment) if file.endswith(".csv")
        ],
    output:
        "results/report/{experiment}.json",
    log:
        "results/logs/collect_page/{experiment}.log",
    conda:
        "../envs/train.yaml"
    params:
        cells=PLAN.keys_of(),
        experiment=PLAN.shown,
        code=PLAN.code("collect_page", *score_targets(MAIN_SCORES)),
    script:
        "../workflow/scripts/collect_page.py"


rule write_page:
    input:
        contents=[f"results/report/{name}.json" for name in PLAN.selected],
        summaries=[f"results/tables/{name}/summary.csv" for name in PLAN.compared_here],
        costs=PLAN.compared_costs,
    output:
        PAGE,
    log:
        "results/logs/write_page.log",
    conda:
        "../envs/report.yaml"
    params:
        descriptions=as_written({name: PLAN.experiments[name].description for name in PLAN.selected}),
        compared=as_written(PLAN.compared),
        page=[sha256_of(path) for path in ASSETS],
        code=PLAN.code("write_page"),
    script:
        "../workflow/scripts/write_page.py"
