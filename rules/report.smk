rule collect:
    input:
        metrics=from_cells("metrics.csv"),
        bootstrap=from_cells("bootstrap.parquet"),
    output:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    log:
        "results/logs/collect/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        cells=cell_keys,
        losses=loss_kinds,
        code=code_of("collect"),
    message:
        "collect {wildcards.experiment}"
    script:
        "../workflow/scripts/collect.py"


rule write_findings:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        report(
            "results/tables/{experiment}/findings.md",
            caption="../workflow/report/findings.rst",
            category="{experiment}",
            labels={"what": "findings", "kind": "text"},
        ),
    log:
        "results/logs/write_findings/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_findings"),
    message:
        "write_findings {wildcards.experiment}"
    script:
        "../workflow/scripts/write_findings.py"


rule merge_summaries:
    input:
        [f"results/tables/{name}/summary.csv" for name in SELECTED],
    output:
        report(
            "results/tables/summary.csv",
            caption="../workflow/report/summary.rst",
            category="all experiments",
            labels={"what": "summary of every metric", "kind": "table"},
        ),
    log:
        "results/logs/merge_summaries/summary.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        code=code_of("merge_summaries"),
    message:
        "merge_summaries"
    script:
        "../workflow/scripts/merge_summaries.py"


rule list_published:
    output:
        csv="results/tables/published_experiments.csv",
        md=report(
            "results/tables/published_experiments.md",
            caption="../workflow/report/published_experiments.rst",
            category="all experiments",
            labels={"what": "experiments with published numbers", "kind": "table"},
        ),
        tex="results/tables/published_experiments.tex",
    log:
        "results/logs/list_published/published_experiments.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        experiments=canonical_json(COMPARED),
        code=code_of("list_published"),
    message:
        "list_published"
    script:
        "../workflow/scripts/list_published.py"


rule write_scorecard:
    input:
        summaries=SCORECARD_SUMMARIES,
        costs=SCORECARD_COSTS,
    output:
        csv="results/tables/scorecard.csv",
        md=report(
            "results/tables/scorecard.md",
            caption="../workflow/report/scorecard.rst",
            category="all experiments",
            labels={"what": "scorecard against published numbers", "kind": "table"},
        ),
        tex="results/tables/scorecard.tex",
    log:
        "results/logs/write_scorecard/scorecard.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        experiments=canonical_json(COMPARED),
        code=code_of("write_scorecard"),
    message:
        "write_scorecard"
    script:
        "../workflow/scripts/write_scorecard.py"


rule draw_scorecard:
    input:
        "results/tables/scorecard.csv",
    output:
        pdf="results/figures/scorecard.pdf",
        png=report(
            "results/figures/scorecard.png",
            caption="../workflow/report/scorecard.rst",
            category="all experiments",
            labels={"what": "scorecard against published numbers", "kind": "figure"},
        ),
        csv="results/figures/scorecard.csv",
    log:
        "results/logs/draw_scorecard/scorecard.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        losses=canonical_json({name: told["losses"] for name, told in COMPARED.items()}),
        settings=settings_of("figures.width"),
        code=code_of("draw_scorecard"),
    message:
        "draw_scorecard"
    script:
        "../workflow/scripts/draw_scorecard.py"


rule write_main:
    input:
        summary="results/tables/{experiment}/summary.csv",
        fitted=from_cells("scores/fitted.json"),
    output:
        csv="results/tables/{experiment}/main.csv",
        md=report(
            "results/tables/{experiment}/main.md",
            caption="../workflow/report/main.rst",
            category="{experiment}",
            labels={"what": "main results", "kind": "table"},
        ),
        tex="results/tables/{experiment}/main.tex",
    log:
        "results/logs/write_main/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        cells=cell_keys,
        code=code_of("write_main"),
    message:
        "write_main {wildcards.experiment}"
    script:
        "../workflow/scripts/write_main.py"


rule write_scores:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        csv="results/tables/{experiment}/scores.csv",
        md=report(
            "results/tables/{experiment}/scores.md",
            caption="../workflow/report/scores.rst",
            category="{experiment}",
            labels={"what": "every score", "kind": "table"},
        ),
        tex="results/tables/{experiment}/scores.tex",
    log:
        "results/logs/write_scores/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_scores"),
    message:
        "write_scores {wildcards.experiment}"
    script:
        "../workflow/scripts/write_scores.py"


rule write_calibration:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        csv="results/tables/{experiment}/calibration.csv",
        md=report(
            "results/tables/{experiment}/calibration.md",
            caption="../workflow/report/calibration.rst",
            category="{experiment}",
            labels={"what": "calibration and logit distances", "kind": "table"},
        ),
        tex="results/tables/{experiment}/calibration.tex",
    log:
        "results/logs/write_calibration/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_calibration"),
    message:
        "write_calibration {wildcards.experiment}"
    script:
        "../workflow/scripts/write_calibration.py"


