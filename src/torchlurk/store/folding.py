"""How a study becomes one plain file again when its writing ends, however it ended."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from torchlurk.files import real
from torchlurk.store.connections import PATIENCE, code_of, open_alone
from torchlurk.store.locking import is_claimed

SIDE_FILES = ("-wal", "-shm", "-lock")
"""Endings of what lies beside a study while it is written, and after its writer was killed."""

RETRY_AFTER = 0.02
"""Seconds between tries to have the file alone for a moment."""

SETTLED_WITHIN = 1.0
"""Seconds to wait for those who are reading a study or noting something in it, to make one file of it."""

PAGES_GIVEN_BACK = 4096
"""Free pages cut off the file in one transaction (64 MiB)."""


def left_open(path: Path) -> bool:
    """Whether files lie beside the study that its writer would have removed when it closed."""
    home = real(path)
    return any(home.with_name(home.name + ending).exists() for ending in SIDE_FILES)


def place_of(home: Path) -> tuple[int, int] | None:
    """Which file is at a path; None where none is."""
    try:
        found = home.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def fold(db: sqlite3.Connection) -> None:
    """Gives free room back and folds the side files into the study; they stay where another program keeps it open."""
    try:
        if db.in_transaction:
            db.rollback()
        while db.execute("PRAGMA freelist_count").fetchone()[0]:
            db.execute(f"PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        change_journal(db, "DELETE")
    except sqlite3.ProgrammingError:  # it is closed already
        return
    except sqlite3.OperationalError as error:
        if code_of(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise


def settle(home: Path) -> None:
    """Makes one plain file of a study after a small change to it. Where somebody else has it open and stays, it is theirs to
    do: an analysis does it when it ends.

    Each try has a connection of its own: two writers that waited with theirs open would wait for each other.
    """
    give_up = time.monotonic() + (0 if is_claimed(home) else SETTLED_WITHIN)
    while not _folded(home) and time.monotonic() < give_up:
        time.sleep(RETRY_AFTER * random.uniform(0.5, 1.5))  # not in step with another


def enter_wal(db: sqlite3.Connection) -> None:
    """Puts the file into the mode of one that is being written, and keeps it there for as long as the connection is open.

    It is kept from the first read on, and not yet by the change itself: between them another writer may have folded the file.
    """
    while not in_wal(db):
        change_journal(db, "WAL")


def in_wal(db: sqlite3.Connection) -> bool:
    """Whether the file is in the journal mode of one that is being written."""
    db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # a connection knows only what it has read
    return bool(db.execute("PRAGMA journal_mode").fetchone()[0] == "wal")


def change_journal(db: sqlite3.Connection, mode: str) -> None:
    """Changes the journal mode, which needs the file alone for a moment.

    It passes through MEMORY, so that the one page that changes has no journal on disk: a reader cannot roll one back.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            _pass_to(db, mode)
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(RETRY_AFTER)
        else:
            return


def _folded(home: Path) -> bool:
    """Whether the file is a plain one, or could be made one: nobody else has it open."""
    try:
        with closing(open_alone(home)) as db:
            if in_wal(db):
                _pass_to(db, "DELETE")
    except sqlite3.OperationalError as error:
        if code_of(error) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _pass_to(db: sqlite3.Connection, mode: str) -> None:
    db.execute("PRAGMA journal_mode = MEMORY").fetchone()
    db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
