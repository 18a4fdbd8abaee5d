rule score:
    input:
        val=f"{CELL}/logits/val.safetensors",
        test=f"{CELL}/logits/test.safetensors",
    output:
        scores=f"{CELL}/scores/test.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
        sweep=f"{CELL}/scores/pnorm_sweep.csv",
        operating=f"{CELL}/scores/operating_points.csv",
    log:
        f"results/logs/score/{CELL_NAME}.log",
    conda:
        "../envs/train.yaml"
    params:
        scores=PLAN.setting("scores"),
        entries=canonical_json(score_entries(PLAN.settings.scores)),
        code=PLAN.code("score", *score_targets(PLAN.settings.scores)),
    script:
        "../workflow/scripts/score.py"
