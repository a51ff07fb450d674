"""Intermediate results that many documents need, kept for as long as what they were made from is in the study."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

Result = TypeVar("Result")

MOST_BYTES = 256 << 20
"""Of all arrays that are kept: those of a few wide layers, or of very many narrow ones."""
MOST = 2048
"""Results that are kept, however small."""


@runtime_checkable
class Remembered(Protocol):
    """`key` names what `make` makes: a word, or a word and the layer that it is of."""

    def __call__(self, key: tuple[str, ...], make: Callable[[], Result]) -> Result: ...


class Memory:
    """Results by key, each with the stamp of what it was made from; the one not used for longest goes first.

    Threads take turns. A stamp must be read in the same state of the study as what the result is made from.
    """

    def __init__(self) -> None:
        self._results: dict[Hashable, tuple[Hashable, Any]] = {}
        self._bytes = 0
        self._turn = threading.RLock()

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[], Result]) -> Result:
        """The result under this key if it has this stamp, made anew otherwise."""
        with self._turn:
            known = self._results.pop(key, None)
            if known is not None and known[0] == stamp:
                self._results[key] = known
                kept: Result = known[1]
                return kept
            if known is not None:
                self._bytes -= _bytes(known[1])
            made = make()
            self._results[key] = (stamp, made)
            self._bytes += _bytes(made)
            while len(self._results) > 1 and (self._bytes > MOST_BYTES or len(self._results) > MOST):
                self._bytes -= _bytes(self._results.pop(next(iter(self._results)))[1])
            return made


def _bytes(result: Any) -> int:
    if isinstance(result, np.ndarray):
        return result.nbytes
    return sum(map(_bytes, result)) if isinstance(result, tuple) else 0
