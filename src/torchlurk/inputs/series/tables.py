"""Series in CSV files: a file an example, its columns the channels, named by a header where there is one."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from torchlurk.errors import DataError
from torchlurk.inputs.series.recordings import Recordings
from torchlurk.inputs.source import printable
from torchlurk.inputs.sources.class_files import by_folder
from torchlurk.inputs.sources.listing import Listing
from torchlurk.inputs.text.files import read_text
from torchlurk.records import Skip

SEPARATORS = ",;\t"
MISSING = frozenset({"", "?", "na", "nan", "null", "none"})


@dataclass(frozen=True, slots=True)
class Table:
    """One file: its values, and the names of its columns, '' without a header."""

    values: Float32[np.ndarray, "time channel"]
    channels: tuple[str, ...]


def read_table(file: Path) -> Table:
    """The numbers of a CSV file; raises `DataError`, with the reason alone, where it is no table of numbers."""
    rows = table_rows(read_text(file))
    if not rows:
        raise DataError("is empty")
    named = not all(_is_number(cell) for cell in rows[0])
    channels = tuple(cell.strip() for cell in rows[0]) if named else ("",) * len(rows[0])
    if len(rows) == named:
        raise DataError("has a header but no rows")
    lines = [_numbers(row, channels, place) for place, row in enumerate(rows[named:], 1)]
    return Table(np.array(lines, np.float32), channels)


def table_rows(text: str) -> list[list[str]]:
    """The rows of a CSV file, separated by the first of comma, semicolon and tab that its first line has; no empty ones."""
    lines = [line for line in text.splitlines() if line.strip()]
    separator = next((one for one in SEPARATORS if lines and one in lines[0]), ",")
    return list(csv.reader(lines, delimiter=separator))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in MISSING
    return True


def _numbers(row: list[str], channels: Sequence[str], place: int) -> list[float]:
    if len(row) != len(channels):
        raise DataError(f"row {place} has {len(row)} columns, the first {len(channels)}")
    numbers = []
    for column, cell in enumerate(row):
        called = f"'{channels[column]}'" if channels[column] else str(column + 1)
        if cell.strip().lower() in MISSING:
            raise DataError(f"row {place} has no value in column {called}")
        try:
            number = float(cell)
        except ValueError:
            raise DataError(f"row {place} has '{cell.strip()[:40]}' in column {called}, not a number") from None
        if math.isnan(number):
            raise DataError(f"row {place} has no value in column {called}")
        numbers.append(number)
    return numbers


def read_tables(root: Path, listing: Listing) -> Recordings:
    """The files of a listing, a sub-folder each class. Those that do not fit the first that can be read are passed over.

    Raises `DataError` where none can be read.
    """
    tables: list[tuple[str, Table]] = []
    skipped = list(listing.skipped)
    for path in listing.paths:
        try:
            table = read_table(root / path)
            _check_alike(table, tables)
        except DataError as error:
            skipped.append(Skip(printable(path), error.message))
        else:
            tables.append((path, table))
    if not tables:
        reasons = [skip for skip in skipped if skip.path in {printable(path) for path in listing.paths}]
        raise DataError(f"none of the {len(listing.paths)} files can be read: {reasons[0].path} {reasons[0].reason}")
    paths = tuple(printable(path) for path, _ in tables)
    labels = by_folder([path for path, _ in tables], listing.folders)
    return Recordings(
        [table.values for _, table in tables],
        tables[0][1].channels,
        paths,
        labels if labels.names else None,
        tuple(skipped),
    )


def _check_alike(table: Table, before: Sequence[tuple[str, Table]]) -> None:
    if before and table.channels != before[0][1].channels:
        path, first = before[0]
        raise DataError(f"has the columns {_called(table.channels)}, {path} {_called(first.channels)}")


def _called(channels: Sequence[str]) -> str:
    return ", ".join(channels) if any(channels) else f"1 to {len(channels)}"
