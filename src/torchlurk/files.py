"""Files of the user's choosing: where they are, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from torchlurk.errors import OptionError, StorageError


def real(path: Path) -> Path:
    """Where the links end that lead to the file; of links in a loop the path itself, which nothing can then be read from."""
    return Path(os.path.realpath(path))


def expanded(path: str | Path) -> Path:
    """The path with `~` written out; that of a user who is not there is a name like any other."""
    return Path(os.path.expanduser(path))


def read_given(path: Path) -> bytes:
    """All that a file holds. Raises `OSError` where it cannot be read, and for a pipe or device that goes on beyond
    `MOST_PIPED`: some never end.
    """
    with path.open("rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
        found = file.read(MOST_PIPED + 1)
    if len(found) > MOST_PIPED:
        raise OSError(errno.EFBIG, f"it is not a regular file, and it is larger than {MOST_PIPED >> 20} MiB", str(path))
    return found


MOST_PIPED = 64 << 20


def write_whole(path: Path, body: bytes, endings: Collection[str]) -> None:
    """Puts `body` in place of what is at `path`, which stays as it was where that fails.

    A symbolic link stays, and the file it leads to is replaced; a pipe or a terminal is written to. Raises what
    `check_name` does, and `StorageError` where the file cannot be written.
    """
    check_name(path, endings)
    place = real(path)
    try:
        if place.exists() and not place.is_file():
            path.write_bytes(body)
        else:
            _replace(place, body)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"cannot write '{path}': {reason}", "name a file in a folder that can be written") from error


def check_name(path: Path, endings: Collection[str]) -> None:
    """Raises `OptionError` where `path` is a folder, or a file, or a link to one, whose name has none of the endings."""
    if path.is_dir():
        raise OptionError(f"'{path}' is a folder", "name a file in it")
    if path.exists() and not path.is_file():
        return
    for name in (path, real(path)):
        if name.suffix.lower() not in endings:
            leads = "" if name is path else f"leads to '{name}', which "
            raise OptionError(f"'{path}' {leads}does not end in {' or '.join(endings)}", "name another file")


def _replace(place: Path, body: bytes) -> None:
    beside = place.with_name(f".torchlurk-{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(body)
        if place.exists():
            beside.chmod(stat.S_IMODE(place.stat().st_mode))
        os.replace(beside, place)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
