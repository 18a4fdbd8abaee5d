rule train:
    input:
        unpack(dataset_files),
        unpack(teacher_weights),
    output:
        model=f"{CELL}/model.safetensors",
        history=f"{CELL}/history.csv",
        run=f"{CELL}/run.json",
    log:
        f"results/logs/train/{CELL.removeprefix('results/cells/')}.log",
    benchmark:
        f"results/benchmarks/train/{CELL.removeprefix('results/cells/')}.tsv"
    conda:
        "../envs/train.yaml"
    threads: decoding_threads
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
