"""Scoring speed: every p of the p-norm in one pass against one pass per p.

    python benchmarks/scoring.py [--quick]

The released way tunes p = 1..10 beside MSP in float64: for each p it centres the logits, takes one norm over the whole
array, sorts the scores and integrates the risk-coverage curve by trapezoids. Ours is ``score_all`` and ``aurc`` on the
same float32 logits. Both run in this process, one after the other; each time is the best of several. Rows tell the
ratio, the extra peak memory of each, and the largest difference between their AURCs.
"""

import argparse
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unsmooth.metrics import aurc
from unsmooth.scores import pnorm_name, score_all

PS = range(1, 11)


def synthetic_logits(num_samples: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Logits of a classifier with about one error in five, and its targets."""
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
    """The same by one pass."""
    scored = score_all(logits, scores=["msp"], ps=PS)
    errors = scored.predictions != targets.numpy()
    return {name: aurc(confidence, errors, convention="paper") for name, confidence in scored.items()}


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Shortest wall time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


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


def compare(num_samples: int, num_classes: int, repeats: int) -> None:
    """Print one comparison."""
    logits, targets = synthetic_logits(num_samples, num_classes)
    our_way(logits[:1000], targets[:1000])
    memory = extra_memory_mib(lambda: our_way(logits, targets))
    ours = best_of(2 * repeats + 1, lambda: our_way(logits, targets))
    read = best_of(2 * repeats + 1, lambda: logits.sum())
    theirs_memory = extra_memory_mib(lambda: released_way(logits, targets))
    theirs = best_of(repeats, lambda: released_way(logits, targets))
    pairs = zip(our_way(logits, targets).values(), released_way(logits, targets).values(), strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    print(
        f"{num_samples:>8,} x {num_classes:>5,} | released {theirs:8.3f} s {theirs_memory:6.0f} MiB"
        f" | ours {ours:7.4f} s {memory:5.1f} MiB | {theirs / ours:6.1f} x faster | read once {read:7.4f} s"
        f" ({ours / read:4.1f} reads) | AURC differs by {difference:.1e}",
        flush=True,
    )


def every_score(num_samples: int, num_classes: int, repeats: int) -> None:
    """Print the time of everything that score_all knows."""
    logits, _ = synthetic_logits(num_samples, num_classes)
    taken = best_of(repeats, lambda: score_all(logits))
    count = len(score_all(logits[:10]))
    print(f"{num_samples:>8,} x {num_classes:>5,} | all {count} scores in {taken:.3f} s", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes only, for a smoke test")
    quick = parser.parse_args().quick
    print(f"torch {torch.__version__}, numpy {np.__version__}, {torch.get_num_threads()} threads; p = 1..10 and MSP")
    # The first row is the headline; the others show growth with N, then with K.
    sizes = [(2_000, 100)] if quick else [(50_000, 1_000), (5_000, 1_000), (20_000, 1_000), (50_000, 10), (50_000, 100)]
    repeats = 1 if quick else 3
    for size in sizes:
        compare(*size, repeats)
    every_score(*sizes[0], repeats)


if __name__ == "__main__":
    main()
