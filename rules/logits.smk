rule dump_logits:
    input:
        unpack(dataset_files),
        model=f"{CELL}/model.safetensors",
    output:
        [f"{CELL}/logits/{split}.safetensors" for split in ("train", "val", "test")],
    log:
        f"results/logs/dump_logits/{CELL.removeprefix('results/cells/')}.log",
    wildcard_constraints:
        experiment=one_of(name for name in EXPERIMENTS if name not in DENSE),
        architecture=rf"(?!{IMPORTED}\b)[a-z][a-z0-9_]*",
    conda:
        "../envs/train.yaml"
    threads: decoding_threads
    resources:
        gpu=1,
    params:
        architecture=architecture_of,
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
        code=lambda wildcards: architecture_code("dump_logits", wildcards),
    message:
        "dump_logits {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/dump_logits.py"


# Of scenes, whose pixels are too many: a sample of the logits, then one pass over all test pixels with fitted scores.
use rule dump_logits as dump_pixels with:
    log:
        f"results/logs/dump_pixels/{CELL.removeprefix('results/cells/')}.log",
    wildcard_constraints:
        experiment=one_of(DENSE),
    params:
        architecture=architecture_of,
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
        pixels=lambda wildcards: pixels_of(wildcards, "per_scene", "seed"),
        code=lambda wildcards: architecture_code("dump_logits", wildcards),
    message:
        "dump_pixels {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"


rule stream_pixels:
    input:
        unpack(dataset_files),
        model=f"{CELL}/model.safetensors",
        fitted=f"{CELL}/scores/fitted.json",
    output:
        metrics=f"{CELL}/pixels/metrics.csv",
        confusions=f"{CELL}/pixels/confusions.safetensors",
        maps=f"{CELL}/pixels/maps.safetensors",
    log:
        f"results/logs/stream_pixels/{CELL.removeprefix('results/cells/')}.log",
    wildcard_constraints:
        experiment=one_of(DENSE),
    conda:
        "../envs/train.yaml"
    threads: decoding_threads
    resources:
        gpu=1,
    params:
        architecture=architecture_of,
        pixels=lambda wildcards: pixels_of(wildcards, "maps", "map_size"),
        settings=settings_of("evaluation.risk_at_coverage"),
        code=lambda wildcards: architecture_code("stream_pixels", wildcards),
    message:
        "stream_pixels {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/stream_pixels.py"


rule import_logits:
    input:
        lambda wildcards: EXPERIMENTS[wildcards.experiment].path(cell_of(wildcards), wildcards.split),
    output:
        f"{IMPORTED_CELL}/logits/{{split}}.safetensors",
    log:
        f"results/logs/import_logits/{IMPORTED_CELL.removeprefix('results/cells/')}/{{split}}.log",
    conda:
        "../envs/train.yaml"
    params:
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
        code=code_of("import_logits"),
    message:
        "import_logits {wildcards.experiment}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}/{wildcards.split}"
    script:
        "../workflow/scripts/import_logits.py"
