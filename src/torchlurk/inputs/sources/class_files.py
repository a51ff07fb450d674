"""Classes of examples from a file of their own, and classes from the words that data calls them by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from torchlurk.errors import OptionError, nearest
from torchlurk.files import read_given
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.class_names import read_labels
from torchlurk.records import Class
from torchlurk.units import whole_number

FORM = "a CSV file of lines such as dog/3.jpg,dog or 17,dog: path or number of the example, class"


@dataclass(frozen=True, slots=True)
class Labelling:
    """The names of the classes, and the class of each example, -1 for one without."""

    names: tuple[str, ...]
    indices: Int64[np.ndarray, " example"]


def labelling(words: Sequence[str | None]) -> Labelling:
    """From what the data calls each example's class; classes in the order of their numbers if all are numbers, else by name."""
    distinct = {word for word in words if word is not None}
    numbers = all(whole_number(word) is not None for word in distinct)
    names = tuple(sorted(distinct, key=lambda word: (int(word), word) if numbers else (0, word)))
    index_of = {name: index for index, name in enumerate(names)}
    return Labelling(names, np.array([-1 if word is None else index_of[word] for word in words], np.int64))


def by_folder(paths: Sequence[str], folders: Sequence[str]) -> Labelling:
    """The sub-folder that each path begins with, as its class; `folders` are all of them, in order."""
    index_of = {folder: index for index, folder in enumerate(folders)}
    indices = (index_of[path.partition("/")[0]] if "/" in path else -1 for path in paths)
    return Labelling(tuple(folders), np.fromiter(indices, np.int64, len(paths)))


def read_classes(file: Path, paths: Sequence[str]) -> Labelling:
    """The classes of the examples with these paths, by path, or by number where the first column holds whole numbers only.

    Raises `OptionError` where the file cannot be read, or names what is not there; one by numbers must have one for each.
    """
    what = f"--classes {file}"
    rows = _rows(file, what)
    numbers = all(whole_number(key) is not None for key, _ in rows) and not {key for key, _ in rows} & set(paths)
    known = {str(index) if numbers else path: index for index, path in enumerate(paths) if numbers or path}
    if numbers and len(rows) != len(paths):
        raise OptionError(f"{what} has {len(rows)} rows, the data {len(paths)} examples", "give one row for each example")
    words: list[str | None] = [None] * len(paths)
    for key, word in rows:
        key = str(int(key)) if numbers else key
        if key not in known:
            raise OptionError(f"{what} names '{key}', which is not in the data{nearest(key, known)}", FORM)
        words[known[key]] = word
    return labelling(words)


def told_of_unlabelled(source: Source, file: str | None) -> str:
    """What a user is told where the file of classes has none for some examples; '' otherwise."""
    lacking = [one for one in source.examples if one.class_index is None] if file else []
    if not lacking:
        return ""
    first = lacking[0].path or lacking[0].index
    return f"{len(lacking):,} of {len(source.examples):,} examples have no class in --classes {file}; the first is {first}"


def _rows(file: Path, what: str) -> list[tuple[str, str]]:
    try:
        stream = io.StringIO(read_given(file).decode("utf-8-sig"), newline="")
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    except OSError as error:
        raise OptionError(f"{what}: {error.strerror}", "give a file that can be read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{what} is not a CSV file: {error}", FORM) from error
    if rows and len(rows[0]) == 2 and rows[0][1].lower() == "class":
        rows = rows[1:]
    if not rows:
        raise OptionError(f"{what} names no classes", FORM)
    bad = next((row for row in rows if len(row) != 2 or not all(row)), None)
    if bad is not None:
        raise OptionError(f"{what} has the line '{','.join(bad)[:60]}'", f"give {FORM}")
    return [(row[0], row[1]) for row in rows]


def classes_of(names: Sequence[str], class_names: str | Path | None) -> tuple[Class, ...]:
    """The classes, with the words that the file `class_names` has for them; raises `OptionError` where there are none."""
    if class_names and not names:
        raise OptionError(f"--class-names is {class_names}, and the data has no classes", "leave it out, or give --classes too")
    labels = read_labels(Path(class_names), names) if class_names else names
    return tuple(Class(index, name, label) for index, (name, label) in enumerate(zip(names, labels, strict=True)))
