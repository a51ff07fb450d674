"""Consistent views of a study's file: connections, each inside one read transaction, kept where that is safe."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from torchlurk.errors import StudyError
from torchlurk.files import real
from torchlurk.store.connections import (
    check_is_file,
    code_of,
    limit_cells,
    not_a_study,
    open_reading,
    refuse_foreign_log,
    translated,
    version_of,
)

IDLE_CONNECTIONS = 4
"""Kept open for the next call; only on a study that nobody is writing."""

NO_SIDE_FILES = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says where a study that was never closed lies in a folder that cannot be written."""

Opened = TypeVar("Opened", bound="Snapshots")


class Snapshots:
    """A study's file, opened to read; raises `StudyError` where it is not there, no study, damaged or too new.

    Each call sees one state of the study. Calls from several threads run side by side.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._here = threading.local()
        self._guard = threading.Lock()
        self._closed = False
        self._immutable = False
        check_is_file(path)
        with self.reading() as db:
            self.version = version_of(db, path)

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is open; a second call does nothing."""
        with self._guard:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction, for queries that no method has. Every call inside the block sees that one
        state of the study.

        On a study that is being written it is closed afterwards, since the writer needs the file for itself when it ends.
        """
        with translated(self.path, writing=False):
            outer = getattr(self._here, "db", None)
            if outer is not None:
                yield outer
                return
            db = self._here.db = self._connection()
            kept = False
            try:
                yield db
                with suppress(sqlite3.Error):  # what was asked for is read; a damaged file is not kept open
                    db.execute("COMMIT")
                    kept = db.execute("PRAGMA journal_mode").fetchone()[0] != "wal" and self._keep(db)
            finally:
                self._here.db = None
                if not kept:
                    db.close()

    def _connection(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise StudyError(f"'{self.path}' is closed", "open it again")
            if self._idle:
                db = self._idle.pop()
                db.execute("BEGIN")
                limit_cells(db)
                return db
        refuse_foreign_log(real(self.path), self.path)
        if self._immutable:
            return _begun(open_reading(self.path, immutable=True), self.path)
        try:
            return _begun(open_reading(self.path), self.path)
        except sqlite3.OperationalError as error:
            if code_of(error) not in NO_SIDE_FILES or not _left_alone(self.path):
                raise
            db = _begun(open_reading(self.path, immutable=True), self.path)
            self._immutable = True
            return db

    def _keep(self, db: sqlite3.Connection) -> bool:
        with self._guard:
            if self._closed or len(self._idle) >= IDLE_CONNECTIONS:
                return False
            self._idle.append(db)
            return True


def _left_alone(path: Path) -> bool:
    """Whether nothing beside the file belongs to it, so that the file alone is the whole study."""
    home = real(path)
    for ending in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            if home.with_name(home.name + ending).stat().st_size:
                return False
    return True


def _begun(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """The connection, with a read transaction on a study of any readable version."""
    try:
        db.execute("BEGIN")
        if version_of(db, path) == 0:
            raise not_a_study(path)
        limit_cells(db)
    except BaseException:
        db.close()
        raise
    return db
