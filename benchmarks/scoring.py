"""Scoring speed: every p of the p-norm in one pass against one pass per p.

    python benchmarks/scoring.py [--quick] [--threads N]

The released way tunes p = 1..10 beside MSP in float64: for each p it centres the logits, takes one norm over the whole
array, sorts the scores and integrates the risk-coverage curve by trapezoids. Ours is ``score_all`` and ``aurc`` on the
same float32 logits, and ``fit_score`` with the application of what it fitted. Both run in this process, with the same
number of threads, in alternating rounds: the ratio is the median of the rounds' ratios, so that a busy machine slows
both sides. Processor seconds, which other processes do not lengthen, stand beside the wall clock. Rows tell the extra
peak memory of each, what one reading of the array takes, and the largest difference between the AURCs.
"""

import argparse
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from unsmooth.metrics import aurc
from unsmooth.scores import fit_score, pnorm_name, score_all

PS = range(1, 11)
# What score_all computes, from the input alone to everything of the comparison.
STAGES: dict[str, tuple[list[str], list[int]]] = {
    "max logit": (["max_logit"], []),
    "MSP": (["msp"], []),
    "p = 1": ([], [1]),
    "p = 1..10": ([], [*PS]),
    "MSP and p = 1..10": (["msp"], [*PS]),
}


