"""Functions compiled when first called, and kept on disk.

They are marked `no_type_check`: their arguments are addresses and registers, for which Python has no types.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any], inlined: bool = False) -> Any:
    """The function, compiled; it runs without the interpreter's lock."""
    dispatcher = njit(nogil=True, error_model="numpy", forceinline=inlined)(function)
    with contextlib.suppress(RuntimeError):  # nowhere to keep compiled code: it is compiled anew each time
        dispatcher.enable_caching()
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """Compiled into its callers, where handing the arguments over costs more than the work does."""
    return compiled(function, inlined=True)
