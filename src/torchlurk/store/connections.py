"""Connections to a study's file, and SQLite's errors in words that say what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from torchlurk.errors import StorageError, StudyError, nearest
from torchlurk.store import columns
from torchlurk.store.columns import DamageError
from torchlurk.store.schema import APPLICATION_ID, PAGE_SIZE, VERSION, foreign_objects

PATIENCE = 10.0
"""Seconds to wait for a lock that another process holds for a moment."""

LARGEST_CELL = 1 << 28
"""Bytes. SQLite refuses longer texts and blobs before it makes room for them."""

CACHE_KIB = 64 << 10
"""Memory the writer may use for pages not yet written."""

WAL_KEPT = 64 << 20
"""Bytes that the write-ahead log may keep after a checkpoint."""

INCREMENTAL = 2
"""The mode of `auto_vacuum` in which the room of dropped progress goes back to the disk when it is asked to."""

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""

DISTRUST = ("trusted_schema = 0", "cell_size_check = 1", "mmap_size = 0")
READING = (*DISTRUST, "query_only = 1")
WRITING = (
    *DISTRUST,
    f"page_size = {PAGE_SIZE}",
    "synchronous = NORMAL",
    "foreign_keys = 1",
    "secure_delete = 0",
    "temp_store = MEMORY",
    f"cache_size = -{CACHE_KIB}",
    f"journal_size_limit = {WAL_KEPT}",
)
CHANGING = (
    *DISTRUST,
    "synchronous = FULL",  # what a person typed survives a power cut, too
    "foreign_keys = 1",
    "wal_autocheckpoint = 0",  # the log is the business of the analysis that is writing it
)

UNFORESEEN = (ArithmeticError, LookupError, TypeError, ValueError, MemoryError, RecursionError)
"""What reading a value that nobody has looked for may end in."""

KEPT = "what was finished is kept; {} and run the same command again"


def open_reading(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that cannot change the file; `immutable` neither locks nor looks for side files."""
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    return _connect(uri, READING)


def open_writing(path: Path) -> sqlite3.Connection:
    """A connection that can change the file, and creates it where it is not there."""
    return _connect(f"{path.absolute().as_uri()}?mode=rwc", WRITING, vacuum=True)


def open_changing(path: Path) -> sqlite3.Connection:
    """A connection for a small change to a study that is there, beside an analysis that may be writing it."""
    return _connect(f"{path.absolute().as_uri()}?mode=rw", CHANGING)


def open_alone(path: Path) -> sqlite3.Connection:
    """A connection for which the file must have no other, or the first statement raises; it needs no side files but a log.

    Elsewhere the log's index lies in a file, for which there is no room on a full disk.
    """
    return _connect(f"{path.absolute().as_uri()}?mode=rw", ("busy_timeout = 0", "locking_mode = EXCLUSIVE", *CHANGING))


def _connect(uri: str, pragmas: Iterable[str], *, vacuum: bool = False) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(str(part) for part in OLDEST_SQLITE)
        raise StorageError(f"this Python has SQLite {sqlite3.sqlite_version}, a study needs {wanted}", "use a newer Python")
    db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
        for pragma in pragmas:
            db.execute(f"PRAGMA {pragma}").fetchall()
        if vacuum and db.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:  # to set it writes, also where it is set
            db.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    except BaseException:
        db.close()
        raise
    return db


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """The schema version of a study, 0 for an empty file; raises `StudyError` where it is none, newer, or tampered with."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if application == version == 0 and empty:
        return 0
    if application != APPLICATION_ID or version < 1:
        raise not_a_study(path)
    if version > VERSION:
        raise StudyError(
            f"'{path}' was made by a newer Torchlurk: study version {version}, this one reads up to {VERSION}",
            "pip install -U torchlurk",
        )
    if (size := db.execute("PRAGMA page_size").fetchone()[0]) != PAGE_SIZE:  # smaller ones can stand for many long texts
        raise damaged(path, f"it has pages of {size:,} bytes, not {PAGE_SIZE:,}")
    if differences := foreign_objects(db, version):
        raise damaged(path, differences[0])
    return version


def holds_nothing(path: Path) -> bool:
    """Whether the file is empty: its writer was stopped, or the disk was full, before its first transaction."""
    check_is_file(path)
    with translated(path, writing=False), closing(open_reading(path)) as db:
        return version_of(db, path) == 0


SMALLEST = 100
"""Bytes of SQLite's header; it takes some files that are shorter for empty, and writes over them."""


def check_is_file(path: Path) -> None:
    """Raises `StudyError` for what is no file: to open a pipe is to wait until somebody writes to it."""
    try:
        if not path.exists():
            raise missing(path)
        if not path.is_file() or 0 < path.stat().st_size < SMALLEST:
            raise not_a_study(path)
    except PermissionError as error:
        raise StudyError(f"'{path}' cannot be read: {error.strerror}") from error


def check_folder(path: Path) -> None:
    """Raises `StorageError` where there is no folder to write the file in."""
    try:
        path.parent.stat()
    except OSError as error:
        raise _of_system(error, path) from error
    if not path.parent.is_dir():
        raise _no_folder(path)


