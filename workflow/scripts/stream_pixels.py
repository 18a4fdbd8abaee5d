"""Score every labelled test pixel of one cell, and keep a few scenes to draw."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save_file

from unsmooth.atomic_files import atomic_path
from unsmooth.data.arrays import DatasetError, read_manifest
from unsmooth.data.loading import evaluation_batches
from unsmooth.inference import inference_batch_size, load_model, scene_logits
from unsmooth.registry.scores import MAIN_SCORES
from unsmooth.runtime.gpus import leased_device
from unsmooth.runtime.jobs import job
from unsmooth.runtime.targets import architecture_target, score_targets
from unsmooth.scores import NLL_TEMPERATURE, usable_scores
from unsmooth.segmentation import PixelMetrics, Scene, small_scene, write_scenes
from unsmooth.tables.collection import read_fitted


def stream_pixels(
    architecture: dict[str, Any],
    dataset: Path,
    weights: Path,
    fitted: Path,
    metrics: Path,
    confusions: Path,
    maps: Path,
    *,
    coverages: list[float],
    places: list[int],
    map_size: int,
    device: str,
    workers: int,
) -> None:
    """Write metrics of all pixels, the confusion matrix of each scene, and the scenes at `places`.

    Raises:
        DatasetError: there is no test scene at one of the places.
    """
    manifest = read_manifest(dataset)
    if max(places) >= (count := manifest.sizes["test"]):
        raise DatasetError(f"pixels: maps must be below the {count} test scenes of {manifest.dataset}, got {places}")
    model = load_model(architecture, dataset, weights, device=device)
    batches = evaluation_batches(
        dataset, "test", device=device, batch_size=inference_batch_size(manifest, device), workers=workers
    )
    scores = usable_scores(read_fitted(fitted))
    found = PixelMetrics({name: score for name, score in scores.items() if name != NLL_TEMPERATURE})
    scenes: dict[int, Scene] = {}
    for place, (image, targets, logits) in enumerate(scene_logits(model, batches)):
        found.update(logits, targets)
        if place in places:
            scenes[place] = small_scene(manifest.visible(image), targets, logits, map_size)
    frame = found.frame(coverages)
    with atomic_path(metrics) as temporary:
        frame.to_csv(temporary, index=False)
    with atomic_path(confusions) as temporary:
        save_file({"confusions": found.confusions}, temporary)
    write_scenes(maps, scenes)
    print(f"{found.confusions.sum():,} pixels of {len(found.confusions)} scenes\n{frame.to_string()}")


if __name__ == "__main__":
    architecture = json.loads(snakemake.params.architecture)
    with job(snakemake, __file__, architecture_target(architecture), *score_targets(MAIN_SCORES)):
        torch.set_num_threads(snakemake.threads)
        # Scores rank small differences of logits, which TF32 would round.
        torch.backends.cudnn.allow_tf32 = False
        pixels = json.loads(snakemake.params.pixels)
        with leased_device(snakemake.resources) as device:
            stream_pixels(
                architecture,
                Path(snakemake.input.manifest).parent,
                Path(snakemake.input.model),
                Path(snakemake.input.fitted),
                Path(snakemake.output.metrics),
                Path(snakemake.output.confusions),
                Path(snakemake.output.maps),
                coverages=json.loads(snakemake.params.settings)["evaluation.risk_at_coverage"],
                places=pixels["maps"],
                map_size=pixels["map_size"],
                device=device,
                workers=snakemake.threads - 1,
            )