def synthetic_logits(num_samples: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Logits of a classifier with about one error in four, and its targets."""
    generator = torch.Generator().manual_seed(2403)
    logits = torch.randn(num_samples, num_classes, generator=generator)
    targets = torch.randint(num_classes, (num_samples,), generator=generator)
    strength = torch.rand(num_samples, generator=generator) * 8 + 1
    logits[torch.arange(num_samples), targets] += strength
    return logits, targets


def trapezoid_aurc(confidence: Tensor, errors: Tensor) -> float:
    """AURC of the released code: trapezoids over n + 1 coverages, with risk 0 at coverage 0."""
    order = torch.argsort(confidence, descending=True)
    risk = torch.cumsum(errors[order], 0) / torch.arange(1, len(errors) + 1)
    return float(torch.trapezoid(torch.cat((torch.zeros(1), risk)), torch.linspace(0, 1, len(errors) + 1)))


def released_way(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """AURC by score, in float64, with one pass over all logits for each."""
    errors = (logits.argmax(dim=1) != targets).double()
    wide = logits.double()
    areas = {"msp": trapezoid_aurc(wide.softmax(dim=1).amax(dim=1), errors)}
    for p in PS:
        centred = wide - wide.mean(dim=1, keepdim=True)
        normalised = centred / torch.linalg.vector_norm(centred, p, dim=1, keepdim=True)
        areas[pnorm_name(p)] = trapezoid_aurc(normalised.amax(dim=1), errors)
    return areas


def our_way(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """The same by one pass; the threads that scored then share the sorting."""
    scored = score_all(logits, scores=["msp"], ps=PS)
    errors = scored.predictions != targets.numpy()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        areas = pool.map(lambda confidence: aurc(confidence, errors, convention="paper"), scored.values())
        return dict(zip(scored, areas, strict=True))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def extra_memory_mib(work: Callable[[], object]) -> float:
    """Peak resident memory during the work, above that before it, sampled every millisecond."""
    gc.collect()
    page = 4096 / 2**20
    statm = Path("/proc/self/statm")

    def resident() -> float:
        return int(statm.read_text().split()[1]) * page

    before, peak, done = resident(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(peak, resident()) - before


def compare(num_samples: int, num_classes: int, rounds: int) -> None:
    """Print one comparison."""
    logits, targets = synthetic_logits(num_samples, num_classes)
    our_way(logits[:1000], targets[:1000])
    memory = extra_memory_mib(lambda: our_way(logits, targets))
    theirs_memory = extra_memory_mib(lambda: released_way(logits, targets))
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(seconds(lambda: released_way(logits, targets)))
        # The median of three, because one hiccup is a large part of so short a time.
        ours.append(sorted(seconds(lambda: our_way(logits, targets)) for _ in range(3))[1])
    faster, cheaper = (median(a[i] / b[i] for a, b in zip(theirs, ours, strict=True)) for i in (0, 1))
    read = min(seconds(lambda: logits.sum())[0] for _ in range(5))
    pairs = zip(our_way(logits, targets).values(), released_way(logits, targets).values(), strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    wall = median(ours)[0]
    print(
        f"{num_samples:>8,} x {num_classes:>5,} | released {median(theirs)[0]:8.3f} s {theirs_memory:6.0f} MiB"
        f" | ours {wall:7.4f} s {memory:5.1f} MiB | {faster:6.1f} x faster, {cheaper:6.1f} x fewer processor seconds"
        f" | read once {read:7.4f} s ({wall / read:4.1f} reads) | AURC differs by {difference:.1e}",
        flush=True,
    )


def stages(num_samples: int, num_classes: int, rounds: int) -> None:
    """Print processor nanoseconds per logit of what the comparison consists of."""
    logits, targets = synthetic_logits(num_samples, num_classes)
    scored = score_all(logits, scores=["msp"], ps=PS)
    errors = scored.predictions != targets.numpy()
    work: dict[str, Callable[[], object]] = {
        stage: partial(score_all, logits, scores=names, ps=ps) for stage, (names, ps) in STAGES.items()
    }
    work["their AURCs"] = lambda: [aurc(confidence, errors) for confidence in scored.values()]
    for stage, task in work.items():
        used = min(seconds(task)[1] for _ in range(2 * rounds))
        print(f"{stage:>20} | {used / logits.numel() * 1e9:5.2f} ns of processor time per logit", flush=True)


def fit(num_samples: int, num_classes: int, rounds: int) -> None:
    """Print what it takes to fit the repaired score and to apply it, against the released way."""
    logits, targets = synthetic_logits(num_samples, num_classes)
    ratios, ours = [], []
    for _ in range(rounds):
        theirs = seconds(lambda: released_way(logits, targets))
        fitted = sorted(seconds(lambda: fit_score("max_logit_pnorm", logits, targets)(logits)) for _ in range(3))[1]
        ratios.append([a / b for a, b in zip(theirs, fitted, strict=True)])
        ours.append(fitted[0])
    faster, cheaper = map(median, zip(*ratios, strict=True))
    print(
        f"{num_samples:>8,} x {num_classes:>5,} | fit_score and its application {median(ours):.3f} s"
        f" | {faster:6.1f} x faster, {cheaper:6.1f} x fewer processor seconds",
        flush=True,
    )


def every_score(num_samples: int, num_classes: int, rounds: int) -> None:
    """Print the time of everything that score_all knows."""
    logits, _ = synthetic_logits(num_samples, num_classes)
    taken = min(seconds(lambda: score_all(logits))[0] for _ in range(rounds))
    count = len(score_all(logits[:10]))
    print(f"{num_samples:>8,} x {num_classes:>5,} | all {count} scores in {taken:.3f} s", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes only, for a smoke test")
    parser.add_argument("--threads", type=int, help="threads of both sides; torch's own choice if left out")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(
        f"torch {torch.__version__}, numpy {np.__version__}, {torch.get_num_threads()} thread(s) on either side; "
        "p = 1..10 and MSP"
    )
    # The first row is the headline; the others show growth with N, then with K.
    sizes = [(2_000, 100)] if arguments.quick else [(50_000, 1_000), (5_000, 1_000), (50_000, 10), (50_000, 100)]
    rounds = 1 if arguments.quick else 5
    for size in sizes:
        compare(*size, rounds)
    fit(*sizes[0], rounds)
    stages(*sizes[0], rounds)
    every_score(*sizes[0], rounds)


if __name__ == "__main__":
    main()
