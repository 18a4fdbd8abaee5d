"""Which columns of a table are the classes, which one is the target, and which are neither."""

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsmooth.logits.checks import LogitsFileError
from unsmooth.logits.labels import class_indices
from unsmooth.logits.names import LOGITS_NAMES, TARGETS_NAMES, Content, base_name, ranked
from unsmooth.logits.tables import Table, is_number, natural_key, open_table

_NO_CLASS = re.compile(
    r"|unnamed.*|(.*_)?index(_.*)?|level|level_\d+|(.*_)?ids?|uuid|guid|idx|nr|row|row_?n(umber|r|o)|samples?|count"
    r"|(y_)?(pred|predicted|prediction|preds|predictions)(_?(class|label|idx|index|score|confidence|prob|y))?"
    r"|argmax|y_?hat|top_?1|rank|scores?|confidences?|conf|msp|max_?(prob|probability|softmax|logit|score|conf)"
    r"|entropy|margin|uncertainty|energy|loss|nll|error|errors|wrong|(is_?)?(error|correct|wrong)|hit|accuracy"
    r"|split|fold|epoch|step|batch(_.*)?|seed|run|dataset|subset|partition|group|(sample_?)?weights?|time|timestamp|date"
    r"|(.*_)?(path|file|filename|file_name|url)"
)
_SPLIT_COLUMNS = ("split", "subset", "partition", "set", "dataset", "data_split", "dataset_split", "phase")
_STEMS = ("logits", "logit", "class", "classes", "cls", *LOGITS_NAMES[2:], "label", "c", "k", "p", "z", "v", "")
_FEATURES = ("feature", "features", "feat", "f", "x", "embedding", "emb", "hidden", "h", "dim", "pixel", "pc", "top")
_NO_LOGITS = re.compile(r"(.*_)?(feat|emb|hidden|input|pixel|token|image|attention|vector|penultimate).*")
_ID = re.compile(r"unnamed_0|(.*_)?(index|ids?|uuid|guid|idx|path|file|filename|file_name|url)")
_STATISTICS = "max|min|mean|std|sum|gap|margin|entropy|target|true_class|pred|predicted|top|top_?1|second"
_LIKE_NUMBER = re.compile(r"[-+]?(\d+,\d+|[\d.]+ ?%|\d{1,3}(,\d{3})+\.\d+)")  # of another country, or unit
_NUMBERED = re.compile(r"(?P<stem>.*?)[\s_.:\-\[(]*(?P<number>\d+)[\])]?")
_NUMBER_FIRST = re.compile(r"(?P<number>\d+)[\s_.:\-]+(?P<stem>\D+)")
_SHOWN = 40  # names in a message


def read_table(
    path: Path, *, logits_key: str | None = None, targets_key: str | None = None, split: str = "test"
) -> Content:
    """Read the class columns and the targets of a table.

    Args:
        path: a csv, tsv or parquet file, or a folder of parquet files.
        logits_key: the class columns: a column of lists, names with commas between them, or a pattern like class_*.
        targets_key: the column of targets.
        split: which rows are wanted where a column such as ``split`` names several splits.

    Raises:
        LogitsFileError: text or decimal commas in a class column, a number missing among the classes, several columns
            that may be the targets and differ, a key that names no column, rows of several splits but the wanted one.
    """
    table, splits, notes = _of_split(open_table(path), split)
    candidates = _target_columns(table, targets_key)
    others = [name for name in table.names if name not in candidates]
    if not table.has_header and targets_key is None and logits_key is None:
        candidates, others = [], table.names
    labels = {str(text) for name in candidates if table.kind(name) == "text" for text in set(table.column(name))}
    classes = _class_columns(table, others, logits_key, labels)
    logits, class_names = None, tuple(_short_names(classes, labels))
    if len(classes) == 1 and table.kind(classes[0]) == "list":
        logits, class_names = table.column(classes[0]), ()
    elif classes:
        logits = np.column_stack([table.column(name) for name in classes])
    left_out = [name for name in others if name not in classes]
    if classes and left_out:
        more = f" and {len(left_out) - 8} more" if len(left_out) > 8 else ""
        notes.append(f"columns that do not look like classes are left out: {_listed(left_out[:8])}{more}")
    spelled = bool(class_names) and not any(re.search(r"\d", name) for name in class_names)
    if spelled:
        notes.append(f"{len(classes)} classes: {', '.join(class_names[:12])}{', ...' if len(classes) > 12 else ''}")
    ids = {name: table.column(name) for name in left_out if _is_id(table, name)}
    return Content(
        logits,
        _targets(table, candidates, class_names),
        f"columns {', '.join(f'{name!r}{_unlike_numbers(table, name)}' for name in table.names[:_SHOWN])}",
        class_names,
        guessed=spelled and logits_key is None and class_names == tuple(classes),
        notes=tuple(notes),
        has_validation="val" in splits and split != "val",
        ids=ids,
    )


