"""Ctrl-C ends a command even where something swallows it."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_AFTER = 1.0
"""Seconds after which an interruption that nobody is dealing with is raised once more."""


@contextmanager
def insisting() -> Iterator[None]:
    """Within it an interruption that was swallowed is raised again: by a bare `except` of a model, or by a callback, whose
    errors Python ignores. One that is on its way out is left alone: what it ends is saved meanwhile.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or threading.current_thread() is not _main():
        yield
        return
    ended, begun = threading.Event(), threading.Event()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not begun.is_set():
            begun.set()
            threading.Thread(target=_insist, args=(ended,), name="torchlurk-interrupt", daemon=True).start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        ended.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _insist(ended: threading.Event) -> None:
    while not ended.wait(AGAIN_AFTER):
        if not _on_its_way():
            # Not in this thread: a call that waits in the main one has to be woken.
            if sys.platform == "win32":
                _thread.interrupt_main()
            else:
                signal.pthread_kill(_main().ident or 0, signal.SIGINT)


def _on_its_way() -> bool:
    """Whether the main thread is dealing with an interruption: it, or an error that came of it, is being handled."""
    handled = sys._current_exceptions().get(_main().ident or 0)
    error = handled[1] if isinstance(handled, tuple) else handled
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _main() -> threading.Thread:
    return threading.main_thread()