rule write_losses:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        csv="results/tables/{experiment}/losses.csv",
        md=report(
            "results/tables/{experiment}/losses.md",
            caption="../workflow/report/losses.rst",
            category="{experiment}",
            labels={"what": "losses", "kind": "table"},
        ),
        tex="results/tables/{experiment}/losses.tex",
        summary=report(
            "results/tables/{experiment}/losses_summary.md",
            caption="../workflow/report/losses.rst",
            category="{experiment}",
            labels={"what": "losses in words", "kind": "text"},
        ),
    log:
        "results/logs/write_losses/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_losses"),
    message:
        "write_losses {wildcards.experiment}"
    script:
        "../workflow/scripts/write_losses.py"


rule write_segmentation:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        csv="results/tables/{experiment}/segmentation.csv",
        md=report(
            "results/tables/{experiment}/segmentation.md",
            caption="../workflow/report/segmentation.rst",
            category="{experiment}",
            labels={"what": "segmentation, all pixels", "kind": "table"},
        ),
        tex="results/tables/{experiment}/segmentation.tex",
    log:
        "results/logs/write_segmentation/{experiment}.log",
    wildcard_constraints:
        experiment=one_of(DENSE),
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_segmentation"),
    message:
        "write_segmentation {wildcards.experiment}"
    script:
        "../workflow/scripts/write_segmentation.py"


rule write_cost:
    input:
        runs=from_cells("run.json"),
    output:
        csv="results/tables/{experiment}/cost.csv",
        md=report(
            "results/tables/{experiment}/cost.md",
            caption="../workflow/report/cost.rst",
            category="{experiment}",
            labels={"what": "cost of training", "kind": "table"},
        ),
        tex="results/tables/{experiment}/cost.tex",
    log:
        "results/logs/write_cost/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        cells=cell_keys,
        code=code_of("write_cost"),
    message:
        "write_cost {wildcards.experiment}"
    script:
        "../workflow/scripts/write_cost.py"


