rule dump_logits:
    input:
        unpack(dataset_files),
        model=f"{CELL}/model.safetensors",
    output:
        [f"{CELL}/logits/{split}.safetensors" for split in ("train", "val", "test")],
    log:
        f"results/logs/dump_logits/{CELL.removeprefix('results/cells/')}.log",
    benchmark:
        f"results/benchmarks/dump_logits/{CELL.removeprefix('results/cells/')}.tsv"
    wildcard_constraints:
        architecture=rf"(?!{IMPORTED}\b)[a-z][a-z0-9_]*",
    conda:
        "../envs/train.yaml"
    threads: decoding_threads
    resources:
        gpu=1,
    params:
        architecture=architecture_of,
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
        code=lambda wildcards: code_of("dump_logits", architecture_target(cell_of(wildcards))),
    message:
        "dump_logits {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/dump_logits.py"


rule import_logits:
    input:
        lambda wildcards: EXPERIMENTS[wildcards.experiment].path(cell_of(wildcards), wildcards.split),
    output:
        f"{IMPORTED_CELL}/logits/{{split}}.safetensors",
    log:
        f"results/logs/import_logits/{IMPORTED_CELL.removeprefix('results/cells/')}/{{split}}.log",
    benchmark:
        f"results/benchmarks/import_logits/{IMPORTED_CELL.removeprefix('results/cells/')}/{{split}}.tsv"
    conda:
        "../envs/train.yaml"
    params:
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
        code=code_of("import_logits"),
    message:
        "import_logits {wildcards.experiment}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}/{wildcards.split}"
    script:
        "../workflow/scripts/import_logits.py"