def _of_split(table: Table, split: str) -> tuple[Table, set[str], list[str]]:
    """The rows of one split, where a column names several; all splits; and a note."""
    for name in table.names:
        if _plain(name) not in _SPLIT_COLUMNS or table.kind(name) != "text":
            continue
        texts = {text: base_name(str(text))[1] for text in set(table.column(name))}
        splits = {found for found in texts.values() if found}
        if len(splits) < 2:
            continue
        if split not in splits or None in texts.values():
            raise LogitsFileError(
                f"{table.path}: column {name!r} holds {_listed(sorted(map(str, texts)))}; expected rows of one split, "
                f"or some that are called {split}"
            )
        wanted = [text for text, found in texts.items() if found == split]
        return table.only(name, wanted), splits, [f"reading the rows whose {name} is {' or '.join(wanted)}"]
    return table, set(), []


def _is_id(table: Table, name: str) -> bool:
    known = name in table.index or _ID.fullmatch(_plain(name) or "unnamed_0") is not None
    return known and table.kind(name) in ("integer", "text")


# Targets


def _target_columns(table: Table, key: str | None) -> list[str]:
    """Columns that may be the targets, by name and content."""
    if key is not None:
        return [_named(table, key, "--targets-key")]
    return [name for name in ranked(table.names, TARGETS_NAMES) if _are_labels(table, name)]


def _are_labels(table: Table, name: str) -> bool:
    kind = table.kind(name)
    if kind == "decimal":  # a class may be called y or label
        values = table.column(name)
        return bool((np.isnan(values) | (values == np.round(values))).all())
    return kind in ("integer", "boolean", "text", "list")


def _targets(table: Table, candidates: Sequence[str], class_names: Sequence[str]) -> NDArray[Any] | None:
    if not candidates:
        return None
    first, *others = candidates
    values = table.column(first)
    if others:
        indices = class_indices(values, table.path, class_names)
        for other in others:
            if not np.array_equal(class_indices(table.column(other), table.path, class_names), indices):
                raise LogitsFileError(
                    f"{table.path}: columns {first!r} and {other!r} may both be the targets and differ; "
                    "choose one with --targets-key"
                )
    return values


# Classes


