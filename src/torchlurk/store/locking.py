"""One writer at a time: an advisory lock on a file beside the study, which ends with the process, however that ends.

It is not on the study itself, because closing any handle of a file drops the locks that SQLite holds on it.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

from torchlurk.errors import StudyError

SECONDS_OF_A_LOOK = 0.2
"""Whoever looks whether a lock is held, as `is_claimed` does, has it meanwhile: microseconds, which `Lock` waits for."""
BETWEEN_TRIES = 0.01


def is_claimed(place: Path) -> bool:
    """Whether somebody holds the lock; its file, which one who was killed leaves behind, does not say so.

    True also where the file may not be opened, and nothing can be told.
    """
    try:
        handle = os.open(_beside(place), os.O_RDONLY)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        _look(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


class Lock:
    """Held from creation until `release`, or until the process dies; raises `StudyError` where another holds it.

    The file `NAME-lock` is there while the lock is held (and after a crash, where it means nothing). The error calls what
    is locked `named`, which is `place` itself if not given.
    """

    def __init__(self, place: Path, named: Path | None = None) -> None:
        self._path = _beside(place)
        self._handle: int | None = None
        give_up = time.monotonic() + SECONDS_OF_A_LOOK
        while self._handle is None:
            self._handle = self._take(named or place, give_up)
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget(reference))

    def _take(self, named: Path, give_up: float) -> int | None:
        """The handle of the locked file; None where its owner removed it meanwhile, or where it is too early to give up."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except OSError:
            os.close(handle)
            if time.monotonic() < give_up:
                time.sleep(BETWEEN_TRIES)
                return None
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

    def _look(handle: int) -> None:
        _lock(handle)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _look(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two may look at once
        fcntl.flock(handle, fcntl.LOCK_UN)  # a child that is forked meanwhile has the handle too
