rule list_published:
    output:
        **table_outputs("published_experiments", "experiments with published numbers"),
    log:
        "results/logs/list_published.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        experiments=as_written(PLAN.compared),
        code=PLAN.code("list_published"),
    script:
        "../workflow/scripts/list_published.py"


rule write_scorecard:
    input:
        summaries=[f"results/tables/{name}/summary.csv" for name in PLAN.compared_here],
        costs=PLAN.compared_costs,
    output:
        **table_outputs("scorecard", "scorecard against published numbers"),
    log:
        "results/logs/write_scorecard.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        experiments=as_written(PLAN.compared),
        code=PLAN.code("write_scorecard"),
    script:
        "../workflow/scripts/write_scorecard.py"


rule write_main:
    input:
        summary="results/tables/{experiment}/summary.csv",
        fitted=PLAN.from_cells("scores/fitted.json"),
    output:
        **table_outputs("{experiment}/main", "main results"),
        **{f"all_{kind}": file for kind, file in table_outputs("{experiment}/main_all", "every metric").items()},
    log:
        "results/logs/write_main/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(),
        code=PLAN.code("write_main"),
    script:
        "../workflow/scripts/write_main.py"


rule write_scores:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        **table_outputs("{experiment}/scores", "every score"),
    log:
        "results/logs/write_scores/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        table="unsmooth.tables.layouts:scores_table",
        losses=PLAN.loss_names,
        code=PLAN.code("write_table", "unsmooth.tables.layouts:scores_table"),
    script:
        "../workflow/scripts/write_table.py"


use rule write_scores as write_calibration with:
    output:
        **table_outputs("{experiment}/calibration", "calibration and logit distances"),
    log:
        "results/logs/write_calibration/{experiment}.log",
    params:
        table="unsmooth.tables.layouts:calibration_table",
        losses=PLAN.loss_names,
        code=PLAN.code("write_table", "unsmooth.tables.layouts:calibration_table"),


rule write_losses:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        **table_outputs("{experiment}/losses", "losses"),
        summary=shown("results/tables/{experiment}/losses_summary.md", "losses in words", "text", caption="losses"),
    log:
        "results/logs/write_losses/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=PLAN.loss_names,
        code=PLAN.code("write_losses"),
    script:
        "../workflow/scripts/write_losses.py"


use rule write_scores as write_segmentation with:
    output:
        **table_outputs("{experiment}/segmentation", "segmentation, all pixels"),
    log:
        "results/logs/write_segmentation/{experiment}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.dense)),
    params:
        table="unsmooth.tables.layouts:segmentation_table",
        losses=PLAN.loss_names,
        code=PLAN.code("write_table", "unsmooth.tables.layouts:segmentation_table"),


use rule write_scores as write_cost with:
    input:
        runs=PLAN.from_cells("run.json"),
    output:
        **table_outputs("{experiment}/cost", "cost of training"),
    log:
        "results/logs/write_cost/{experiment}.log",
    params:
        table="unsmooth.tables.layouts:cost_table",
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(),
        code=PLAN.code("write_table", "unsmooth.tables.layouts:cost_table"),


use rule write_scores as write_zoo with:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        **table_outputs("{experiment}/zoo", "gain of every model by normalisation"),
    log:
        "results/logs/write_zoo/{experiment}.log",
    params:
        table="unsmooth.tables.zoo:zoo_table",
        losses=PLAN.loss_names,
        code=PLAN.code("write_table", "unsmooth.tables.zoo:zoo_table"),
