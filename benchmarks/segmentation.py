"""Every pixel of a segmentation: streamed scoring against keeping all confidences.

    python benchmarks/segmentation.py [--scenes N] [--released N] [--height H] [--width W] [--threads N]

Synthetic logits of 19 classes go scene by scene through MSP and one p-norm. Ours scores a scene in float32, adds it to
the accumulators and forgets it. The released way takes the softmax in float64, and the centred logits over their
p-norm, keeps both confidences of every pixel, and integrates them at the end: 17 bytes a pixel and twice that to sort,
so it takes the first scenes alone. Drawing the logits is not timed. Wall and processor seconds, the latter not
lengthened by other processes, and the peak memory of the process are told after one scene and after all. The bounds of
AURC after the first scenes stand beside the exact value of the same scores kept in memory, and the released way's.
"""

import argparse
import resource
import time

import numpy as np
import torch
from torch import Tensor

from unsmooth.metrics import aurc
from unsmooth.scores import FittedScore, fit_score, score_all
from unsmooth.segmentation import PixelMetrics

CLASSES, P = 19, 4


def scene(height: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits (K, H, W) of a model with about one error in fifteen, and targets (H, W)."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(CLASSES, height, width, generator=generator)
    targets = torch.randint(CLASSES, (height, width), generator=generator)
    strength = 9 * torch.rand(1, height, width, generator=generator).sqrt() + 1
    return logits.scatter_add_(0, targets[None], strength), targets


def released_way(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """MSP and normalised largest logit in float64, and errors, of all pixels of a scene."""
    rows = logits.flatten(1).T.double()
    centred = rows - rows.mean(dim=1, keepdim=True)
    normalised = (centred / torch.linalg.vector_norm(centred, P, dim=1, keepdim=True)).amax(dim=1)
    return rows.softmax(dim=1).amax(dim=1), normalised, rows.argmax(dim=1) != targets.flatten()


def trapezoid_aurc(confidence: Tensor, errors: Tensor) -> float:
    """AURC of the released code: trapezoids over n + 1 coverages, with risk 0 at coverage 0."""
    risk = torch.cumsum(errors[torch.argsort(confidence, descending=True)].double(), 0) / torch.arange(
        1, len(errors) + 1
    )
    return float(risk.mean() - risk[-1] / (2 * len(risk)))


def clocks() -> np.ndarray:
    """Wall and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def peak_mb() -> float:
    """Peak memory of the process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--released", type=int, default=20, help="scenes that the released way takes")
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size, pixels = (options.height, options.width), options.height * options.width
    compared = min(options.released, options.scenes)
    scores = {
        "msp": fit_score("msp"),
        "max_logit_pnorm": FittedScore("max_logit_pnorm", {"p": P, "centring": "mean"}),
    }
    found = PixelMetrics(scores)

    spent = np.zeros(2)
    for number in range(options.scenes):
        logits, targets = scene(*size, seed=number)
        began = clocks()
        found.update(logits, targets)
        spent += clocks() - began
        if number + 1 in (1, compared, options.scenes):
            print(f"streamed, {number + 1} scenes: peak {peak_mb():,.0f} MB")
        if number + 1 == compared:
            began = clocks()
            frame = found.frame([0.2])
            spent += clocks() - began
    began = clocks()
    whole = found.frame([0.2])
    spent += clocks() - began
    report("streamed", spent / options.scenes, pixels)
    for row in whole[whole["metric"] == "aurc"].itertuples():
        print(f"{row.score}, {options.scenes} scenes: AURC {row.value:.9f}, width {row.upper - row.lower:.1e}")

    kept, exact, released = [], [], np.zeros(2)
    for number in range(compared):
        logits, targets = scene(*size, seed=number)
        began = clocks()
        kept.append(released_way(logits, targets))
        released += clocks() - began
        scored = score_all(logits.flatten(1).T, scores=scores, ps=())
        exact.append(np.stack([*scored.values(), scored.predictions != targets.flatten().numpy()]))
    began = clocks()
    *confidences, errors = (torch.cat(parts) for parts in zip(*kept, strict=True))
    areas = [trapezoid_aurc(confidence, errors) for confidence in confidences]
    released += clocks() - began
    report("released way", released / compared, pixels)
    print(f"released way, {compared} scenes, and the exact value: peak {peak_mb():,.0f} MB")
    wall, processor = (released / compared) / (spent / options.scenes)
    print(f"ratio a scene: {wall:.1f} of wall, {processor:.1f} of processor seconds")

    *confidences, errors = np.concatenate(exact, axis=1)
    bounds = frame[frame["metric"] == "aurc"].itertuples()
    for row, confidence, area in zip(bounds, confidences, areas, strict=True):
        value = aurc(confidence, errors)
        where = "inside" if row.lower <= value <= row.upper else "OUTSIDE"
        print(
            f"{row.score}, {compared} scenes: AURC {row.value:.12f} in [{row.lower:.12f}, {row.upper:.12f}], "
            f"width {row.upper - row.lower:.1e}; exact {value:.12f}, {where}; released way {area:.12f}"
        )


def report(way: str, spent: np.ndarray, pixels: int) -> None:
    """Print the speed of one way, from the seconds it takes for a scene."""
    wall, processor = spent
    print(
        f"{way}, a scene: {wall:.2f} s wall, {processor:.2f} s processor; million pixels a second: "
        f"{pixels / wall / 1e6:.2f} wall, {pixels / processor / 1e6:.2f} processor"
    )


if __name__ == "__main__":
    main()
