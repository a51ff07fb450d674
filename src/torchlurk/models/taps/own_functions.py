"""Calls of `torch.autograd.Function`s, which a model may bring along: no function mode sees them, only what they compute."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.autograd.function import _SingleLevelFunction

Around = Callable[..., Any]
"""`around(usual, *args)` makes the call with `usual(*args)`, and returns what that gives."""


class _Watching(threading.local):
    def __init__(self) -> None:
        self.every: list[Around] = []


_watching = _Watching()
_lock, _open = threading.Lock(), [0]


def within_function() -> bool:
    """Whether the forward of such a function is running: what it computes is in no graph, but for what it returns.

    Torch switches both ways of differentiating off there. In inference mode, which does so too, it is never said.
    """
    return not (torch._C._is_fwd_grad_enabled() or torch.is_inference_mode_enabled())


@contextmanager
def around_functions(around: Around) -> Iterator[None]:
    """Within it each call of such a function in this thread goes through `around`, the last one opened first.

    It takes the place of what `Function.apply` goes on to, which a bound `apply` that was kept somewhere comes by too.
    """
    with _lock:
        _open[0] += 1
        setattr(_SingleLevelFunction, "apply", classmethod(_apply))  # noqa: B010
    _watching.every.append(around)
    try:
        yield
    finally:
        _watching.every.remove(around)
        with _lock:
            _open[0] -= 1
            if not _open[0]:
                delattr(_SingleLevelFunction, "apply")


def _apply(cls: type[_SingleLevelFunction], *args: Any, **kwargs: Any) -> Any:
    call = getattr(super(_SingleLevelFunction, cls), "apply")  # noqa: B009
    for around in _watching.every:
        call = partial(around, call)
    return call(*args, **kwargs)
