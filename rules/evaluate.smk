rule evaluate:
    input:
        unpack(pixel_files),
        scores=f"{CELL}/scores/test.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
        logits=f"{CELL}/logits/test.safetensors",
    output:
        metrics=f"{CELL}/metrics.csv",
        bootstrap=f"{CELL}/bootstrap.parquet",
        curves=f"{CELL}/curves.parquet",
        reliability=f"{CELL}/reliability.parquet",
    log:
        f"results/logs/evaluate/{CELL.removeprefix('results/cells/')}.log",
    conda:
        "../envs/report.yaml"
    params:
        settings=settings_of("evaluation"),
        code=code_of("evaluate"),
    message:
        "evaluate {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/evaluate.py"
