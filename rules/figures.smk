rule draw_scorecard:
    input:
        "results/tables/scorecard.csv",
    output:
        **figure_outputs("scorecard", "scorecard against published numbers"),
    log:
        "results/logs/draw_scorecard.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        losses=as_written({name: told["losses"] for name, told in PLAN.compared.items()}),
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_scorecard"),
    script:
        "../workflow/scripts/draw_scorecard.py"


rule draw_max_logit:
    input:
        PLAN.logits_from_cells("train", "test", chosen=PLAN.extreme_cells),
    output:
        **figure_outputs("{experiment}/{architecture}/max_logit", "max logit given max probability"),
    log:
        "results/logs/draw_max_logit/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=PLAN.loss_names,
        smoothed=PLAN.smoothed_losses,
        cells=PLAN.keys_of(PLAN.extreme_cells),
        settings=PLAN.setting("figures.width", "figures.max_logit"),
        code=PLAN.code("draw_max_logit"),
    script:
        "../workflow/scripts/draw_max_logit.py"


rule draw_degradation:
    input:
        summary="results/tables/{experiment}/summary.csv",
    output:
        **figure_outputs("{experiment}/{architecture}/degradation", "degradation against alpha"),
    log:
        "results/logs/draw_degradation/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        figure="unsmooth.figures.sweeps:degradation",
        losses=PLAN.loss_names,
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_figure", "unsmooth.figures.sweeps:degradation"),
    script:
        "../workflow/scripts/draw_figure.py"


use rule draw_degradation as draw_risk_coverage with:
    input:
        curves=PLAN.from_cells("curves.parquet"),
        summary="results/tables/{experiment}/summary.csv",
    output:
        **figure_outputs(
            "{experiment}/{architecture}/risk_coverage_{score}",
            "risk-coverage curves, {score}",
            caption="risk_coverage",
        ),
    log:
        "results/logs/draw_risk_coverage/{experiment}/{architecture}/{score}.log",
    params:
        figure="unsmooth.figures.curves:risk_coverage",
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(),
        settings=PLAN.setting("figures.width", "figures.risk_coverage"),
        code=PLAN.code("draw_figure", "unsmooth.figures.curves:risk_coverage"),


rule draw_pnorm_sweep:
    input:
        sweep=PLAN.from_cells("scores/pnorm_sweep.csv"),
        fitted=PLAN.from_cells("scores/fitted.json"),
    output:
        **figure_outputs("{experiment}/{architecture}/pnorm_sweep", "AURC against the norm order p"),
    log:
        "results/logs/draw_pnorm_sweep/{experiment}/{architecture}.log",
    conda:
        "../envs/report.yaml"
    params:
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(),
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_pnorm_sweep"),
    script:
        "../workflow/scripts/draw_pnorm_sweep.py"


rule draw_extra_gradient:
    input:
        unpack(PLAN.dataset_files),
        logits=PLAN.logits_from_cells("val", "test", chosen=PLAN.smoothed_cells),
    output:
        **figure_outputs("{experiment}/{architecture}/extra_gradient", "gradient added by label smoothing"),
    log:
        "results/logs/draw_extra_gradient/{experiment}/{architecture}.log",
    conda:
        "../envs/train.yaml"
    params:
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(PLAN.smoothed_cells),
        settings=PLAN.setting("figures.extra_gradient"),
        code=PLAN.code("draw_extra_gradient"),
    script:
        "../workflow/scripts/draw_extra_gradient.py"


use rule draw_degradation as draw_reliability with:
    input:
        reliability=PLAN.from_cells("reliability.parquet"),
        summary="results/tables/{experiment}/summary.csv",
    output:
        **figure_outputs("{experiment}/{architecture}/reliability", "reliability diagrams"),
    log:
        "results/logs/draw_reliability/{experiment}/{architecture}.log",
    params:
        figure="unsmooth.figures.calibration:reliability",
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(),
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_figure", "unsmooth.figures.calibration:reliability"),


use rule draw_degradation as draw_logit_distances with:
    output:
        **figure_outputs("{experiment}/{architecture}/logit_distances", "distances between logits"),
    log:
        "results/logs/draw_logit_distances/{experiment}/{architecture}.log",
    params:
        figure="unsmooth.figures.calibration:logit_distances",
        losses=PLAN.loss_names,
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_figure", "unsmooth.figures.calibration:logit_distances"),


use rule draw_degradation as draw_zoo with:
    input:
        summary="results/tables/{experiment}/summary.csv",
        differences="results/tables/{experiment}/differences.csv",
    output:
        **figure_outputs("{experiment}/zoo", "accuracy against selective classification"),
    log:
        "results/logs/draw_zoo/{experiment}.log",
    params:
        figure="unsmooth.figures.zoo:zoo",
        losses=PLAN.loss_names,
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_figure", "unsmooth.figures.zoo:zoo"),


rule draw_ranking_maps:
    input:
        maps=PLAN.from_cells("pixels/maps.safetensors", chosen=PLAN.mapped_cells),
        fitted=PLAN.from_cells("scores/fitted.json", chosen=PLAN.mapped_cells),
    output:
        **figure_outputs("{experiment}/{architecture}/ranking_maps", "wrong pixels by confidence"),
    log:
        "results/logs/draw_ranking_maps/{experiment}/{architecture}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.dense)),
    conda:
        "../envs/train.yaml"
    params:
        losses=PLAN.loss_names,
        cells=PLAN.keys_of(PLAN.mapped_cells),
        settings=PLAN.setting("figures.width"),
        code=PLAN.code("draw_ranking_maps", *score_targets(MAIN_SCORES)),
    script:
        "../workflow/scripts/draw_ranking_maps.py"
