"""Spread over seeds of the released Online Shoppers recipe, on all test rows, as the published numbers are measured.

    python benchmarks/online_shoppers_seeds.py FOLDER [--seeds 40] [--alpha 0 0.6]

FOLDER holds the UCI archive. The released preprocessing standardises with all rows; the network, Adam, ten epochs and
batches of 128 are those of the released notebook, written out here in plain torch, apart from the library's loop.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unsmooth.data.arrays import load_split
from unsmooth.data.tabular import build_online_shoppers
from unsmooth.metrics import aurc
from unsmooth.scores import msp

ARCHIVE = "online+shoppers+purchasing+intention+dataset.zip"


def read(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return inputs and targets of the training rows and of all 9,865 test rows."""
    with tempfile.TemporaryDirectory() as place:
        unpacked, built = Path(place) / "unpacked", Path(place) / "built"
        zipfile.ZipFile(folder / ARCHIVE).extractall(unpacked)
        sources = {"online_shoppers": unpacked}
        build_online_shoppers(
            built, dataset="online_shoppers", sources=sources, num_val=2000, split_seed=0, statistics="all"
        )
        train, *others = (load_split(built, split) for split in ("train", "val", "test"))
    inputs, targets = (torch.cat([getattr(split, name) for split in others]) for name in ("inputs", "targets"))
    return train.inputs.float(), train.targets.float(), inputs.float(), targets


def measure(seed: int, alpha: float, data: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[float, float]:
    """Train one network and return its test error and AURC by MSP in the paper's convention, percent."""
    inputs, targets, test_inputs, test_targets = data
    torch.manual_seed(seed)
    features = inputs.shape[1]
    widths = (features, 4 * features, 2 * features, 1)
    layers = [nn.Linear(*widths[:2]), nn.ReLU(), nn.Linear(*widths[1:3]), nn.ReLU(), nn.Linear(*widths[2:])]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    smoothed = targets * (1 - alpha) + alpha / 2
    for _ in range(10):
        for rows in torch.randperm(len(inputs)).split(128):
            optimizer.zero_grad()
            outputs = model(inputs[rows]).squeeze(1)
            nn.functional.binary_cross_entropy_with_logits(outputs, smoothed[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        output = model(test_inputs).double() / 2
    logits = torch.cat([-output, output], dim=1)
    errors = logits.argmax(dim=1) != test_targets
    return 100 * errors.double().mean().item(), 100 * aurc(msp(logits), errors, convention="paper")


def main() -> None:
    """Print mean, standard deviation and range over seeds for each strength."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.0, 0.6])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = read(arguments.folder)
    print(f"percent, {arguments.seeds} seeds")
    print(f"{'alpha':>6}{'metric':>8}{'mean':>8}{'std':>8}{'lowest':>8}{'highest':>8}")
    for alpha in arguments.alpha:
        found = np.array([measure(seed, alpha, data) for seed in range(arguments.seeds)])
        for name, values in zip(("error", "AURC"), found.T, strict=True):
            numbers = (values.mean(), values.std(ddof=1), values.min(), values.max())
            print(f"{alpha:>6g}{name:>8}" + "".join(f"{number:>8.2f}" for number in numbers), flush=True)


if __name__ == "__main__":
    main()
