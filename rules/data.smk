rule download:
    output:
        "resources/sources/{source}/source.json",
    log:
        "results/logs/download/{source}.log",
    # Before all other jobs, so that missing data are reported before any training.
    priority: 100
    # Compute nodes often have no internet access, unlike the machine that runs snakemake.
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        # Expected digests. The origin (downloads.mirrors and .folders) changes no result, so it is no parameter.
        archives=PLAN.archives,
    script:
        "../workflow/scripts/download.py"


rule download_weights:
    output:
        "resources/hub/{hub_file}",
    log:
        "results/logs/download_weights/{hub_file}.log",
    wildcard_constraints:
        hub_file=".+",
    priority: 100
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        reference=lambda wildcards: f"{HUB}{wildcards.hub_file}",
    script:
        "../workflow/scripts/download_weights.py"


rule build_dataset:
    input:
        unpack(PLAN.sources),
    output:
        manifest="resources/{dataset}/manifest.json",
        arrays="resources/{dataset}/data.safetensors",
    log:
        "results/logs/build_dataset/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name, found in PLAN.datasets.items() if not found.files),
    conda:
        "../envs/train.yaml"
    params:
        dataset=lambda wildcards: canonical_json(PLAN.datasets[wildcards.dataset].model_dump()),
    script:
        "../workflow/scripts/build_dataset.py"


use rule build_dataset as index_dataset with:
    output:
        manifest="resources/{dataset}/manifest.json",
        images="resources/{dataset}/images.csv",
    log:
        "results/logs/index_dataset/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name, found in PLAN.datasets.items() if found.files),
