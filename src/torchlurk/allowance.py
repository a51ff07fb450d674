"""How much may be unpacked for one answer: a small file can hold pictures and texts that take all memory, or an hour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torchlurk.errors import StudyError

PIXELS, BYTES = 2**28, 2**27
"""Of all pictures that are decoded for one answer, and of all texts and series that are unpacked: some seconds."""

DRAWN, UNPACKED = 3 * 2**24, 2**26
"""Pixels of the pictures that are on one drawing, and bytes of the texts and series: they are in memory together."""

NUMBERS = 2**21
"""Of one document: what has more is read in Python."""

_left: ContextVar[dict[str, int] | None] = ContextVar("_left", default=None)


@contextmanager
def allowing(pixels: int = PIXELS, bytes: int = BYTES) -> Iterator[None]:
    """Within it, or in a function that it decorates, no more than that may be unpacked."""
    outer = _left.set({"pixels": pixels, "bytes": bytes})
    try:
        yield
    finally:
        _left.reset(outer)


def spend(amount: int, what: str) -> None:
    """Call it before so many `pixels` or `bytes` are unpacked; raises `StudyError` where they are more than is allowed."""
    left = _left.get()
    if left is None:
        return
    if left[what] < amount:
        raise StudyError(
            f"the study unpacks to more {what} than one answer may take", "torchlurk check STUDY lists what is damaged"
        )
    left[what] -= amount
