"""Tables of what a study holds, a column at a time, and as frames of whichever library the user has.

No library of frames is needed, or imported before a frame is asked for (docs/decisions/frames.md).
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from torchlurk.errors import MissingExtraError, OptionError, nearest
from torchlurk.files import check_name, write_whole
from torchlurk.option_values import as_declared, shown

Type = Literal["float", "int", "bool", "text"]

MODULES: Mapping[str, str] = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}
"""By the name of a library, what is imported and installed; the first that is there is taken."""

ENDINGS = (".csv", ".parquet")
SHOWN = 20
"""Rows that a notebook shows."""


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one type. None stands for a value that there is not, in numbers of type float NaN."""

    type: Type
    values: Sequence[Any] | np.ndarray
    nullable: bool = False
    """Whether None may be among them, in every study: decides the type of a frame's column."""

    def listed(self) -> list[Any]:
        """The values as Python has them, None for those that there are not."""
        values = self.values.tolist() if isinstance(self.values, np.ndarray) else list(self.values)
        return [None if value != value else value for value in values] if self.type == "float" else values


def floats(values: Iterable[float | None]) -> Column:
    """A column of numbers; None is as good as NaN."""
    return Column("float", np.array([math.nan if value is None else value for value in values], np.float64))


def texts(values: Iterable[str | None]) -> Column:
    """A column of words."""
    return Column("text", list(values), nullable=True)


class Table:
    """Rows of named columns: `table["max"]` is a column as an array, `to_frame` makes a frame of all, iterating gives each row
    as a dict. A value that there is not is None, in arrays of numbers NaN.
    """

    def __init__(self, columns: Mapping[str, Column], rows: int) -> None:
        self._columns = dict(columns)
        self._rows = rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, name: str) -> np.ndarray:
        """A column; raises `OptionError` naming the nearest for one that there is not."""
        if not isinstance(name, str) or name not in self._columns:
            raise OptionError(f"no column {shown(name)}{nearest(str(name), self._columns)}", "columns lists all")
        column = self._columns[name]
        if isinstance(column.values, np.ndarray):
            return column.values
        found = np.empty(self._rows, object)
        found[:] = column.values
        return found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        listed = [column.listed() for column in self._columns.values()]
        return (dict(zip(self._columns, row, strict=True)) for row in zip(*listed, strict=True))

    def to_frame(self, library: str | None = None) -> Any:
        """A frame of "pandas" or "polars", or a table of "arrow"; without a name of the one that the program has imported, or
        else of the first that is installed. Raises `MissingExtraError` where it is not.
        """
        if library is not None and (not isinstance(library, str) or library not in FRAMES):
            raise OptionError(f"library is {shown(library)}", f"use {', '.join(map(repr, FRAMES))}")
        chosen = library or _at_hand()
        return FRAMES[chosen](_imported(chosen), self._columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What libraries of frames read by themselves, as `polars.DataFrame(table)` or DuckDB do."""
        return self.to_frame("arrow" if _installed("pyarrow") else "polars").__arrow_c_stream__(requested_schema)

    def to_csv(self) -> str:
        """A line a row below the names; empty is what there is not, numbers have all their digits."""
        writer = csv.writer(target := io.StringIO(), lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows(zip(*(_in_csv(column) for column in self._columns.values()), strict=True))
        return target.getvalue()

    def to_json(self) -> str:
        """A list of one object a row; null is what there is not."""
        rows = (json.dumps({name: _in_json(value) for name, value in row.items()}, ensure_ascii=False) for row in self)
        return "[" + ",\n ".join(rows) + "]"

    @as_declared
    def write(self, path: str | Path) -> None:
        """Writes a .csv or a .parquet file, the latter through pyarrow or polars."""
        path = Path(path)
        check_name(path, ENDINGS)
        content = self._parquet() if path.suffix.lower() == ".parquet" else self.to_csv().encode()
        write_whole(path, content, ENDINGS)

    def _parquet(self) -> bytes:
        target = io.BytesIO()
        if _installed("pyarrow"):
            importlib.import_module("pyarrow.parquet").write_table(self.to_frame("arrow"), target)
        elif _installed("polars"):
            self.to_frame("polars").write_parquet(target)
        else:
            raise MissingExtraError(
                "writing .parquet needs pyarrow or polars, and neither is installed",
                "pip install pyarrow, or write a .csv file",
            )
        return target.getvalue()

    def _repr_html_(self) -> str | None:
        """What a notebook shows; None, and with it `repr`, where no library of frames is installed."""
        library = _first_installed()
        found: str | None = None if library is None else self._head(SHOWN).to_frame(library)._repr_html_()
        return found

    def _head(self, rows: int) -> Table:
        shorter = {name: Column(one.type, one.values[:rows], one.nullable) for name, one in self._columns.items()}
        return Table(shorter, min(rows, self._rows))

    def __repr__(self) -> str:
        return f"<Table of {self._rows:,} rows: {', '.join(self._columns)}>"


class Framed:
    """Records in a list or tuple that are a table too."""

    def table(self) -> Table:
        """A row a record."""
        raise NotImplementedError

    def to_frame(self, library: str | None = None) -> Any:
        """As `Table.to_frame`."""
        return self.table().to_frame(library)


def _in_pandas(pandas: ModuleType, columns: Mapping[str, Column]) -> Any:
    types = {"float": "float64", "int": "int64", "bool": "bool", "text": "string"}
    nullable = types | {"int": "Int64", "bool": "boolean"}
    return pandas.DataFrame(
        {
            name: pandas.Series(one.values, dtype=(nullable if one.nullable else types)[one.type])
            for name, one in columns.items()
        }
    )


def _in_polars(polars: ModuleType, columns: Mapping[str, Column]) -> Any:
    types = {"float": polars.Float64, "int": polars.Int64, "bool": polars.Boolean, "text": polars.String}
    return polars.DataFrame(
        [polars.Series(name, one.values, dtype=types[one.type], nan_to_null=True) for name, one in columns.items()]
    )


def _in_arrow(pyarrow: ModuleType, columns: Mapping[str, Column]) -> Any:
    types = {"float": pyarrow.float64(), "int": pyarrow.int64(), "bool": pyarrow.bool_(), "text": pyarrow.string()}
    return pyarrow.table(
        {name: pyarrow.array(one.values, type=types[one.type], from_pandas=True) for name, one in columns.items()}
    )


FRAMES: Mapping[str, Callable[[ModuleType, Mapping[str, Column]], Any]] = {
    "pandas": _in_pandas,
    "polars": _in_polars,
    "arrow": _in_arrow,
}


def _at_hand() -> str:
    imported = next((library for library, module in MODULES.items() if sys.modules.get(module)), None)
    found = imported or _first_installed()
    if found is None:
        raise MissingExtraError("a frame needs pandas, polars or pyarrow, and none is installed", "pip install pandas")
    return found


def _first_installed() -> str | None:
    return next((library for library, module in MODULES.items() if _installed(module)), None)


def _installed(module: str) -> bool:
    return sys.modules[module] is not None if module in sys.modules else importlib.util.find_spec(module) is not None


def _imported(library: str) -> ModuleType:
    module = MODULES[library]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"this frame needs {module} ({error})", f"pip install {module}") from error


def _in_csv(column: Column) -> list[Any]:
    values = column.listed()
    return [None if value is None else str(value).lower() for value in values] if column.type == "bool" else values


def _in_json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
