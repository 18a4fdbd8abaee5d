"""Tables on disk: csv and tsv with or without a header, parquet, and folders of parquet parts."""

import csv
import json
import re
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from unsmooth.extras import named_extras
from unsmooth.logits.checks import LogitsFileError
from unsmooth.logits.names import TARGETS_NAMES, base_name

if TYPE_CHECKING:
    from pyarrow import DataType

_WRAPPED = re.compile(r"(?:np\.\w+|tensor)\(([^()\[\]]*)\)")  # a number as numpy and torch print it in a list
_LIST = re.compile(r"(array|tensor)?[\[(]+[^\[(]*\d")  # a list of numbers, written as text
_DELIMITERS = ("\t", ";", "|", ",")  # a decimal comma may stand beside any other delimiter


class Table:
    """Columns of a table, loaded when asked for; `source` and `options` as of `pyarrow.dataset.dataset`."""

    def __init__(self, path: Path, source: Any, *, has_header: bool = True, **options: str) -> None:  # noqa: ANN401
        with named_extras():
            from pyarrow.dataset import dataset

        self.path, self._data = path, dataset(source, **options)
        self.has_header = has_header  # otherwise the columns are numbered
        self.names: list[str] = list(self._data.schema.names)
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise LogitsFileError(f"{path}: column {twice!r} occurs twice; expected different names")
        described = (self._data.schema.metadata or {}).get(b"pandas")
        declared = json.loads(described).get("index_columns", []) if described else []
        self.index = {name for name in declared if isinstance(name, str)}  # of the rows

    def kind(self, name: str) -> str:
        """What a column holds: "decimal", "integer", "boolean", "text", "list" or "other"."""
        import pyarrow.types as types

        stored: DataType = self._data.schema.field(name).type
        if types.is_dictionary(stored):
            stored = stored.value_type
        if types.is_string(stored) or types.is_large_string(stored):
            return "list" if _LIST.match(self.first_text(name)) else "text"
        kinds = {
            "decimal": types.is_floating(stored) or types.is_decimal(stored) or types.is_null(stored),
            "integer": types.is_integer(stored),
            "boolean": types.is_boolean(stored),
            "list": types.is_list(stored) or types.is_large_list(stored) or types.is_fixed_size_list(stored),
        }
        return next((kind for kind, holds in kinds.items() if holds), "other")

    def stored(self, name: str) -> str:
        """The type of a column in the file, or the text that it begins with."""
        is_text = self.kind(name) == "text"
        return repr(self.first_text(name)[:40]) if is_text else str(self._data.schema.field(name).type)

    def first_text(self, name: str) -> str:
        """The first text of a column that is not missing."""
        head = self._data.head(1000, columns=[name]).column(0)
        return next((str(text).strip() for text in head.to_pylist() if text is not None), "")

    def only(self, name: str, texts: Sequence[str]) -> Self:
        """The rows in which a column holds one of the texts."""
        import pyarrow.compute as compute

        fewer = copy(self)
        fewer._data = self._data.filter(compute.field(name).isin(texts))
        return fewer

    def column(self, name: str) -> NDArray[Any]:
        """A column as an array: (N,), or (N, K) of lists; missing numbers are nan."""
        import pyarrow as arrow

        column = self._data.to_table(columns=[name]).column(0)
        if arrow.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if arrow.types.is_decimal(column.type) or arrow.types.is_null(column.type):
            column = column.cast(arrow.float64())
        values: NDArray[Any] = column.to_numpy()
        return self._lists(values, name) if self.kind(name) == "list" else values

    def _lists(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        rows = [_parsed(value) if isinstance(value, str) else value for value in values]
        for row, value in enumerate(rows):
            if value is None or len(value) != len(rows[0] if rows[0] is not None else ()):
                came = "missing" if value is None else f"of length {len(value)}"
                raise LogitsFileError(f"{self.path}: row {row}: the list in column {name!r} is {came}, unlike others")
        stacked = np.stack([np.asarray(row) for row in rows]) if rows else np.zeros((0, 0))
        if stacked.dtype == object:
            raise LogitsFileError(
                f"{self.path}: column {name!r} holds lists of lists or text; expected lists of numbers"
            )
        return stacked


def open_table(path: Path) -> Table:
    """Open a csv, tsv or parquet file, or a folder of parquet files, whose order is that of the numbers in their names.

    Raises:
        LogitsFileError: a folder without parquet files or with those of several splits, a first line half of names and
            half of numbers, two columns of one name.
        MissingExtraError: the extra ``tables`` is not installed.
    """
    if path.suffix.lower() in (".csv", ".tsv") and not path.is_dir():
        return _open_csv(path)
    if not path.is_dir():
        return Table(path, path, format="parquet")
    files = [file for pattern in ("*.*", "*=*/**/*.*") for file in path.glob(pattern) if file.is_file()]
    parts = [file for file in files if not file.name.startswith(("_", "."))]  # Spark writes _SUCCESS and .crc files
    if not parts or any(file.suffix != ".parquet" for file in parts):
        raise LogitsFileError(f"{path}: is a folder; expected a file, or a folder of nothing but parquet files")
    splits = sorted({split for part in parts if (split := base_name(part.stem)[1])})
    if len(splits) > 1:
        raise LogitsFileError(f"{path}: holds parts of {' and '.join(splits)}; expected the parts of one split")
    parts.sort(key=lambda part: natural_key(str(part)))
    return Table(path, list(map(str, parts)), format="parquet", partitioning="hive")


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key under which numbers in a text count as numbers.

    Example:
        >>> sorted(["part-10", "part-9"], key=natural_key)
        ['part-9', 'part-10']
    """
    return [(int(number or 0), word) for word, number in re.findall(r"(\D*)(\d*)", text)]


def _open_csv(path: Path) -> Table:
    with named_extras():
        import pyarrow.csv as arrow_csv

    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        blank, first = next(((row, line.strip("\r\n")) for row, line in enumerate(file) if line.strip()), (0, ""))
        has_more = any(line.strip() for line in file)
    if "\ufffd" in first:
        raise LogitsFileError(f"{path}: the first line is not UTF-8 text; save the table as UTF-8")
    # numpy.savetxt writes numbers between spaces.
    spaced = len(first.split()) > 1 and all(is_number(word) for word in first.split())
    delimiter = next((mark for mark in _DELIMITERS if mark in first), " " if spaced else ",")
    fields = [field.strip() for field in next(csv.reader([first], delimiter=delimiter), [])]
    numbers = [field for field in fields if is_number(field)]
    if any(not field or base_name(field)[0] in TARGETS_NAMES for field in fields):
        fields = [re.sub(r"(?<=\d)\.0$", "", field) for field in fields]  # pandas names columns of float classes so
        numbers = [field for field in fields if is_number(field)]
    # Classes without other names are numbered from 0, by pandas too, or from 1.
    counted = len(fields) > 1 and numbers in [list(map(str, range(first, first + len(numbers)))) for first in (0, 1)]
    has_header = len(numbers) < len(fields) or counted
    if has_header and any("." in number for number in numbers):
        raise LogitsFileError(
            f"{path}: the first line holds numbers such as {numbers[0]} and text: a header with column names is missing"
        )
    if has_header and not has_more:
        raise LogitsFileError(f"{path}: no rows below the header; expected at least one sample")
    fields[0] = fields[0].lstrip("# ")  # numpy.savetxt writes a header as a comment
    names = fields if has_header else [str(position) for position in range(len(fields))]
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=blank + int(has_header)),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values='"' in first or "[" in first),
    )
    return Table(path, table, has_header=has_header)


def is_number(text: str) -> bool:
    """Whether `float` reads the text."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> NDArray[np.float64]:
    """A list that was written as text, by Python, numpy or torch."""
    if "..." in text:
        raise ValueError("lists are abbreviated by '...'; write every number, or a parquet file")
    inside = re.search(r"[\[(]([^\[\](){}]*)[\])]", _WRAPPED.sub(r"\1", text))
    return np.array([float(word) for word in re.split(r"[\s,]+", inside[1] if inside else text) if word])
