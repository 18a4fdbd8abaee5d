"""Forward and backward of every loss against torch's own cross-entropy, side by side in one process.

    python benchmarks/losses.py [--device cuda] [--rounds 7]

The rounds are interleaved and medians of the ratios to cross-entropy are printed, because a shared machine changes its
speed while one looks. MMCE couples all positions, so it has no row for pixels.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from tabulate import tabulate
from torch import nn

from unsmooth.losses import make_loss

SHAPES = {"128 x 1000": (128, 1000), "128 x 200": (128, 200), "8 x 21 x 512 x 512": (8, 21, 512, 512)}
ALPHAS = {
    "ls": 0.1, "mbls": 0.1, "maxsup": 0.1, "focal": 3.0, "flsd": 3.0, "ecp": 0.1, "l1": 0.1, "logit_penalty": 1e-4,
    "mmce": 1.0, "mmce_weighted": 1.0, "brier": 0.0, "online_ls": 0.5,
}  # fmt: skip
BATCH_ONLY = ("mmce", "mmce_weighted")
MIN_SECONDS = 0.05


def seconds(loss: nn.Module, logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the time of one forward and backward, averaged over enough of them to be measured."""
    calls, started = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - started < MIN_SECONDS:
        logits.grad = None
        loss(logits, targets).backward()
        if logits.is_cuda:
            torch.cuda.synchronize()
        calls += 1
    return (time.perf_counter() - started) / calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, dict[str, float]] = {kind: {} for kind in ALPHAS}
    reference = {}
    for name, shape in SHAPES.items():
        generator = torch.Generator().manual_seed(0)
        logits = (3 * torch.randn(shape, generator=generator)).to(arguments.device).requires_grad_()
        targets = torch.randint(shape[1], shape[:1] + shape[2:], generator=generator).to(arguments.device)
        losses = {
            kind: make_loss(kind, alpha, **({"num_classes": shape[1]} if kind == "online_ls" else {})).to(
                arguments.device
            )
            for kind, alpha in ALPHAS.items()
            if len(shape) == 2 or kind not in BATCH_ONLY
        }
        plain = nn.CrossEntropyLoss()
        found: dict[str, list[float]] = {kind: [] for kind in losses}
        times = []
        for _ in range(arguments.rounds):
            times.append(seconds(plain, logits, targets))
            for kind, loss in losses.items():
                found[kind].append(seconds(loss, logits, targets) / times[-1])
        reference[name] = 1000 * statistics.median(times)
        for kind, values in found.items():
            ratios[kind][name] = statistics.median(values)
    rows = [["torch cross-entropy, ms", *(f"{reference[name]:.3f}" for name in SHAPES)]]
    rows += [
        [kind, *(f"{found[name]:.2f} x" if name in found else "-" for name in SHAPES)] for kind, found in ratios.items()
    ]
    print(f"device {arguments.device}, 1 thread, medians of {arguments.rounds} interleaved rounds")
    print(tabulate(rows, headers=["loss", *SHAPES]))


if __name__ == "__main__":
    main()
