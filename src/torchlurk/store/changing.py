"""One small change to a study by somebody who does not hold its claim: a person's note, also while an analysis runs.

Two locks decide who writes. The claim (`locking.Lock`) is the analysis', for its whole run; SQLite's own lock is anybody's, for
one transaction. docs/decisions/who-writes.md has the reasons.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from torchlurk.errors import StudyError
from torchlurk.files import real
from torchlurk.store.connections import check_is_file, not_a_study, open_changing, translated, version_of
from torchlurk.store.folding import enter_wal, settle
from torchlurk.store.schema import VERSION


@contextmanager
def small_change(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside a transaction, which is written as a whole at the end, or, after an error, not at all.

    Afterwards the study is one plain file again, unless an analysis is writing it. Raises `StudyError` where the file is no
    study, or others have it for too long, and `StorageError` where it cannot be written.
    """
    check_is_file(path)
    with translated(path, writing=True):
        home = real(path)
        with closing(open_changing(home)) as db:
            version = version_of(db, path)
        if version == 0:
            raise not_a_study(path)
        if version < VERSION:
            raise StudyError(
                f"'{path}' is of study format {version}, which this Torchlurk reads, serves and exports, but does not write"
                f" (it writes format {VERSION})",
                "analyze again, into another file",
            )
        try:
            with closing(open_changing(home)) as db, _transaction(db):
                yield db
        finally:
            with suppress(sqlite3.Error):  # what is written is written; the next writer makes one file of it
                settle(home)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    enter_wal(db)  # a rollback journal of a writer that was killed would be for readers to roll back, who change nothing
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
