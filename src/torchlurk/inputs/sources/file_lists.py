"""A list of files with their classes: a CSV file with the header `path,class`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from torchlurk.errors import DataError
from torchlurk.files import read_given
from torchlurk.inputs.sources.class_files import Labelling, labelling
from torchlurk.inputs.sources.listing import Listing

HEADER = ["path", "class"]


def is_list(file: Path) -> bool:
    """Whether the file begins as a list of files does."""
    try:
        with open(file, encoding="utf-8-sig", errors="replace", newline="") as stream:
            return [cell.strip().lower() for cell in next(csv.reader(stream), [])] == HEADER
    except (OSError, csv.Error):
        return False


def read_list(file: Path) -> tuple[Listing, Labelling]:
    """The files, relative to the list's folder, in the order of the list, and their classes ('' is none).

    What is not there is passed over. Raises `DataError` where the list cannot be read or nothing is left.
    """
    listing = Listing()
    words: list[str | None] = []
    try:
        stream = io.StringIO(read_given(file).decode("utf-8-sig"), newline="")
        rows = list(csv.reader(stream))[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as a list of files: {error}", "save it as CSV in UTF-8") from error
    for number, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(HEADER):
            raise DataError(f"{file}, line {number} has {len(row)} columns", "give two: path,class")
        path = row[0].strip()
        if os.path.isfile(file.parent / path):
            listing.paths.append(path)
            words.append(row[1].strip() or None)
        else:
            listing.skip(path, "is not there")
    if not listing.paths:
        raise DataError(f"none of the files listed in {file} exists", f"paths are relative to {file.parent}")
    return listing, labelling(words)
