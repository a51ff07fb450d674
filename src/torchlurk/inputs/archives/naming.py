"""Which archives DATA names: a file, a folder of them, or a pattern such as `shards/train-{000..127}.tar`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from torchlurk.errors import DataError
from torchlurk.files import expanded
from torchlurk.inputs.presence import absent

TAR, ZIP = ".tar", ".zip"
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
DESCRIBING = (".json", ".idx", ".md", ".yaml")
"""What files that say something of shards end in."""

MOST_BRACES, MOST_SHARDS = 32, 100_000
"""Of one pattern: nobody has more files."""

_RANGE = re.compile(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")


def is_archive(data: str) -> bool:
    """Whether DATA is one or several archives, by its name or, of a folder, by what is in it."""
    lower = data.lower()
    if lower.endswith(PACKED):
        return True
    path = expanded(data)
    if lower.endswith((TAR, ZIP)):
        return not path.is_dir()
    return path.is_dir() and _only_shards(path)


def archives(data: str) -> tuple[Path, list[str]]:
    """The folder of the archives, and their paths relative to it, in order.

    Raises `DataError` where there is none, or one is compressed as a whole.
    """
    if data.lower().endswith(PACKED):
        raise DataError(
            f"{data} is compressed, so its members cannot be read individually", "unpack it to a plain .tar: gunzip FILE"
        )
    path = expanded(data)
    if path.is_dir():
        return path.absolute(), _shards_in(path)
    if path.exists():
        return path.parent.absolute(), [path.name]
    if not any(character in data for character in "*?[{"):
        raise absent(path)
    return _matching(data)


def _matching(pattern: str) -> tuple[Path, list[str]]:
    if pattern.count("{") > MOST_BRACES:
        raise DataError(f"the pattern {pattern} has more than {MOST_BRACES} braces", "name the folder of the shards")
    written = [str(expanded(one)) for one in islice(_expanded(pattern), MOST_SHARDS + 1)]
    if not written:
        raise DataError(f"the pattern {pattern} stands for no file", "write {FIRST..LAST}, the smaller number first")
    if len(written) > MOST_SHARDS:
        raise DataError(f"the pattern {pattern} stands for more than {MOST_SHARDS:,} files", "give the numbers that there are")
    if any(not one.lower().endswith(TAR) for one in written):
        raise DataError(f"the pattern {pattern} does not name .tar files", "give one that ends in .tar")
    found: list[str] = []
    for one in written:
        found += sorted(glob.glob(one)) if glob.has_magic(one) else [one] if os.path.isfile(one) else []
    if not found:
        raise DataError(f"no file matches {pattern}", f"it stands for {len(written)} name(s), from {written[0]} on")
    missing = [one for one in written if not glob.has_magic(one) and not os.path.isfile(one)]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(written)} shards of {pattern} are missing, {missing[0]} first", "name those that exist"
        )
    folder = Path(os.path.commonpath([os.path.dirname(os.path.abspath(one)) for one in found]))
    return folder, [Path(os.path.relpath(os.path.abspath(one), folder)).as_posix() for one in dict.fromkeys(found)]


def _expanded(pattern: str) -> Iterator[str]:
    """The names that braces stand for: `{08..11}` numbers of one width, `{a,b}` these."""
    if found := _RANGE.search(pattern):
        low, high = found[1], found[2]
        inside: Iterable[str] = (str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    elif found := _CHOICE.search(pattern):
        inside = found[1].split(",")
    else:
        yield pattern
        return
    for one in inside:
        yield from _expanded(pattern[: found.start()] + one + pattern[found.end() :])


def _only_shards(folder: Path) -> bool:
    """Whether a folder holds tar files, and beside them nothing but what describes them."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
            files = [entry.name.lower() for entry in visible if entry.is_file()]
    except OSError:
        return False
    shards = any(name.endswith(TAR) for name in files)
    return shards and len(files) == len(visible) and all(name.endswith((TAR, *DESCRIBING)) for name in files)


def _shards_in(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.lower().endswith(TAR) and not name.startswith("."))