def _class_columns(table: Table, names: Sequence[str], key: str | None, labels: AbstractSet[str]) -> list[str]:
    """The class columns among `names`, in the order of the classes; or one column of lists.

    `labels` are the targets that are texts: a column of such a name is a class.
    """
    if key is not None:
        parts = [part.strip() for part in key.split(",")]
        chosen = [name for part in parts for name in names if name == part or fnmatch.fnmatchcase(name, part)]
        if not chosen:
            _named(table, key, "--logits-key")
        return sorted(chosen, key=natural_key) if "*" in key else chosen
    if not table.has_header:
        return list(names)
    if lists := _list_column(table, names):
        return lists
    names = [name for name in names if table.kind(name) in ("decimal", "integer", "text") and name not in table.index]
    if numbered := _numbered(table, names):
        return numbered
    features = _features(names)
    names = [n for n in names if n in labels or not (n in features or _NO_CLASS.fullmatch(_plain(n)))]
    stemmed = _of_one_stem(names)
    names = stemmed or names
    texts = [name for name in names if table.kind(name) == "text"]
    _refuse_text(table, [name for name in texts if stemmed or _LIKE_NUMBER.fullmatch(table.first_text(name))])
    if decimals := [name for name in names if table.kind(name) == "decimal"]:
        return _summing_to_one(table, decimals) or (stemmed and decimals) or _with_fractions(table, decimals, labels)
    lone = [name for name in table.names if base_name(name)[0] in LOGITS_NAMES and table.kind(name) == "decimal"]
    return lone[:1] or [name for name in names if table.kind(name) == "integer"]


def _list_column(table: Table, names: Sequence[str]) -> list[str]:
    lists = [name for name in names if table.kind(name) == "list"]
    if named := ranked(lists, LOGITS_NAMES):
        return named[:1]
    rest = [name for name in names if table.kind(name) == "decimal"]
    return lists if len(lists) == 1 and len(rest) < 2 and not _NO_LOGITS.fullmatch(_plain(lists[0])) else []


