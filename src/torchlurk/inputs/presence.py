"""Whether DATA is there at all: known from its name and a look at the disk, before torch is imported."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torchlurk.errors import DataError, nearest
from torchlurk.files import expanded

DEMO = "demo"
"""The DATA that names the drawn world instead of a folder."""
DEMO_TEXT = "demo-text"
"""The DATA that names the text world."""
DRAWN = "drawn"
"""The DATA that names the pictures to start with."""

ARRAY = ".npz:"
"""Between a file of arrays and the name of one of them."""

CODE = ".py"

_PATTERN = "*?[{"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/")  # a path has lost the second slash


def called_in(data: str) -> tuple[Path, str] | None:
    """The file and the callable in it of FILE.py:CALLABLE; None for any other DATA.

    Raises `DataError` where the file is not there, or the callable is not named.
    """
    if data.endswith(CODE) and os.path.isfile(expanded(data)):
        raise DataError(f"{data} is Python code, and does not say what in it makes the data", f"write {data}:CALLABLE")
    place, _, name = data.rpartition(":")
    if not place.endswith(CODE) or not name.isidentifier():
        return None
    file = expanded(place)
    if not os.path.isfile(file):
        raise absent(file)
    return file, name


def check_present(data: str) -> None:
    """Raises `DataError` where DATA names no data made by code, no pattern of archives, and nothing that is on the disk."""
    if not data:
        raise DataError("DATA is an empty text", "give a folder or file; the current folder is .")
    if _ADDRESS.match(data):
        raise absent(Path(data))
    if data in (DEMO, DEMO_TEXT, DRAWN) or any(character in data for character in _PATTERN) or called_in(data):
        return
    file, _, array = data.partition(ARRAY)
    path = expanded(f"{file}.npz" if array else data)
    try:
        there = path.exists()
    except PermissionError:  # told where it is read, with what to do
        return
    if not there:
        raise absent(Path(data))


def absent(path: Path) -> DataError:
    """What to tell where nothing is there, with what is near."""
    if address := _ADDRESS.match(str(path)):
        return DataError(
            f"DATA is an address ({address[1]}://…), and examples are read from the disk, again and again",
            "download it first, or give FILE.py:CALLABLE, which returns a stream of it",
        )
    try:
        beside = [name for name in os.listdir(path.parent) if name != path.name]
    except OSError:
        beside = []
    leads = f"; it is a link to {os.readlink(path)}" if path.is_symlink() else ""
    return DataError(
        f"no file or folder {path}{leads or nearest(path.name, beside)}",
        "DATA is a folder, a file of text or of series, a .zip, a .tar or several ('train-{000..127}.tar'), FILE.py:CALLABLE,"
        " or drawn; to continue a study whose data has moved, give the new path",
    )
