rule dump_logits:
    input:
        unpack(dataset_files),
        model=f"{CELL}/model.safetensors",
    output:
        [f"{CELL}/logits/{split}.safetensors" for split in SPLITS],
    params:
        architecture=lambda wildcards: canonical_json(training_of(wildcards)["architecture"]),
        cell=lambda wildcards: canonical_json(vars(cell_of(wildcards))),
    log:
        f"results/logs/dump_logits/{CELL.removeprefix('results/cells/')}.log",
    benchmark:
        f"results/benchmarks/dump_logits/{CELL.removeprefix('results/cells/')}.tsv"
    conda:
        "../envs/train.yaml"
    script:
        "../workflow/scripts/dump_logits.py"
