"""A folder that holds an export: which of its files are the export's own, and how new ones take their place.

The folder keeps a list of the files that an export wrote, in the format of `sha256sum`. Only these, and only while they
hold what was written, are replaced or removed. Links in the folder are not followed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath

from torchlurk.errors import OptionError, StorageError
from torchlurk.files import real
from torchlurk.store.locking import Lock

LIST = ".torchlurk-export"
"""The list's name. A folder with it is an export."""

MOST_NAMED = 3
"""Of several things that stand in the way so many are named."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")

Hashes = Mapping[str, frozenset[str]]
"""By path in the folder, the hashes that the file may have: two where one export was taking another's place."""


class Site:
    """The files of an export, which are put in place together when all are there. Use it in a `with` block."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        """For files of these paths, with slashes. Raises `OptionError` where the folder holds what is not to be touched."""
        self._named, self._paths = folder, [*paths]
        self._folder = real(folder)
        home = self._folder.parent if _has_room_beside(self._folder) else self._folder
        self._new = home / f".{self._folder.name}.torchlurk-new"
        self._owned = self._listed()
        self._refuse_obstacles()
        self._hashes: dict[str, str] = {}
        self._lock: Lock | None = None

    def __enter__(self) -> Site:
        try:
            self._new.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._new, self._named)
            self._owned = self._listed()  # another export may have ended meanwhile
            self._remove_unfinished()
            self._new.mkdir()
            (self._new / LIST).touch()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise self._failure(error) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            with suppress(OSError, OptionError):
                self._remove_unfinished()
            self._lock.release()

    def write(self, path: str, body: bytes) -> None:
        """Makes one of the files ready; where the folder has it already, it is left there."""
        self._hashes[path] = digest = sha256(body).hexdigest()
        if digest in self._owned.get(path, ()) and _digest(self._folder / path) == digest:
            return
        try:
            file = self._new / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        except OSError as error:
            raise self._failure(error) from error

    def finish(self) -> None:
        """Puts all in place, and removes what an earlier export has more; after an error the folder is as it was."""
        assert self._hashes.keys() == {*self._paths}
        self._refuse_obstacles()
        new = {path: frozenset([digest]) for path, digest in self._hashes.items()}
        try:
            if self._folder.exists():
                self._exchange(new)
            else:
                _write_list(self._new / LIST, new)
                self._new.rename(self._folder)
        except OSError as error:
            raise self._failure(error) from error

    def _exchange(self, new: Hashes) -> None:
        """File by file; so that a killed export can be told from the user's files, the list names the files of both."""
        either = {path: self._owned.get(path, frozenset()) | new.get(path, frozenset()) for path in {**self._owned, **new}}
        listed = self._new / ".list"
        moves = _Moves(self._folder, self._new / ".old")
        gone = [path for path in self._owned if path not in new and self._obstacle(path) is None]
        try:
            _write_list(listed, either)
            moves.into(LIST, listed)
            for path in new:
                if (self._new / path).exists():
                    moves.into(path, self._new / path)
            for path in gone:
                moves.out(path)
            _write_list(listed, new)
            moves.into(LIST, listed)
        except BaseException:
            moves.undo()
            raise
        _remove_empty(self._folder, gone)

    def _listed(self) -> Hashes:
        """What the list in the folder says; raises `OptionError` for a folder that is neither empty nor an export."""
        folder, named = self._folder, self._named
        if not os.path.lexists(folder):
            return {}
        if not folder.is_dir():
            raise OptionError(f"'{named}' is a file", "name a folder")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise StorageError(f"'{named}' cannot be written", "give write permission to it, or name another folder")
        beside = [one.name for one in folder.iterdir() if not one.name.startswith(self._new.name)]
        if LIST not in beside:
            if beside:
                raise OptionError(f"'{named}' contains other files: {_some(beside)}", "name a new folder, or an earlier export")
            return {}
        file = folder / LIST
        if not stat.S_ISREG(file.lstat().st_mode):
            raise OptionError(f"'{named}/{LIST}' is not a file", "name a new folder")
        if not file.stat().st_size:
            raise OptionError(
                f"'{named}' was exported by an earlier version, which kept no list of its files",
                "name a new folder, or delete that export and its .torchlurk-export",
            )
        return _read_list(file, f"{named}/{LIST}")

    def _refuse_obstacles(self) -> None:
        found = [(path, why) for path in (LIST, *self._paths) if (why := self._obstacle(path))]
        if found:
            places = list(dict.fromkeys(f"'{place}' {why}" for _, (place, why) in found))
            raise OptionError(f"in '{self._named}', {_some(places)}", "move it away, or name a new folder")

    def _obstacle(self, path: str) -> tuple[str, str] | None:
        """What keeps the export from replacing that file: a place in the folder and what is wrong with it."""
        for folder in reversed(PurePosixPath(path).parents):
            if why := _no_folder(self._folder / folder):
                return str(folder), why
        try:
            mode = (self._folder / path).lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if why := _no_file(mode):
            return path, why
        if path == LIST:
            return None
        if path not in self._owned:
            return path, "was not written by an export"
        try:
            same = _digest(self._folder / path) in self._owned[path]
        except OSError as error:
            return path, f"cannot be read: {error.strerror}"
        return None if same else (path, "was changed since it was exported")

    def _remove_unfinished(self) -> None:
        """Deletes what this export, or one that was killed, has made ready."""
        if not os.path.lexists(self._new):
            return
        if _no_folder(self._new) or not os.path.lexists(self._new / LIST):
            raise OptionError(f"'{self._new}' is in the way", "move it away")
        shutil.rmtree(self._new)

    def _failure(self, error: OSError) -> StorageError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = "" if full or not error.filename else f" ('{error.filename}')"
        return StorageError(
            f"cannot write to '{self._named}': {error.strerror or error}{where}; existing files are unchanged",
            "free some space, or name another folder" if full else "name another folder",
        )


