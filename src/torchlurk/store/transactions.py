"""One study's file, opened to write: a lock, a connection, and changes that happen as a whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from torchlurk.errors import StorageError, StudyError, TorchlurkError
from torchlurk.files import real
from torchlurk.store.connections import check_is_file, open_reading, open_writing, refuse_foreign_log, translated, version_of
from torchlurk.store.folding import enter_wal, fold, place_of, settle
from torchlurk.store.locking import Lock
from torchlurk.store.schema import VERSION, upgrade

Opened = TypeVar("Opened", bound="Transactions")


class Transactions:
    """Creates a study or continues one; raises `StudyError` where another process is writing it or it is no study, and
    `StorageError` where it cannot be written. What a transaction wrote is there when it ends, and survives the process.

    While it is open others may read. Closing folds everything into one plain file. Methods may be called from any
    thread, one at a time. `committed` is called after each transaction.
    """

    def __init__(self, path: Path, committed: Callable[[], None] = lambda: None) -> None:
        self.path, self._committed = path, committed
        self._turn = threading.RLock()
        self._failed = False
        self._file: tuple[int, int] | None = None
        with translated(path, writing=True):
            home = real(path)
            refuse_foreign_log(home, path)
            self._lock = Lock(home)
            try:
                _refuse_older(home, path)
                self._db = open_writing(home)
                try:
                    self._prepare(home)
                except BaseException:
                    self._let_go()
                    raise
            except BaseException:
                self._lock.release()
                raise

    def _prepare(self, home: Path) -> None:
        version = version_of(self._db, self.path)
        enter_wal(self._db)
        self._file = place_of(home)
        if version == 0:
            with self.transaction():
                upgrade(self._db, version)

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            with suppress(TorchlurkError):  # the first error is the one to tell
                self.close()

    def close(self) -> None:
        """Gives free room back and folds the side files into the study; a second call does nothing.

        Where another program keeps the study open, the side files stay until it ends.
        """
        with self._turn:
            try:
                with translated(self.path, writing=True):
                    fold(self._db)
                if self._lock.held:
                    self._check_there()
            finally:
                self._let_go()
                self._lock.release()

    def _let_go(self) -> None:
        self._db.close()
        with suppress(sqlite3.Error):  # on a full disk there was no room to fold with others, nor would readers have any
            settle(real(self.path))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is in the study as a whole, or, after an error, not at all. Inside another one it is a
        part of that.
        """
        with self._turn, translated(self.path, writing=True):
            if self._inside():
                try:
                    yield
                except BaseException:
                    self._failed = True
                    raise
                return
            self._failed = False
            self._check_there()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                if self._failed or not self._inside():
                    raise StorageError(f"'{self.path}': part of a change failed, so none of it was written")
                self._db.execute("COMMIT")
            except BaseException:
                if self._inside():
                    self._db.execute("ROLLBACK")
                raise
            self._check_there()
            self._committed()

    def _check_there(self) -> None:
        """Raises `StorageError` where the file was deleted or another put in its place: what is written would go nowhere."""
        if self._file is not None and place_of(real(self.path)) != self._file:
            raise StorageError(
                f"'{self.path}' was deleted or replaced while it was being written",
                "run the same command again, from the start",
            )

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a transaction, for changes that no method has."""
        with self.transaction():
            yield self._db

    def _inside(self) -> bool:
        return self._db.in_transaction  # SQLite may have ended it by itself, on a full disk for example

    def _many(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(statement, values)


def _refuse_older(home: Path, path: Path) -> None:
    """Raises `StudyError` for a study of an earlier format, before anything in it is touched."""
    if not home.exists():
        return
    check_is_file(home)
    if not home.stat().st_size:
        return
    with closing(open_reading(home)) as db:
        version = version_of(db, path)
    if 0 < version < VERSION:
        raise StudyError(
            f"'{path}' is of study format {version}, which this Torchlurk reads, serves and exports, but does not continue"
            f" (it writes format {VERSION})",
            "choose another --out",
        )
