"""The three parts of the data: fit rows, certify rows and test rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.guards import check_disjoint, column_names, refuse_other_columns, refuse_target_column
from unsmooth.logits.probabilities import refuse_probabilities
from unsmooth.metrics.inputs import as_real, as_targets
from unsmooth.scores.rows import check_shape
from unsmooth.scores.splits import split_rows

Floats = NDArray[np.floating[Any]]
Values = Any  # an array, a tensor on any device, a frame or nested lists


@dataclass(frozen=True)
class Samples:
    """Logits and targets, and confidences of the same samples that do not follow from the logits."""

    logits: Floats
    targets: NDArray[np.int64]
    others: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        return Samples(self.logits[rows], self.targets[rows], {key: each[rows] for key, each in self.others.items()})


@dataclass(frozen=True)
class Parts:
    """The three parts of the data, the samples that fit and certify together, and how they were made."""

    fit: Samples
    certify: Samples
    held: Samples
    test: Samples
    split: str

    @classmethod
    def of(
        cls,
        logits: Values,
        targets: Values,
        val_logits: Values | None,
        val_targets: Values | None,
        seed: int,
        others: Mapping[str, Floats] | None = None,
    ) -> Self:
        refuse_other_columns(val_logits, "val_logits", column_names(logits))
        logits = as_real(logits, "logits")
        if (val_logits is None) != (val_targets is None):
            raise ValueError("val_logits and val_targets must be given together")
        check_shape(logits)
        refuse_probabilities(logits)
        test = Samples(logits, as_targets(targets, logits.shape), others or {})
        refuse_target_column(test.logits, test.targets)
        if val_logits is None or val_targets is None:
            if len(test) < 4:
                raise ValueError(f"at least 4 samples are needed to fit, certify and test, got {len(test)}")
            split = f"by seed {seed}: half of the samples fit and certify, half test"
            held, test = map(test.take, split_rows(len(test), fraction=0.5, seed=seed))
        else:
            val_logits = as_real(val_logits, "val_logits")
            if val_logits.shape[1:] != logits.shape[1:]:
                raise ValueError(f"val_logits must have shape (M, {logits.shape[1]}), got {val_logits.shape}")
            refuse_probabilities(val_logits)
            split = f"validation samples fit and certify (halves by seed {seed}), all others test"
            held = Samples(val_logits, as_targets(val_targets, val_logits.shape, name="val_targets"))
            refuse_target_column(held.logits, held.targets, "val_logits")
            check_disjoint(logits, "the rows of logits", val_logits, "val_logits")
        fit, certify = map(held.take, split_rows(len(held), fraction=0.5, seed=seed + 1))
        return cls(fit, certify, held, test, split)
