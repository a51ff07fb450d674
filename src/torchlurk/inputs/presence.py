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

_PATTERN = "*?[{"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/")  # a path has lost the second slash


def check_present(data: str) -> None:
    """Raises `DataError` where DATA names no data made by code, no pattern of archives, and nothing that is on the disk."""
    if not data:
        raise DataError("DATA is an empty text", "give a folder or file; the current folder is .")
    if _ADDRESS.match(data):
        raise absent(Path(data))
    if data in (DEMO, DEMO_TEXT, DRAWN) or any(character in data for character in _PATTERN):
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
            "download it first: a folder, .tar shards, or what save_to_disk of the library datasets has written",
        )
    try:
        beside = os.listdir(path.parent)
    except OSError:
        beside = []
    return DataError(
        f"no file or folder {path}{nearest(path.name, beside)}",
        "DATA is a folder, a file of text or of series, a .zip, a .tar or several ('train-{000..127}.tar'), or drawn; to"
        " continue a study whose data has moved, give the new path",
    )
