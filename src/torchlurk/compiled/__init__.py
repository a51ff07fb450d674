"""What is compiled for the CPU, by Numba, where that is installed and may compile."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType


@functools.cache
def module(name: str) -> ModuleType | None:
    """A module of functions that are compiled; None where nothing compiles."""
    try:
        from numba import config
    except ImportError:
        return None
    return None if config.DISABLE_JIT else importlib.import_module(name)
