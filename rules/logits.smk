rule dump_logits:
    input:
        unpack(PLAN.dataset_files),
        model=f"{CELL}/model.safetensors",
    output:
        [f"{CELL}/logits/{split}.safetensors" for split in ("train", "val", "test")],
    log:
        f"results/logs/dump_logits/{CELL_NAME}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: not found.dense)),
        architecture=rf"(?!{IMPORTED}\b)[a-z][a-z0-9_]*",
    conda:
        "../envs/train.yaml"
    threads: PLAN.threads
    resources:
        gpu=1,
    params:
        architecture=PLAN.architecture,
        cell=PLAN.cell_key,
        code=PLAN.architecture_code("dump_logits"),
    script:
        "../workflow/scripts/dump_logits.py"


# Scenes have too many pixels to keep: a sample of the logits, then one pass over all test pixels with fitted scores.
use rule dump_logits as dump_pixels with:
    log:
        f"results/logs/dump_pixels/{CELL_NAME}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.dense)),
    params:
        architecture=PLAN.architecture,
        cell=PLAN.cell_key,
        pixels=PLAN.pixels("per_scene", "seed"),
        code=PLAN.architecture_code("dump_logits"),


rule stream_pixels:
    input:
        unpack(PLAN.dataset_files),
        model=f"{CELL}/model.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
    output:
        metrics=f"{CELL}/pixels/metrics.csv",
        confusions=f"{CELL}/pixels/confusions.safetensors",
        maps=f"{CELL}/pixels/maps.safetensors",
    log:
        f"results/logs/stream_pixels/{CELL_NAME}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.dense)),
    conda:
        "../envs/train.yaml"
    threads: PLAN.threads
    resources:
        gpu=1,
    params:
        architecture=PLAN.architecture,
        pixels=PLAN.pixels("maps", "map_size"),
        settings=PLAN.setting("evaluation.risk_at_coverage"),
        code=PLAN.architecture_code("stream_pixels", *score_targets(MAIN_SCORES)),
    script:
        "../workflow/scripts/stream_pixels.py"


rule import_logits:
    input:
        source=PLAN.logits_file,
        compared=PLAN.imported_for_comparison,
    output:
        f"{IMPORTED_CELL}/logits/{{split}}.safetensors",
    log:
        f"results/logs/import_logits/{IMPORTED_CELL_NAME}/{{split}}.log",
    conda:
        "../envs/train.yaml"
    params:
        cell=PLAN.cell_key,
        code=PLAN.code("import_logits"),
    script:
        "../workflow/scripts/import_logits.py"
