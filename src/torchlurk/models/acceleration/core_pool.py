"""The cores of a CPU: threads that run torch's operations on one core each, with memory of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch
from jaxtyping import Float32
from torch import Tensor

Piece = TypeVar("Piece")


class CorePool:
    """As many threads as torch uses, while it is open in a `with`; for one core, the caller's own."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __enter__(self) -> CorePool:
        self._count = torch.get_num_threads()
        self._pool = None
        if self._count > 1:
            self._pool = ThreadPoolExecutor(self._count, "torchlurk-core", torch.set_num_threads, (1,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(self._count)

    def each(self, do: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
        """Does something with each piece, several at a time."""
        alone = self._pool is None or len(pieces) == 1
        for _ in map(do, pieces) if alone or self._pool is None else self._pool.map(do, pieces):
            pass

    def memory(self, count: int) -> Float32[Tensor, " number"]:
        """So many numbers, whatever they are, of the thread that asks, until it asks again."""
        held: Tensor | None = getattr(self._own, "memory", None)
        if held is None or len(held) < count:
            held = self._own.memory = torch.empty(count)
        return held[:count]
