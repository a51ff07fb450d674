"""Tracks from a file: a label for each token of the data, in the order of the data."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from torchlurk.errors import OptionError
from torchlurk.files import read_given
from torchlurk.inputs.numpy_files import load_arrays
from torchlurk.track_records import Measure

FORM = "a .tsv with a header of names and one row for each token, or an .npz of arrays with one number for each token"


@dataclass(frozen=True, slots=True)
class GivenTracks:
    """Labels of all tokens by the name of the track; NaN where a token has none. `digest` tells them from others."""

    labels: Mapping[str, Float32[np.ndarray, " token"]]
    digest: str

    @property
    def measures(self) -> dict[str, Measure]:
        """By name, how units are measured against it: of two values by AUC, of more by correlation."""
        return {name: "auc" if len(_values(labels)) == 2 else "r" for name, labels in self.labels.items()}


def read_tracks(file: Path, tokens: int) -> GivenTracks:
    """The tracks in a file, for data of so many tokens.

    Raises `OptionError` where the file cannot be read, has another number of rows, or a track that never changes.
    """
    what = f"--tracks {file}"
    suffix = file.suffix.lower()
    if suffix not in (".tsv", ".npz"):
        raise OptionError(f"{what} is neither .tsv nor .npz", f"give {FORM}")
    if not file.is_file():
        raise OptionError(f"{what}: {'it is a folder' if file.is_dir() else 'no such file'}", f"give {FORM}")
    columns = dict(_of_table(file, what) if suffix == ".tsv" else _of_arrays(file, what))
    if not columns:
        raise OptionError(f"{what} has no track", f"give {FORM}")
    for name, labels in columns.items():
        if len(labels) != tokens:
            raise OptionError(
                f"{what} has {len(labels):,} rows in '{name}', the data {tokens:,} tokens",
                "give one row for each token, in the order of the data",
            )
        values = _values(labels)
        if len(values) < 2:
            said = f"{values[0]:g} at every token" if len(values) else "empty"
            raise OptionError(f"{what}: the track '{name}' never changes, it is {said}", "leave it out of the file")
    digest = hashlib.sha256()
    for name, labels in columns.items():
        digest.update(name.encode() + b"\0" + labels.astype("<f4").tobytes())
    return GivenTracks(columns, digest.hexdigest())


def _values(labels: Float32[np.ndarray, " token"]) -> Float32[np.ndarray, " value"]:
    return np.unique(labels[np.isfinite(labels)])


def _of_table(file: Path, what: str) -> Iterator[tuple[str, Float32[np.ndarray, " token"]]]:
    """The columns of a TSV; an empty cell is a token without a label."""
    try:
        stream = io.StringIO(read_given(file).decode("utf-8-sig"), newline="")
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise OptionError(f"{what}: {error.strerror}", "give a file that can be read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{what} is not a TSV file: {error}", f"give {FORM}") from error
    names = [name.strip() for name in rows[0]] if rows else []
    if not names or not all(names) or len(set(names)) < len(names):
        raise OptionError(f"{what} has no header with a name of its own for each track", f"give {FORM}")
    if all(_number(name) is not None for name in names):
        raise OptionError(f"{what} has numbers in its first line, where the names of the tracks stand", f"give {FORM}")
    labels = np.empty((len(rows) - 1, len(names)), np.float32)
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise OptionError(f"{what} has {len(row)} columns in line {line}, {len(names)} in its header", f"give {FORM}")
        for column, cell in enumerate(row):
            value = _number(cell) if cell.strip() else math.nan
            if value is None:
                raise OptionError(f"{what} has '{cell[:40]}' in line {line}", "labels are numbers, or empty")
            labels[line - 2, column] = value
    yield from zip(names, labels.T, strict=True)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _of_arrays(file: Path, what: str) -> Iterator[tuple[str, Float32[np.ndarray, " token"]]]:
    try:
        found = load_arrays(file)
    except (OSError, ValueError) as error:
        raise OptionError(f"{what} is not an .npz file of numbers: {error}", f"give {FORM}") from error
    for name, array in found.items():
        if not name.strip():
            raise OptionError(f"{what} has an array without a name", f"give {FORM}")
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise OptionError(f"{what} has an array '{name}' of {array.dtype} {array.shape}", f"give {FORM}")
        with np.errstate(over="ignore"):  # beyond single precision is infinite, and no label
            labels = array.astype(np.float32)
        yield name, np.where(np.isfinite(labels), labels, np.float32(np.nan))
