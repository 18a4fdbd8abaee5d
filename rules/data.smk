rule build_dataset:
    output:
        manifest="resources/{dataset}/manifest.json",
        arrays="resources/{dataset}/data.safetensors",
    log:
        "results/logs/build_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/build_dataset/{dataset}.tsv"
    conda:
        "../envs/train.yaml"
    params:
        dataset=lambda wildcards: canonical_json(DATASETS[wildcards.dataset].model_dump()),
    message:
        "build_dataset {wildcards.dataset}"
    script:
        "../workflow/scripts/build_dataset.py"
