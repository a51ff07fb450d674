"""What DATA holds: pictures, text or series, and which options go with that."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from torchlurk.errors import DataError, OptionError
from torchlurk.input_records import KindName
from torchlurk.inputs.presence import ARRAY, absent
from torchlurk.inputs.series.source import SERIES_SUFFIXES, TABLE
from torchlurk.inputs.sources.file_lists import is_list, read_list
from torchlurk.inputs.sources.listing import IMAGE_SUFFIXES, Listing, is_folder, is_image, leads, walk
from torchlurk.inputs.text.source import ROWS, TEXT_SUFFIXES
from torchlurk.options import InputOptions

OPTIONS_OF: dict[str, tuple[tuple[KindName, ...], tuple[str, ...]]] = {
    "pictures": (("pictures",), ("resize", "crop", "interpolation", "decoder", "mean", "std")),
    "text": (("text",), ("tokenizer", "lowercase", "vocabulary", "lines", "window", "burn_in", "tracks")),
    "text and series": (("text", "series"), ("input_axes",)),
}
"""Options that not every kind has: in words whose they are, the kinds, the options."""

_FILES = {"pictures": "images", "text": "text files", "series": "CSV files"}


TABLE_OF_TEXTS = "a .csv holds one series; save texts as a .tsv of text and class"
"""What to do where a table of texts is taken for a series."""

LEAVE_OUT = "leave it out"


def check_options(options: InputOptions, kind: KindName, what: str = "DATA", called: str = "", hint: str = LEAVE_OUT) -> None:
    """Raises `OptionError` for an option that was given and is for another kind; `what` is how the data is called, `called`
    its kind where a program has added that. `hint` says what to do about one for text.
    """
    usual = InputOptions()
    for owners, (kinds, names) in OPTIONS_OF.items():
        for name in names:
            if kind not in kinds and getattr(options, name) != getattr(usual, name):
                raise OptionError(
                    f"--{name.replace('_', '-')} is for {owners}; {what} is {called or kind}",
                    hint if "text" in kinds else LEAVE_OUT,
                )


def check_vocabulary(vocabulary: Mapping[str, int] | Sequence[str] | None, kind: KindName) -> None:
    """Raises `OptionError` for a vocabulary that a program gives with what is no text."""
    if vocabulary is not None and kind != "text":
        raise OptionError(f"--vocabulary is for text; DATA is {kind}", LEAVE_OUT)


def recognized(data: Path, wanted: KindName | None) -> KindName:
    """The kind of a folder or file, or `wanted` where that cannot be told; what is neither counts as pictures.

    Raises `DataError` where files of several kinds are there, `OptionError` where `wanted` is not what is there.
    """
    if is_folder(data):
        return wanted or _kind_of_folder(data)
    file, _, array = str(data).partition(ARRAY)
    told = kind_of_name(f"{file}.npz" if array else data.name)
    if told is not None and not Path(f"{file}.npz" if array else data).exists():
        raise absent(data)
    if told == "series" and data.suffix.lower() == TABLE and is_list(data):
        told = kind_of_names(read_list(data)[0].paths, str(data), wanted)
    if told is not None and wanted not in (None, told):
        raise OptionError(f"--kind is '{wanted}', {data} is {told}", "leave --kind out, or give other data")
    return told or wanted or "pictures"


def kind_of_name(name: str) -> KindName | None:
    """What a file is by its suffix."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return "pictures"
    if suffix in TEXT_SUFFIXES or suffix == ROWS:
        return "text"
    return "series" if suffix in SERIES_SUFFIXES else None


def kind_of_names(names: Sequence[str], what: str, wanted: KindName | None) -> KindName:
    """The kind that all files of a list have."""
    counts = Counter(kind_of_name(name) for name in names)
    if len(counts) > 1:
        raise _mixed(what, counts)
    (kind,) = counts
    if kind is None and wanted is None:
        raise DataError(f"{what} lists files of an unknown kind, such as {names[0]}", "give --kind")
    return kind or wanted or "pictures"


def _kind_of_folder(root: Path) -> KindName:
    """Pictures where there is any image; otherwise what all files are whose kind can be told."""
    counts: Counter[KindName | None] = Counter()
    for entry, _ in walk(root, Listing()):
        suffix = os.path.splitext(entry.name)[1].lower()
        if not leads(entry.is_file):
            continue
        if is_image(entry, suffix):
            return "pictures"
        counts["text" if suffix in TEXT_SUFFIXES else "series" if suffix == TABLE else None] += 1
    counts.pop(None, None)
    if len(counts) > 1:
        raise _mixed(str(root), counts)
    return next((kind for kind in counts if kind), "pictures")


def _mixed(what: str, counts: Counter[KindName | None]) -> DataError:
    parts = [f"{count} {_FILES[kind] if kind else 'other files'}" for kind, count in counts.items()]
    return DataError(
        f"{what} holds {' and '.join(parts)}", "a study holds one kind of data: choose it with --kind, or separate the files"
    )
