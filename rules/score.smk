rule score:
    input:
        val=f"{CELL}/logits/val.safetensors",
        test=f"{CELL}/logits/test.safetensors",
    output:
        scores=f"{CELL}/scores/test.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
        sweep=f"{CELL}/scores/pnorm_sweep.csv",
    log:
        f"results/logs/score/{CELL.removeprefix('results/cells/')}.log",
    conda:
        "../envs/train.yaml"
    params:
        scores=settings_of("scores"),
        code=code_of("score"),
    message:
        "score {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/score.py"
