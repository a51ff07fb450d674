"""Models with compiled parts, run as they were written: what is compiled neither shows its operations nor runs hooks."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from threading import Lock
from types import TracebackType

import torch


class _AsWritten:
    """The compiler's stance is the process's: the first thread that enters sets it, the last that leaves puts it back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads = 0
        self._stance = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._stance.enter_context(torch.compiler.set_stance("force_eager"))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._stance.close()


_AS_WRITTEN = _AsWritten()


def as_written() -> AbstractContextManager[None]:
    """Within it, what `torch.compile` has made runs as the Python code that it was made from.

    Where torch's compiler was never imported nothing is compiled; it is not imported for this, for that takes a second.
    """
    return _AS_WRITTEN if "torch._dynamo" in sys.modules else nullcontext()
