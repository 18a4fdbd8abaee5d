rule train:
    input:
        unpack(dataset_files),
        unpack(pretrained_weights),
        unpack(teacher_weights),
    output:
        model=f"{CELL}/model.safetensors",
        history=f"{CELL}/history.csv",
        run=f"{CELL}/run.json",
    log:
        f"results/logs/train/{CELL.removeprefix('results/cells/')}.log",
    wildcard_constraints:
        experiment=one_of(name for name, found in EXPERIMENTS.items() if found.trained),
    conda:
        "../envs/train.yaml"
    threads: lambda wildcards: decoding_threads(wildcards, devices=shards_of(wildcards))
    resources:
        gpu=shards_of,
    params:
        training=lambda wildcards: canonical_json(training_of(wildcards)),
        # Not an output: it must survive a killed job, for the next one to resume from.
        checkpoint=lambda wildcards: f"{CELL}/checkpoint.pt".format(**wildcards),
    message:
        "train {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/train.py"


rule import_weights:
    input:
        unpack(dataset_files),
        weights=weights_file,
    output:
        model=f"{CELL}/model.safetensors",
        run=f"{CELL}/run.json",
    log:
        f"results/logs/import_weights/{CELL.removeprefix('results/cells/')}.log",
    wildcard_constraints:
        experiment=one_of(name for name, found in EXPERIMENTS.items() if found.has_models and not found.trained),
    conda:
        "../envs/train.yaml"
    params:
        architecture=architecture_of,
        source=weights_of,
        code=lambda wildcards: architecture_code("import_weights", wildcards),
    message:
        "import_weights {wildcards.experiment}/{wildcards.architecture}/{wildcards.loss}_alpha-{wildcards.alpha}/seed-{wildcards.seed}"
    script:
        "../workflow/scripts/import_weights.py"
