rule evaluate:
    input:
        unpack(PLAN.pixel_files),
        scores=f"{CELL}/scores/test.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
        logits=f"{CELL}/logits/test.safetensors",
    output:
        metrics=f"{CELL}/metrics.csv",
        bootstrap=f"{CELL}/bootstrap.parquet",
        curves=f"{CELL}/curves.parquet",
        reliability=f"{CELL}/reliability.parquet",
    log:
        f"results/logs/evaluate/{CELL_NAME}.log",
    conda:
        "../envs/report.yaml"
    params:
        settings=PLAN.setting("evaluation"),
        code=PLAN.code("evaluate"),
    message:
        f"evaluate {CELL_MESSAGE}"
    script:
        "../workflow/scripts/evaluate.py"
