"""Series in .ts files, as the UCR/UEA archive has them (Bagnall et al. 2018, arXiv 1811.00075)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from torchlurk.errors import DataError
from torchlurk.inputs.series.recordings import Recordings
from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.inputs.text.files import read_text
from torchlurk.records import Skip
from torchlurk.units import whole_number

CUT_SHORT = "is the file complete?"
MISSING = "?"


@dataclass(slots=True)
class _Header:
    """What a file says of itself. `classes` is None where it has none; `target` is whether a number ends each line instead."""

    dimensions: int | None = None
    length: int | None = None
    classes: tuple[str, ...] | None = None
    target: bool = False
    stamps: bool = False

    @property
    def ending(self) -> bool:
        """Whether each line ends with a class or a number to predict."""
        return self.classes is not None or self.target


@dataclass(slots=True)
class _Read:
    values: list[Float32[np.ndarray, "_ channel"]] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


def read_ts(file: Path) -> Recordings:
    """The examples of a .ts file; one with missing values is passed over.

    Raises `DataError` that names the line where the file is cut short or says something that is not so.
    """
    lines = _lines(file)
    header = _header(file, lines)
    read = _Read()
    for number, line in lines:
        _take(line, header, read, f"line {number}", f"{file}, line {number}:")
    if not read.values:
        first = f": {read.skipped[0].path} {read.skipped[0].reason}" if read.skipped else " after @data"
        raise DataError(f"{file} has no example that can be read{first}", CUT_SHORT)
    labels = Labelling(header.classes, np.array(read.classes, np.int64)) if header.classes is not None else None
    channels = ("",) * read.values[0].shape[1]
    return Recordings(read.values, channels, ("",) * len(read.values), labels, tuple(read.skipped))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = read_text(file)
    except DataError as error:
        raise DataError(f"{file} {error.message}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if (stripped := line.strip()) and not stripped.startswith(("#", "%")):
            yield number, stripped


def _header(file: Path, lines: Iterator[tuple[int, str]]) -> _Header:
    header = _Header()
    for number, line in lines:
        word, *values = line.split()
        if word.lower() == "@data":
            break
        if not word.startswith("@"):
            raise DataError(
                f"{file}, line {number}: '{line[:40]}' stands before @data", "is it a .ts file of the UCR/UEA archive?"
            )
        _read_header_line(header, word[1:].lower(), values, f"{file}, line {number}")
    else:
        raise DataError(f"{file} ends before @data", CUT_SHORT)
    if header.stamps:
        raise DataError(f"{file} has time stamps, which are not read", "save the values at even steps, @timeStamps false")
    return header


def _read_header_line(header: _Header, word: str, values: list[str], where: str) -> None:
    says_yes = bool(values) and values[0].lower() == "true"
    if word in ("dimension", "dimensions", "serieslength"):
        number = whole_number(values[0]) if len(values) == 1 else None
        if number is None:
            raise DataError(f"{where}: @{word} is '{' '.join(values)}', not a number", CUT_SHORT)
        if word == "serieslength":
            header.length = number or None
        else:
            header.dimensions = number or None
    elif word == "univariate" and says_yes:
        header.dimensions = 1
    elif word == "timestamps":
        header.stamps = says_yes
    elif word == "classlabel" and says_yes:
        header.classes = tuple(values[1:])
        if not header.classes:
            raise DataError(f"{where}: @classLabel names no classes", CUT_SHORT)
    elif word == "targetlabel":
        header.target = says_yes


def _take(line: str, header: _Header, read: _Read, place: str, where: str) -> None:
    dimensions = line.split(":")
    label = dimensions.pop().strip() if header.ending else ""
    header.dimensions = header.dimensions or len(dimensions)
    if len(dimensions) != header.dimensions:
        raise DataError(f"{where} {len(dimensions)} dimension(s) where {header.dimensions} are declared", CUT_SHORT)
    if header.classes is not None and label not in header.classes:
        raise DataError(f"{where} the class '{label[:40]}' is not declared", CUT_SHORT)
    columns = [one.split(",") for one in dimensions]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise DataError(f"{where} dimensions of {min(lengths)} and {max(lengths)} steps in one example", CUT_SHORT)
    if header.length is not None and lengths != {header.length}:
        raise DataError(f"{where} {lengths.pop()} steps where {header.length} are declared", CUT_SHORT)
    if any(cell.strip() == MISSING for column in columns for cell in column):
        read.skipped.append(Skip(place, "has missing values"))
        return
    try:
        values = np.array([[float(cell) for cell in column] for column in columns], np.float32).T
    except ValueError as error:
        raise DataError(f"{where} {error}", CUT_SHORT) from error
    if np.isnan(values).any():
        read.skipped.append(Skip(place, "has missing values"))
        return
    read.values.append(np.ascontiguousarray(values))
    if header.classes is not None:
        read.classes.append(header.classes.index(label))