class _Moves:
    """Files put into a folder, and taken out of it to another place, from which they can come back."""

    def __init__(self, folder: Path, old: Path) -> None:
        self._folder, self._old = folder, old
        self._done: list[tuple[Path, Path | None]] = []
        self._made: list[Path] = []

    def into(self, path: str, new: Path) -> None:
        """`new` takes the place of the file at `path`."""
        for folder in reversed([*PurePosixPath(path).parents]):
            if not (made := self._folder / folder).exists():
                self._made.append(made)
                made.mkdir()
        self.out(path)
        os.replace(new, self._folder / path)

    def out(self, path: str) -> None:
        """Takes the file at `path`, if there is one, out of the folder."""
        self._old.mkdir(exist_ok=True)
        place, kept = self._folder / path, self._old / str(len(self._done))
        if not place.exists():
            self._done.append((place, None))
            return
        self._done.append((place, kept))  # before it is done, for Ctrl-C may come between
        os.replace(place, kept)

    def undo(self) -> None:
        """The folder as it was."""
        for place, kept in reversed(self._done):
            if kept is None:
                place.unlink(missing_ok=True)
            elif kept.exists():
                os.replace(kept, place)
        for made in reversed(self._made):
            with suppress(OSError):
                made.rmdir()


def _has_room_beside(folder: Path) -> bool:
    """Whether files can be made ready next to the folder and moved into it."""
    return not folder.exists() or (not folder.is_mount() and os.access(folder.parent, os.W_OK | os.X_OK))


def _no_folder(folder: Path) -> str | None:
    """Why that is no folder to write into."""
    try:
        mode = folder.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(mode):
        return "is a file and not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"


def _no_file(mode: int) -> str | None:
    if stat.S_ISLNK(mode):
        return "is a symbolic link"
    if stat.S_ISDIR(mode):
        return "is a folder"
    return None if stat.S_ISREG(mode) else "is not a plain file"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return sha256(opened.read()).hexdigest()


def _write_list(file: Path, hashes: Hashes) -> None:
    lines = (f"{digest}  {path}\n" for path, digests in hashes.items() for digest in sorted(digests))
    file.write_text("".join(lines), "utf-8")


def _read_list(file: Path, named: str) -> Hashes:
    """By path; raises `OptionError` where it is not as it was written, or names something outside its folder."""
    found: dict[str, frozenset[str]] = {}
    for number, line in enumerate(file.read_text("utf-8", "replace").removesuffix("\n").split("\n"), 1):
        entry = _LINE.fullmatch(line)
        path = PurePosixPath(entry[2]) if entry else PurePosixPath("..")
        if entry is None or path.is_absolute() or ".." in path.parts or str(path) != entry[2] or "\\" in entry[2]:
            raise OptionError(f"'{named}' is damaged at line {number}", "name a new folder")
        found[entry[2]] = found.get(entry[2], frozenset()) | {entry[1]}
    return found


def _remove_empty(folder: Path, gone: Iterable[str]) -> None:
    """Deletes the folders in which files were and nothing is any more."""
    parents = {parent for path in gone for parent in PurePosixPath(path).parents if parent.name}
    for parent in sorted(parents, key=lambda one: -len(one.parts)):
        with suppress(OSError):
            (folder / parent).rmdir()


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more
