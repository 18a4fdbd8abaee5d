rule train:
    input:
        unpack(PLAN.dataset_files),
        unpack(PLAN.pretrained_weights),
        unpack(PLAN.teacher_weights),
    output:
        model=f"{CELL}/model.safetensors",
        history=f"{CELL}/history.csv",
        run=f"{CELL}/run.json",
    log:
        f"results/logs/train/{CELL_NAME}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.trained)),
    conda:
        "../envs/train.yaml"
    threads: PLAN.training_threads
    resources:
        gpu=PLAN.shards,
    params:
        training=PLAN.training,
        # Not an output: the checkpoint must survive a killed job, so that the next one resumes.
        checkpoint=lambda wildcards: f"{CELL}/checkpoint.pt".format(**wildcards),
    script:
        "../workflow/scripts/train.py"


rule import_weights:
    input:
        unpack(PLAN.dataset_files),
        weights=PLAN.weights_file,
    output:
        model=f"{CELL}/model.safetensors",
        run=f"{CELL}/run.json",
    log:
        f"results/logs/import_weights/{CELL_NAME}.log",
    wildcard_constraints:
        experiment=one_of(PLAN.named(lambda found: found.has_models and not found.trained)),
    conda:
        "../envs/train.yaml"
    params:
        architecture=PLAN.architecture,
        source=PLAN.source_of_weights,
        code=PLAN.architecture_code("import_weights"),
    script:
        "../workflow/scripts/import_weights.py"