rule draw_risk_coverage:
    input:
        curves=from_cells("curves.parquet"),
        summary="results/tables/{experiment}/summary.csv",
    output:
        pdf="results/figures/{experiment}/{architecture}/risk_coverage_{score}.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/risk_coverage_{score}.png",
            caption="../workflow/report/risk_coverage.rst",
            category="{experiment}",
            labels={"what": "risk-coverage curves, {score}", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/risk_coverage_{score}.csv",
    log:
        "results/logs/draw_risk_coverage/{experiment}/{architecture}/{score}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        cells=cell_keys,
        settings=settings_of("figures.width", "figures.risk_coverage"),
        code=code_of("draw_risk_coverage"),
    message:
        "draw_risk_coverage {wildcards.experiment}/{wildcards.architecture}/{wildcards.score}"
    script:
        "../workflow/scripts/draw_risk_coverage.py"


rule draw_max_logit:
    input:
        logits_from_cells("train", "test", chosen=extreme_cells),
    output:
        pdf="results/figures/{experiment}/{architecture}/max_logit.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/max_logit.png",
            caption="../workflow/report/max_logit.rst",
            category="{experiment}",
            labels={"what": "max logit given max probability", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/max_logit.csv",
    log:
        "results/logs/draw_max_logit/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        smoothed=smoothed_losses,
        cells=keys_of(extreme_cells),
        settings=settings_of("figures.width", "figures.max_logit"),
        code=code_of("draw_max_logit"),
    message:
        "draw_max_logit {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_max_logit.py"


rule draw_degradation:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        pdf="results/figures/{experiment}/{architecture}/degradation.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/degradation.png",
            caption="../workflow/report/degradation.rst",
            category="{experiment}",
            labels={"what": "degradation against alpha", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/degradation.csv",
    log:
        "results/logs/draw_degradation/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        settings=settings_of("figures.width"),
        code=code_of("draw_degradation"),
    message:
        "draw_degradation {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_degradation.py"


rule draw_pnorm_sweep:
    input:
        sweep=from_cells("scores/pnorm_sweep.csv"),
        fitted=from_cells("scores/fitted.json"),
    output:
        pdf="results/figures/{experiment}/{architecture}/pnorm_sweep.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/pnorm_sweep.png",
            caption="../workflow/report/pnorm_sweep.rst",
            category="{experiment}",
            labels={"what": "AURC against the norm order p", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/pnorm_sweep.csv",
    log:
        "results/logs/draw_pnorm_sweep/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        cells=cell_keys,
        settings=settings_of("figures.width"),
        code=code_of("draw_pnorm_sweep"),
    message:
        "draw_pnorm_sweep {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_pnorm_sweep.py"


rule draw_extra_gradient:
    input:
        unpack(dataset_files),
        logits=logits_from_cells("val", "test", chosen=smoothed_cells),
    output:
        pdf="results/figures/{experiment}/{architecture}/extra_gradient.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/extra_gradient.png",
            caption="../workflow/report/extra_gradient.rst",
            category="{experiment}",
            labels={"what": "gradient added by label smoothing", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/extra_gradient.csv",
    log:
        "results/logs/draw_extra_gradient/{experiment}/{architecture}.log",
    conda:
        "../envs/train.yaml"
    params:
        losses=loss_names,
        cells=keys_of(smoothed_cells),
        settings=settings_of("figures.extra_gradient"),
        code=code_of("draw_extra_gradient"),
    message:
        "draw_extra_gradient {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_extra_gradient.py"


rule draw_reliability:
    input:
        reliability=from_cells("reliability.parquet"),
        summary="results/tables/{experiment}/summary.csv",
    output:
        pdf="results/figures/{experiment}/{architecture}/reliability.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/reliability.png",
            caption="../workflow/report/reliability.rst",
            category="{experiment}",
            labels={"what": "reliability diagrams", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/reliability.csv",
    log:
        "results/logs/draw_reliability/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        cells=cell_keys,
        settings=settings_of("figures.width"),
        code=code_of("draw_reliability"),
    message:
        "draw_reliability {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_reliability.py"


rule draw_logit_distances:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        pdf="results/figures/{experiment}/{architecture}/logit_distances.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/logit_distances.png",
            caption="../workflow/report/logit_distances.rst",
            category="{experiment}",
            labels={"what": "distances between logits", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/logit_distances.csv",
    log:
        "results/logs/draw_logit_distances/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        settings=settings_of("figures.width"),
        code=code_of("draw_logit_distances"),
    message:
        "draw_logit_distances {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_logit_distances.py"


rule write_zoo:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        csv="results/tables/{experiment}/zoo.csv",
        md=report(
            "results/tables/{experiment}/zoo.md",
            caption="../workflow/report/zoo.rst",
            category="{experiment}",
            labels={"what": "gain of every model by normalisation", "kind": "table"},
        ),
        tex="results/tables/{experiment}/zoo.tex",
    log:
        "results/logs/write_zoo/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        code=code_of("write_zoo"),
    message:
        "write_zoo {wildcards.experiment}"
    script:
        "../workflow/scripts/write_zoo.py"


rule draw_zoo:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        pdf="results/figures/{experiment}/zoo.pdf",
        png=report(
            "results/figures/{experiment}/zoo.png",
            caption="../workflow/report/zoo.rst",
            category="{experiment}",
            labels={"what": "accuracy against selective classification", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/zoo.csv",
    log:
        "results/logs/draw_zoo/{experiment}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=loss_names,
        settings=settings_of("figures.width"),
        code=code_of("draw_zoo"),
    message:
        "draw_zoo {wildcards.experiment}"
    script:
        "../workflow/scripts/draw_zoo.py"


rule draw_ranking_maps:
    input:
        maps=from_cells("pixels/maps.safetensors", chosen=mapped_cells),
        fitted=from_cells("scores/fitted.json", chosen=mapped_cells),
    output:
        pdf="results/figures/{experiment}/{architecture}/ranking_maps.pdf",
        png=report(
            "results/figures/{experiment}/{architecture}/ranking_maps.png",
            caption="../workflow/report/ranking_maps.rst",
            category="{experiment}",
            labels={"what": "wrong pixels by confidence", "kind": "figure"},
        ),
        csv="results/figures/{experiment}/{architecture}/ranking_maps.csv",
    log:
        "results/logs/draw_ranking_maps/{experiment}/{architecture}.log",
    wildcard_constraints:
        experiment=one_of(DENSE),
    conda:
        "../envs/train.yaml"
    params:
        losses=loss_names,
        cells=keys_of(mapped_cells),
        settings=settings_of("figures.width"),
        code=code_of("draw_ranking_maps"),
    message:
        "draw_ranking_maps {wildcards.experiment}/{wildcards.architecture}"
    script:
        "../workflow/scripts/draw_ranking_maps.py"


rule explore:
    input:
        unpack(dataset_files),
        cells=from_cells(*EXPLORED),
        runs=lambda wildcards: from_cells("run.json")(wildcards) if EXPERIMENTS[wildcards.experiment].trained else [],
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
        windows=lambda wildcards: [
            file for file in figure_files("max_logit", wildcards.experiment) if file.endswith(".csv")
        ],
    output:
        "results/report/{experiment}.json",
    log:
        "results/logs/explore/{experiment}.log",
    conda:
        "../envs/train.yaml"
    params:
        cells=cell_keys,
        experiment=explored_settings,
        images=has_images,
        code=code_of("explore"),
    message:
        "explore {wildcards.experiment}"
    script:
        "../workflow/scripts/explore.py"


rule write_report:
    input:
        contents=[f"results/report/{name}.json" for name in SELECTED],
        summaries=SCORECARD_SUMMARIES,
        costs=SCORECARD_COSTS,
    output:
        REPORT,
    log:
        "results/logs/write_report/report.log",
    conda:
        "../envs/report.yaml"
    params:
        descriptions=canonical_json({name: EXPERIMENTS[name].description for name in SELECTED}),
        compared=canonical_json(COMPARED),
        page=page_hash(),
        code=code_of("write_report"),
    message:
        "write_report"
    script:
        "../workflow/scripts/write_report.py"
