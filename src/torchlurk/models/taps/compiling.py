"""Models with compiled or recomputed parts, run as they were written.

What is compiled neither shows its operations nor runs hooks. What is checkpointed, to save memory in training, runs once more
on the way back, where nothing of ours is expected; and with `use_reentrant` nothing of it can be gone back through in part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from types import TracebackType
from typing import Any

import torch
from torch.utils import checkpoint


class _AsWritten:
    """What is changed is the process's: the first thread that enters does it, the last that leaves puts it back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads = 0
        self._changed = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                # Where torch's compiler was never imported nothing is compiled; to import it takes a second.
                if "torch._dynamo" in sys.modules:
                    self._changed.enter_context(torch.compiler.set_stance("force_eager"))
                for name, plain in _PLAIN.items():
                    if hasattr(checkpoint, name):
                        self._changed.callback(setattr, checkpoint, name, getattr(checkpoint, name))
                        setattr(checkpoint, name, plain)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._changed.close()


class _Straight:
    """What `torch.utils.checkpoint` calls with `use_reentrant`, without recomputation."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """What the function gives."""
        return function(*args)


def _beside(*args: Any, **kwargs: Any) -> Iterator[None]:
    """What it runs around the function otherwise: nothing."""
    yield


_PLAIN = {"CheckpointFunction": _Straight, "_checkpoint_without_reentrant_generator": _beside}
"""What `torch.utils.checkpoint` looks up whenever it is called."""

_AS_WRITTEN = _AsWritten()


def as_written() -> AbstractContextManager[None]:
    """Within it, what `torch.compile` has made runs as the Python code that it was made from, and nothing is recomputed."""
    return _AS_WRITTEN
