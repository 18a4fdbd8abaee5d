r"""Which score to use: the decision between MSP and a repair, from the fit rows alone.

**Cross-fitting.** The fit rows are cut into five folds. The confidence of each row comes from parameters fitted on the
other four folds, so every row both fits and judges and no row judges parameters that it chose. AURC is averaged over
the folds, because confidences of different parameters cannot be ranked together. The recommended score is then fitted
on all fit rows.

**Decision.** MSP needs no fit, and its threshold is a probability, so a repair has to earn its place: let P be the
probability that a score lowers AURC by more than 1 % of MSP's, estimated by resampling the rows of each fold, for both
scores alike. Without that margin one of many scores that rank almost as MSP does would often seem certain to rank a
trifle better. Replacing a confidence that works costs more than keeping one that could be improved.

1. MSP is replaced if P >= 0.95 for at least one score: a repair in vain counts 19 times as much as a repair missed.
2. Its successor has the lowest cross-fitted AURC of the scores with P >= 0.8. That MSP can be beaten is known by then,
   so a repair in vain counts only 4 times as much.

Scores with two fitted parameters and MSP with temperature are listed but not recommended: their fits follow the noise
of a small validation set. ``benchmarks/advice.py`` measures this rule against the best score on the test rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.metrics import aurc, bootstrap_replicates
from unsmooth.scores import SCORES, fit_score, score_all

Floats = NDArray[np.floating[Any]]

_FOLDS = 5
_REPLICATES = 1000
_GAIN = 0.01
_REPLACES_MSP, _SUCCEEDS = 0.95, 0.8


@dataclass(frozen=True)
class Recommendation:
    """The score to use, with the evidence of the fit rows.

    Attributes:
        score: name of the recommended score.
        cross_fitted: AURC of MSP and of every candidate, averaged over the folds.
        better_than_msp: probability P of each candidate, that it lowers AURC by more than 1 % of MSP's.
    """

    score: str
    cross_fitted: Mapping[str, float]
    better_than_msp: Mapping[str, float]


def recommend(logits: Floats, targets: NDArray[np.int64], names: Sequence[str], *, seed: int = 0) -> Recommendation:
    """Decide between MSP and the scores named; see the top of this module.

    Args:
        logits, targets: (N, K) that neither trained the classifier nor will test the score, and (N,) class indices.
        names: scores of logits. Those with two fitted parameters and MSP with temperature are passed over.
        seed: of the folds and the resamples.

    Returns:
        The recommendation. It is MSP for two classes, whose centred logits rank as it does, and for fewer than two rows
        a fold.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> targets = generator.integers(0, 5, 1000)
        >>> logits = generator.normal(size=(1000, 5)) + 2.5 * np.eye(5)[targets]
        >>> recommend(logits, targets, ["max_logit_pnorm"]).score
        'msp'
    """
    known = [name for name in dict.fromkeys(names) if name in SCORES and name not in ("msp", "msp_temperature")]
    candidates = [name for name in known if len(SCORES[name].fitted) <= 1]
    folds = np.array_split(np.random.default_rng([seed, len(targets)]).permutation(len(targets)), _FOLDS)
    if logits.shape[1] == 2 or min(map(len, folds)) < 2:
        return Recommendation("msp", {}, {})
    judged = [_judge(logits, targets, np.sort(fold), candidates, seed + number) for number, fold in enumerate(folds)]
    kept = [name for name in ("msp", *candidates) if all(name in found for found in judged)]
    areas = {name: float(np.mean([found[name][0] for found in judged])) for name in kept}
    resampled = {name: np.mean([found[name][1] for found in judged], axis=0) for name in kept}
    better = {name: float(np.mean(resampled[name] < (1 - _GAIN) * resampled["msp"])) for name in kept[1:]}
    chosen = "msp"
    if any(probability >= _REPLACES_MSP for probability in better.values()):
        chosen = min((name for name in better if better[name] >= _SUCCEEDS), key=areas.__getitem__)
    return Recommendation(chosen, areas, better)


def _judge(
    logits: Floats, targets: NDArray[np.int64], fold: NDArray[np.int64], candidates: Sequence[str], seed: int
) -> dict[str, tuple[float, Floats]]:
    """AURC of each score on one fold, with parameters of the others, and its replicates."""
    others = np.ones(len(targets), dtype=bool)
    others[fold] = False
    fitted = {"msp": fit_score("msp")}
    for name in candidates:
        data = (logits[others], targets[others]) if SCORES[name].fitted else ()
        found = fit_score(name, *data, fallback=False)
        if not found.fell_back:
            fitted[name] = found
    scored = score_all(logits[fold], scores=fitted, ps=())
    errors = scored.predictions != targets[fold]
    return {
        name: (
            aurc(confidence, errors),
            bootstrap_replicates(confidence, errors, metrics=["aurc"], replicates=_REPLICATES, seed=seed)["aurc"],
        )
        for name, confidence in scored.items()
    }