def _numbered(table: Table, names: Sequence[str]) -> list[str]:
    """The columns of one stem that are numbered from 0 or 1 without a gap, such as class_0, class_1, class_2."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name.strip()) or _NUMBER_FIRST.fullmatch(name.strip()):
            stem = _plain(match["stem"])
            other = stem in _FEATURES or (stem not in _STEMS and table.kind(name) == "text")
            if not other and not (stem and _NO_CLASS.fullmatch(_plain(name))):
                groups.setdefault(stem, {})[int(match["number"])] = name
    whole = {}
    for stem, columns in groups.items():
        numbers = sorted(columns)
        first = numbers[0]
        missing = sorted(set(range(first, numbers[-1] + 1)) - set(numbers))
        if first in (0, 1) and not missing and len(numbers) > 1:
            whole[stem] = [columns[number] for number in numbers]
        elif first in (0, 1) and len(missing) < len(numbers) and len(numbers) > 2 and stem in _STEMS:
            raise LogitsFileError(
                f"{table.path}: the columns {columns[first]!r} to {columns[numbers[-1]]!r} lack number {missing[0]}; "
                "expected a column for every class"
            )
    known = [stem for stem in _STEMS if stem in whole] or [stem for stem in whole if len(whole) == 1]
    if not known and whole:
        raise LogitsFileError(
            f"{table.path}: the classes may be {' or '.join(f'{stem}_*' for stem in whole)}; choose with --logits-key"
        )
    if not known:
        return []
    chosen = whole[known[0]]
    decimals = [name for name in names if name not in chosen and table.kind(name) == "decimal"]
    named = [name for name in decimals if not (_NO_CLASS.fullmatch(_plain(name)) or _NUMBERED.fullmatch(name.strip()))]
    if known[0] not in _STEMS and len(named) > 1:
        raise LogitsFileError(
            f"{table.path}: the classes may be {_listed(chosen)} or {_listed(named)}; choose with --logits-key"
        )
    _refuse_text(table, chosen)
    return chosen


def _features(names: Sequence[str]) -> set[str]:
    """Numbered columns of one of the stems that features have, at least three of each."""
    matches = {name: match for name in names if (match := _NUMBERED.fullmatch(name.strip()))}
    stems = {name: match["stem"] for name, match in matches.items() if _plain(match["stem"]) in _FEATURES}
    counts = Counter(stems.values())
    return {name for name, stem in stems.items() if counts[stem] > 2}


def _of_one_stem(names: Sequence[str]) -> list[str]:
    """The columns that begin or end with the first of the stems that several have, as logit_cat or cat_logit do."""
    groups = ([name for name in names if pattern.fullmatch(name)] for pattern in _of_stems())
    return next((group for group in groups if len(group) > 1), [])


@cache
def _of_stems() -> list[re.Pattern[str]]:
    """Names that begin with a stem or, if it is more than a letter, end with it, other than those of statistics."""
    others = {stem: rf"(?!({_STATISTICS})([_.:\- ]{stem})?$)(?P<name>\S.*)" for stem in _STEMS if stem}
    return [
        re.compile(pattern, re.IGNORECASE)
        for stem, other in others.items()
        for pattern in (rf"{stem}[_.:\- ]{other}", rf"{other}[_.:\- ]{stem}")
        if len(stem) > 1 or pattern.startswith(stem)
    ]


def _summing_to_one(table: Table, names: Sequence[str]) -> list[str]:
    """The columns of shares among others such as an age: all within [0, 1], summing to one in every row."""
    columns = {name: table.column(name) for name in names}
    shares = {name: values for name, values in columns.items() if bool(((values >= 0) & (values <= 1)).all())}
    whole = len(shares) > 1 and bool((abs(np.sum(list(shares.values()), axis=0) - 1) < 0.01).all())
    return list(shares) if whole else []


def _with_fractions(table: Table, names: Sequence[str], labels: AbstractSet[str]) -> list[str]:
    """All columns but empty ones and, beside others with fractions, those of many whole numbers, such as an age."""
    found = []
    for name in names:
        values = table.column(name)
        finite = values[np.isfinite(values)]
        whole = len(np.unique(finite)) > 2 and bool((finite == np.round(finite)).all())
        if name in labels or not (whole or np.isnan(values).all()):
            found.append(name)
    return found if len(found) > 1 else list(names)


# Messages and names


def _refuse_text(table: Table, names: Sequence[str]) -> None:
    """Refuse the first of the class columns that holds text."""
    for name in (name for name in names if table.kind(name) == "text"):
        text = next((text for text in map(str, table.column(name)) if not is_number(text)), table.first_text(name))
        hint = "write decimal points, not commas" if re.fullmatch(r"[-+]?\d+,\d+", text) else "expected numbers"
        raise LogitsFileError(f"{table.path}: class column {name!r} holds {text[:40]!r}; {hint}")


def _unlike_numbers(table: Table, name: str) -> str:
    """What a column named like logits holds if that is neither numbers nor lists of them; else nothing."""
    unread = base_name(name)[0] in LOGITS_NAMES and table.kind(name) in ("text", "other")
    return f" of {table.stored(name)}, which is neither numbers nor a list of them" if unread else ""


def _named(table: Table, key: str, option: str) -> str:
    if key not in table.names:
        raise LogitsFileError(f"{table.path}: {option} {key!r} names no column; the columns are {_listed(table.names)}")
    return key


def _plain(name: str) -> str:
    """A name in lower case, with _ for whatever is neither letter nor digit."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def _short_names(names: Sequence[str], labels: AbstractSet[str]) -> list[str]:
    """The names of classes without the stem of their columns, unless the targets have it too."""
    if labels and labels <= set(names):
        return list(names)
    numbered = [match for name in names if (match := _NUMBERED.fullmatch(name))]
    if len(numbered) == len(names) and len({match["stem"] for match in numbered}) == 1:
        return [match["number"] for match in numbered]
    for pattern in _of_stems():
        matches = [match for name in names if (match := pattern.fullmatch(name))]
        if len(matches) == len(names):
            return [match["name"] for match in matches]
    # What P(cat) and P(dog) share, if the targets are cat and dog.
    first, last = os.path.commonprefix(names), os.path.commonprefix([name[::-1] for name in names])
    inner = [name[len(first) : len(name) - len(last)] for name in names]
    return inner if labels and labels <= set(inner) else list(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN]))
