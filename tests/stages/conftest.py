"""Stages that are interrupted where they write."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from torchlurk.store.writing import Writer

Interrupted = Callable[[str, int], AbstractContextManager[None]]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """Within it, a method of the writer works so many times and is then interrupted, as by Ctrl-C, which must come."""

    @contextmanager
    def after(method: str, times: int) -> Iterator[None]:
        usual, calls = getattr(Writer, method), iter(range(times))

        def failing(self, *given):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            usual(self, *given)

        with monkeypatch.context() as patched:
            patched.setattr(Writer, method, failing)
            with pytest.raises(KeyboardInterrupt):
                yield

    return after