def refuse_foreign_log(home: Path, path: Path) -> None:
    """Raises `StudyError` for a finished study with the log of another one beside it, which SQLite would take for its own.

    The log goes before the header says that the study is finished, so that both are looked at twice.
    """
    log = home.with_name(home.name + "-wal")
    if all(_is_long(log) and _is_plain(home) for _ in range(2)):
        raise StudyError(
            f"'{path}' is complete, and '{log.name}' beside it is the log of another study",
            f"move '{log.name}' and '{home.name}-shm' away",
        )


def _is_long(log: Path) -> bool:
    try:
        return log.stat().st_size > 0
    except OSError:
        return False


def _is_plain(home: Path) -> bool:
    """Whether the header says that no log belongs to the file."""
    with suppress(OSError), home.open("rb") as file:
        return file.read(20)[18:] == b"\1\1"
    return False


def not_a_study(path: Path) -> StudyError:
    """For a file that is something else."""
    return StudyError(f"'{path}' is not a study", "torchlurk analyze creates one: NAME.lurk")


def damaged(path: Path, how: str) -> StudyError:
    """For a study with something wrong in it."""
    return StudyError(
        f"'{path}' is damaged: {how}", "torchlurk check lists what is wrong; restore a copy, or run the analysis again"
    )


def _is_absent(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at may be there."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def missing(path: Path) -> StudyError:
    """For a file that is not there; names those that look like it."""
    beside = sorted(one.name for one in path.parent.glob("*.lurk")) if path.parent.is_dir() else []
    return StudyError(f"there is no study '{path}'{nearest(path.name, beside)}", "torchlurk analyze creates one")


@contextmanager
def translated(path: Path, *, writing: bool) -> Iterator[None]:
    """Turns SQLite's and the system's errors into a `StudyError` or `StorageError` of one line."""
    try:
        yield
    except DamageError as error:
        raise damaged(path, str(error)) from None
    except UnicodeDecodeError as error:  # a damaged name inside SQLite's own message
        raise damaged(path, "it holds text that is not UTF-8") from error
    except sqlite3.Error as error:
        raise _of_sqlite(error, path, writing=writing) from error
    except OSError as error:
        if not writing:
            raise StudyError(f"'{path}' cannot be read: {error.strerror}") from error
        raise _of_system(error, path) from error
    except UNFORESEEN as error:
        if writing:
            raise
        raise damaged(path, unforeseen(error)) from error


def unforeseen(error: BaseException) -> str:
    """One of `UNFORESEEN` in a few words."""
    return f"it holds a value that cannot be used ({type(error).__name__}: {' '.join(str(error).split())[:MOST_SAID]})"


MOST_SAID = 100
"""Characters."""


def limit_cells(db: sqlite3.Connection) -> None:
    """Lets no cell be longer than the file, inside a transaction: the pages of a damaged one may go round in a circle."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(LARGEST_CELL, max(columns.LONGEST_JSON, size_of(db))))


def size_of(db: sqlite3.Connection) -> int:
    """Bytes of the file, with its write-ahead log."""
    return int(db.execute("PRAGMA page_count").fetchone()[0] * db.execute("PRAGMA page_size").fetchone()[0])


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; what Python raises by itself has none and counts as a plain error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _of_sqlite(error: sqlite3.Error, path: Path, *, writing: bool) -> Exception:
    said = " ".join(str(error).split())
    match code_of(error):
        case sqlite3.SQLITE_NOTADB:
            return not_a_study(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return StudyError(f"'{path}' is in use by another process ({said})", "try again when it has finished")
        case sqlite3.SQLITE_FULL if writing:
            return no_room(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH if writing:
            return StorageError(f"'{path}' cannot be written ({said})", "give write permission to it and to its folder")
        case sqlite3.SQLITE_CANTOPEN if _is_absent(path):
            return missing(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StudyError(
                f"'{path}' cannot be opened ({said})",
                "if writing it was interrupted, continue it, or copy it with the files NAME.lurk-* to a folder you can write",
            )
        case sqlite3.SQLITE_IOERR if writing:
            return StorageError(
                f"'{path}' cannot be written ({said}): the disk may be full, over its quota, or failing",
                KEPT.format("free some space"),
            )
        case sqlite3.SQLITE_NOMEM:
            return StorageError(f"not enough memory for '{path}'", "close other programs")
        case sqlite3.SQLITE_CONSTRAINT if writing:
            return ValueError(f"these records do not fit together: {said}")
    return damaged(path, said)


def _of_system(error: OSError, path: Path) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return _no_folder(path)
    return StorageError(f"'{path}' cannot be written: {error.strerror}", "give write permission to it and to its folder")


def _no_folder(path: Path) -> StorageError:
    return StorageError(f"there is no folder '{path.parent}' to write '{path.name}' in", "create it first")


def no_room(path: Path) -> StorageError:
    """For a full disk."""
    where = os.path.dirname(path) or "."
    return StorageError(f"no space left on the disk where '{path.name}' is ({where})", KEPT.format("free some space"))
