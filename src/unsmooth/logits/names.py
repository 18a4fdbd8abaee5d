"""Names under which people store logits and targets, and the choice among the arrays of a file."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

LOGITS_NAMES = (
    *("logits", "logit", "outputs", "output", "model_output", "predictions", "prediction", "preds", "pred"),
    *("y_pred", "y_hat", "yhat", "scores", "score", "y_score", "y_scores", "log_probs", "log_prob", "logprobs"),
    *("log_probabilities", "log_softmax", "probs", "prob", "probabilities", "probability", "proba", "probas"),
    *("y_prob", "y_probs", "y_proba", "predict_proba", "pred_probs", "softmax", "softmax_outputs", "confidences"),
    *("pred_prob", "class_probs", "class_probabilities", "predicted_probabilities", "class_logits", "y_logits"),
    *("decision_function", "raw_scores", "raw_predictions", "raw_outputs", "posteriors", "posterior"),
)
TARGETS_NAMES = (
    *("targets", "target", "labels", "label", "label_ids", "label_id", "y", "y_true", "true_labels", "true_label"),
    *("true_class", "true_y", "gt", "ground_truth", "ground_truths", "groundtruth", "references", "reference"),
    *("truth", "true", "actual"),
    *("class", "class_id", "classes", "class_ids", "class_label", "gold", "gold_label", "gold_labels"),
)
_SPLITS = {
    **dict.fromkeys(("test", "testing", "eval"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("train", "training"), "train"),
}
_SHOWN = 12


@dataclass(frozen=True)
class Part:
    """An array of a file, known by shape and type before it is loaded."""

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Any]


@dataclass(frozen=True)
class Content:
    """What was found in a file."""

    logits: Any = None
    targets: Any = None
    holds: str = ""  # everything in the file, for messages
    class_names: tuple[str, ...] = ()
    guessed: bool = False  # nothing but their numbers says that the columns of a table are classes
    notes: tuple[str, ...] = ()  # what was chosen and left out, a sentence each
    has_validation: bool = False  # beside the samples of the split that was read
    ids: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # columns that say which sample a row is
    layer: Mapping[str, Callable[[], Any]] = field(default_factory=dict)  # what loads features, weight and bias


def base_name(name: str) -> tuple[str, str | None]:
    """The name of an array without its place in nested dictionaries and its split, and the split.

    Example:
        >>> base_name("y_true"), base_name("labels_test"), base_name("val.Logits"), base_name("logits.validation")
        (('y_true', None), ('labels', 'test'), ('logits', 'val'), ('logits', 'val'))
    """
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()  # testLogits is test_logits
    levels = [[word for word in re.split(r"[^0-9a-z]+", level) if word] for level in spelled.split(".")]
    split = next((_SPLITS[word] for words in levels for word in words if word in _SPLITS), None)
    bases = ["_".join(word for word in words if word not in _SPLITS) for words in levels]
    return next((base for base in reversed(bases) if base), ""), split


def contents(parts: Mapping[str, Part]) -> str:
    """Names, shapes and types of the arrays of a file, for messages."""
    listed = [f"{name or 'one array'} {part.shape} {part.dtype}" for name, part in list(parts.items())[:_SHOWN]]
    more = [f"{len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else []
    return ", ".join([*listed, *more]) or "nothing"


def choose_logits(parts: Mapping[str, Part], *, split: str) -> str | None:
    """The array that holds the logits of a split, or None.

    Raises:
        ValueError: logits of other splits only, and of several, or of one name in several dictionaries.
    """
    tables = [name for name, part in parts.items() if len(part.shape) == 2 and part.shape[1] > 1]
    named = sorted(ranked(parts, LOGITS_NAMES), key=lambda name: name.count("."))
    found = [name for name in named if name in tables] or named
    if not found and all(re.fullmatch(r"arr_\d+", name) for name in parts):
        return tables[0] if len(tables) == 1 else None
    splits = {base_name(name)[1] for name in found}
    wanted = split if split in splits else splits.pop() if len(splits) == 1 else None
    of_split = [name for name in found if base_name(name)[1] == wanted]
    alike = [name for name in of_split if _place(name) == _place(of_split[0])]
    if len(alike) > 1 or (found and not of_split):
        raise ValueError(f"holds {', '.join(alike or found)}; choose with --logits-key and --targets-key")
    return of_split[0] if of_split else None


def choose_targets(parts: Mapping[str, Part], logits: str | None) -> list[str]:
    """The arrays that may hold the targets of the logits chosen: of the same split, or of none."""
    others = {name: part for name, part in parts.items() if name != logits}
    found = sorted(ranked(others, TARGETS_NAMES), key=lambda name: name.count("."))
    if not found and all(re.fullmatch(r"arr_\d+", name) for name in parts):
        found = [name for name, part in others.items() if len(part.shape) == 1]
        return found if len(found) == 1 else []
    if logits is None:
        return found
    split, rows = base_name(logits)[1], parts[logits].shape[:1]
    of_split, of_none = ([name for name in found if base_name(name)[1] == wanted] for wanted in (split, None))
    found = of_split or of_none or (found if split is None and len(found) == 1 else [])
    return [name for name in found if parts[name].shape[:1] == rows] or found[:1]


def ranked(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Those names whose base is known, in the order of the known ones."""
    found = [name for name in names if base_name(name)[0] in known]
    return sorted(found, key=lambda name: known.index(base_name(name)[0]))


def _place(name: str) -> tuple[int, str]:
    """The depth of an array in dictionaries, and its name there."""
    return name.count("."), base_name(name)[0]
