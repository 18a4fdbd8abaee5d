"""Selective metrics side by side: this package, scikit-learn's way and torch's way, in one process.

    python benchmarks/metrics.py [--quick]

Each line is the best of a few runs, the ratio of the slower to ours, and the largest difference of the results.
`--quick` leaves out the 100 million samples. Memory is the peak of numpy's and Python's allocations beyond the inputs.
The streaming part prints the memory held while the stream grows, and the width of the bounds at a billion samples: 32
million draws, several times the bins, merged with themselves five times.
"""

import argparse
import gc
import platform
import resource
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from unsmooth import metrics


def best_of(runs: int, function: Callable[[], float]) -> tuple[float, float]:
    """Shortest wall time in seconds, and the value returned."""
    seconds, value = float("inf"), float("nan")
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        value = function()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds, value


def make_scores(n: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    confidence = rng.random(n, dtype=np.float32)
    return confidence, rng.random(n, dtype=np.float32) < 0.4 * (1 - confidence)


def argsort_aurc(confidence: NDArray[np.float32], errors: NDArray[np.bool_]) -> float:
    accepted = np.cumsum(errors[np.argsort(-confidence, kind="stable")])
    return float(np.mean(accepted / np.arange(1, len(errors) + 1)))


def torch_aurc(confidence: torch.Tensor, errors: torch.Tensor) -> float:
    accepted = errors[torch.argsort(confidence, descending=True)].cumsum(0)
    return float((accepted / torch.arange(1, len(errors) + 1, dtype=torch.float64)).mean())


def scikit_learn_augrc(confidence: NDArray[np.float32], errors: NDArray[np.bool_]) -> float:
    accuracy = 1 - errors.mean()
    return float((1 - roc_auc_score(~errors, confidence)) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2)


def compare_areas(n: int) -> None:
    confidence, errors = make_scores(n)
    tensors = torch.from_numpy(confidence), torch.from_numpy(errors)
    runs = 5 if n < 10**6 else 3 if n < 10**7 else 1
    ours, area = best_of(runs, lambda: metrics.aurc(confidence, errors))
    augrc_seconds, augrc = best_of(runs, lambda: metrics.augrc(confidence, errors))
    lines = [
        ("AURC", ours, "numpy argsort", *best_of(runs, lambda: argsort_aurc(confidence, errors)), area),
        ("AURC", ours, "torch argsort", *best_of(runs, lambda: torch_aurc(*tensors)), area),
        (
            "AUGRC",
            augrc_seconds,
            "sklearn roc_auc",
            *best_of(runs, lambda: scikit_learn_augrc(confidence, errors)),
            augrc,
        ),
    ]
    for name, own, peer, seconds, value, expected in lines:
        comparison = f"ours {own:8.4f} s  {peer:15} {seconds:8.4f} s  x{seconds / own:5.1f}"
        print(f"{n:>11,}  {name:5}  {comparison}  {abs(value - expected):.0e}")
    measure_calls(confidence, errors, runs)


def measure_calls(confidence: NDArray[np.floating[Any]], errors: NDArray[np.bool_], runs: int) -> None:
    """Time and memory of the calls that give many results at once."""
    inputs = (confidence.nbytes + errors.nbytes) / 2**30
    for function in (metrics.selective_metrics, metrics.risk_coverage_curve, metrics.selective_summary):
        seconds, _ = best_of(runs, lambda call=function: call(confidence, errors) is None)
        tracemalloc.start()
        function(confidence, errors)
        peak = tracemalloc.get_traced_memory()[1] / 2**30
        tracemalloc.stop()
        print(
            f"{len(errors):>11,}  {confidence.dtype}  {function.__name__:19}  {seconds:8.4f} s  "
            f"peak {peak:.2f} GiB beyond inputs of {inputs:.2f} GiB"
        )


def compare_bootstrap(n: int, replicates: int = 1000) -> None:
    confidence, errors = make_scores(n)
    start = time.perf_counter()
    metrics.bootstrap_replicates(confidence, errors, replicates=replicates)
    first = time.perf_counter() - start
    again, _ = best_of(3, lambda: metrics.bootstrap_replicates(confidence, errors, replicates=replicates)["aurc"][0])
    rng = np.random.default_rng(0)

    def resort() -> float:
        for _ in range(20):
            rows = rng.integers(0, n, n)
            argsort_aurc(confidence[rows], errors[rows])
            roc_auc_score(~errors[rows], confidence[rows])
        return 0.0

    seconds = best_of(1, resort)[0] * replicates / 20
    print(
        f"{n:>11,}  {replicates} replicates of all metrics: first score {first:.3f} s, each next {again:.3f} s; "
        f"re-sorting AURC and AUROC alone {seconds:.1f} s  x{seconds / first:.0f} on the first"
    )


def measure_streaming(batches: int, capacity: int) -> None:
    stream = metrics.StreamingMetrics(capacity)
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for batch in range(1, batches + 1):
        confidence = rng.random(1_000_000)
        stream.update(confidence, rng.random(1_000_000) < 0.4 * (1 - confidence))
        if batch & (batch - 1) == 0:
            low, high = stream.bounds()["aurc"]
            held = sum(array.nbytes for array in stream._bins) / 2**20
            rate = stream.count / (time.perf_counter() - start) / 1e6
            print(f"{stream.count:>11,}  {held:7.2f} MiB held  AURC width {high - low:.1e}  {rate:.1f} million/s")
    print(f"{'':>11}  peak RSS of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


def uniform(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.random(n)


def saturated(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Maximum softmax probabilities of a sure classifier: two thirds within 1e-7 of 1."""
    return -np.expm1(-np.abs(rng.normal(20, 10, n)))


def float32(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """The same rounded to float32: a fifth are exactly 1 and most others share their value."""
    return saturated(rng, n).astype(np.float32)


def atoms(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A thousand heavy ties among as many spread values: each shares a bin with others, which the bounds pay for."""
    return np.where(rng.random(n) < 0.5, np.round(rng.random(n), 3), rng.random(n))


def measure_billion(draw: Callable[[np.random.Generator, int], NDArray[np.floating[Any]]]) -> None:
    """Width of the bounds at the default capacity, with errors at random: the widest, and worse than any real score."""
    rng = np.random.default_rng(0)
    stream = metrics.StreamingMetrics()
    start = time.perf_counter()
    for _ in range(32):
        stream.update(draw(rng, 1_000_000), rng.random(1_000_000) < 0.5)
    for _ in range(5):
        stream.merge(stream)
    widths = ", ".join(f"{name} {high - low:.1e}" for name, (low, high) in stream.bounds().items())
    seconds = time.perf_counter() - start
    print(f"{stream.count:>13,}  {draw.__name__:9}  {len(stream._bins[0]):>9,} bins  widths: {widths}  {seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out 100 million samples and the longest streams")
    quick = parser.parse_args().quick
    print(f"{platform.processor() or platform.machine()}, torch threads {torch.get_num_threads()}")
    print("\nAreas (samples, ours, other, ratio, difference: equal scores make the others' order arbitrary)")
    for n in (50_000, 5_000_000) if quick else (50_000, 5_000_000, 100_000_000):
        compare_areas(n)
    if not quick:
        print("\nThe same calls on 100 million distinct float64 confidences")
        rng = np.random.default_rng(0)
        confidence = rng.random(100_000_000)
        measure_calls(confidence, rng.random(len(confidence), dtype=np.float32) < 0.2, 1)
        del confidence
    print("\nBootstrap")
    for n in (15_000,) if quick else (15_000, 50_000):
        compare_bootstrap(n)
    print("\nStreaming, capacity 2^16 and the default")
    measure_streaming(8 if quick else 64, 1 << 16)
    measure_streaming(8 if quick else 64, 1 << 23)
    print("\nStreaming a billion samples, half of them errors")
    for draw in (uniform, saturated, float32, atoms):
        measure_billion(draw)


if __name__ == "__main__":
    main()
