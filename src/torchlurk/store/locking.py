"""One writer at a time: an advisory lock on a file beside the study, which ends with the process, however that ends.

It is not on the study itself, because closing any handle of a file drops the locks that SQLite holds on it.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from torchlurk.errors import StudyError


def is_claimed(place: Path) -> bool:
    """Whether the file of a lock is there: where it is not, nobody holds it; where it is, somebody does, or died with it.

    To try the lock itself would take it for a moment, in which an analysis that begins would be refused.
    """
    return _beside(place).exists()


class Lock:
    """Held from creation until `release`, or until the process dies; raises `StudyError` where another holds it.

    The file `NAME-lock` is there while the lock is held (and after a crash, where it means nothing). The error calls what
    is locked `named`, which is `place` itself if not given.
    """

    def __init__(self, place: Path, named: Path | None = None) -> None:
        self._path = _beside(place)
        self._handle: int | None = None
        while self._handle is None:
            self._handle = self._take(named or place)
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget(reference))

    def _take(self, named: Path) -> int | None:
        """The handle of the locked file; None where its owner removed it meanwhile."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except OSError:
            os.close(handle)
            raise StudyError(
                f"'{named}' is being written by another process", "wait until it has finished, or choose another file"
            ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(self._path)):
                return handle
        os.close(handle)
        return None

    @property
    def held(self) -> bool:
        """Whether it is not released yet."""
        return self._handle is not None

    def release(self) -> None:
        """Ends the lock and removes its file; a second call does nothing."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with suppress(OSError):  # a file that stays behind does no harm
            self._path.unlink()
        os.close(handle)

    def abandon(self) -> None:
        """Closes the handle that a forked child has inherited, so that the lock ends with the parent."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _beside(place: Path) -> Path:
    return place.with_name(place.name + "-lock")


def _forget(reference: weakref.ref[Lock]) -> None:
    lock = reference()
    if lock is not None:
        lock.abandon()


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
