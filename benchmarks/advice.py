"""Advice of `unsmooth diagnose`: how often it helps, how often it harms, and what it leaves on the table.

    python benchmarks/advice.py [FILE ...] [--results RESULTS] [--sizes 500 1000 2500 5000] [--splits 2]

Each classifier is split at random into validation and test samples, several times for every size of the validation
data. The recommendation sees the fit half of the validation samples; the test samples judge. FILE holds logits and
targets of one classifier, in any format that `unsmooth diagnose` reads; `--results` adds every cell of a finished run
of the workflow, validation and test logits pooled. Small networks trained here on the digits of scikit-learn, with
cross-entropy and label smoothing, are always part of it.

Two rules are compared in the same run: the present one, and the one before it, which took the simplest score whose AURC
on the fit rows was within two standard errors of the best. Regret is the AURC above the best score's on the test
samples, in percent of MSP's. Harmful is a repair whose AURC is above MSP's by more than two paired standard errors.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from unsmooth.diagnosis.recommendation import recommend
from unsmooth.logits.foreign_files import read_any
from unsmooth.logits.probabilities import as_logits, depends_on_mean
from unsmooth.metrics import aurc, bootstrap_replicates
from unsmooth.scores import SCORES, FittedScore, available_scores, fit_score, score_all
from unsmooth.scores.splits import split_rows

Network = tuple[str, NDArray[np.floating], NDArray[np.int64], bool]
SIMPLEST = ("msp", "max_logit_pnorm", "logit_margin")
NAMES = [name for name in available_scores() if len(SCORES[name].fitted) <= 1 and name != "msp_temperature"]
LARGEST_TEST = 10_000


def digit_networks() -> Iterator[Network]:
    """Perceptrons trained on 300 digits, by kind of loss."""
    images, targets = load_digits(return_X_y=True)
    pixels, classes = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(targets)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(targets))
        train, rest = order[:300], order[300:]
        for smoothing in (0.0, 0.1, 0.3):
            torch.manual_seed(seed)
            network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
            optimizer = torch.optim.Adam(network.parameters(), 1e-2)
            loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
            for _ in range(200):
                optimizer.zero_grad()
                loss(network(pixels[train]), classes[train]).backward()
                optimizer.step()
            with torch.no_grad():
                logits = network(pixels[rest]).numpy()
            yield f"digits, {'LS' if smoothing else 'CE'}", logits, targets[rest].astype(np.int64), False


def networks(files: list[Path], results: Path | None) -> Iterator[Network]:
    """Every classifier, by the group that its results are averaged in."""
    yield from digit_networks()
    for path in files:
        file = read_any(path)
        converted = as_logits(file)
        yield "files", converted.logits, file.targets, converted.from_probabilities
    for folder in sorted(results.glob("cells/*/*/*/seed-*/logits")) if results else ():
        parts = [read_any(folder / f"{part}.safetensors") for part in ("val", "test")]
        logits, targets = (np.concatenate([getattr(part, of) for part in parts]) for of in ("logits", "targets"))
        yield f"cells, {folder.parts[-3].partition('_')[0].upper()}", logits, targets, False


def two_standard_errors(fitted: dict[str, FittedScore], logits: NDArray, errors: NDArray, seed: int) -> str:
    """The rule before: the simplest score within two standard errors of the best on the rows that fitted it."""
    scored = score_all(logits, scores=fitted, ps=())
    areas = {name: aurc(scored[name], errors) for name, score in fitted.items() if not score.fell_back}
    best = min(areas, key=areas.__getitem__)
    others = sorted((name for name in areas if name not in SIMPLEST), key=areas.__getitem__)
    for name in [*(name for name in SIMPLEST if name in areas), *others]:
        if areas[name] - areas[best] <= 2 * paired_error(scored[name], scored[best], errors, seed) + 1e-12:
            return name
    return best


def paired_error(first: NDArray, second: NDArray, errors: NDArray, seed: int) -> float:
    """Bootstrap standard error of the difference of two AURCs."""
    draws = [
        bootstrap_replicates(values, errors, metrics=["aurc"], replicates=200, seed=seed)["aurc"]
        for values in (first, second)
    ]
    return float((draws[0] - draws[1]).std())


def judge(network: Network, size: int, seed: int) -> Iterator[tuple[str, float, bool, bool]]:
    """Rule, regret in percent of MSP's AURC, whether it replaced MSP, and whether that harmed."""
    _, logits, targets, from_probabilities = network
    order = np.random.default_rng([seed, size]).permutation(len(targets))
    fitting, _ = split_rows(size, fraction=0.5, seed=seed)
    fit, test = order[:size][fitting], order[size:][:LARGEST_TEST]
    names = [name for name in NAMES if not (from_probabilities and depends_on_mean(name, {}))]
    data = {name: (logits[fit], targets[fit]) if SCORES[name].fitted else () for name in names}
    fitted = {name: fit_score(name, *data[name]) for name in names}
    errors = logits[fit].argmax(axis=1) != targets[fit]
    chosen = {
        "two standard errors": two_standard_errors(fitted, logits[fit], errors, seed),
        "cross-fitting": recommend(
            logits[fit], targets[fit], [name for name in names if not fitted[name].fell_back], seed=seed
        ).score,
        "always MSP": "msp",
    }
    scored = score_all(logits[test], scores=fitted, ps=())
    wrong = scored.predictions != targets[test]
    areas = {name: aurc(scored[name], wrong) for name in names}
    for rule, name in chosen.items():
        excess = areas[name] - areas["msp"]
        harmful = excess > 0 and excess > 2 * paired_error(scored[name], scored["msp"], wrong, seed)
        yield rule, 100 * (areas[name] - min(areas.values())) / areas["msp"], name != "msp", harmful


def main() -> None:
    """Print one line for every group of classifiers, size of the validation data and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--results", type=Path, help="results folder of a finished run")
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 1000, 2500, 5000])
    parser.add_argument("--splits", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = defaultdict(list)
    for network in networks(arguments.files, arguments.results):
        for size in arguments.sizes:
            if len(network[2]) < size + 500:
                continue
            for seed in range(arguments.splits):
                for rule, *values in judge(network, size, seed):
                    found[network[0], size, rule].append(values)
    print(
        f"{'classifiers':<12} {'val':>5} {'rule':<20} {'runs':>4} {'regret %':>9} {'replaced %':>10} {'harmful %':>9}"
    )
    for (group, size, rule), values in sorted(found.items()):
        regret, replaced, harmful = np.mean(values, axis=0)
        counts = f"{len(values):>4} {regret:>9.2f} {100 * replaced:>10.0f} {100 * harmful:>9.1f}"
        print(f"{group:<12} {size:>5} {rule:<20} {counts}")


if __name__ == "__main__":
    main()
