"""What is compiled for the CPU, by Numba, where that is installed and may compile."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType


@functools.cache
def module(name: str) -> ModuleType | None:
    """A module of functions that are compiled; None where nothing compiles."""
    try:
        from numba import config
    except ImportError:
        return None
    return None if config.DISABLE_JIT else importlib.import_module(name)


def advice(device: str) -> str | None:
    """What to install where work on this device would be quicker with Numba, and it is not there."""
    if device != "cpu" or importlib.util.find_spec("numba"):
        return None
    return "note: on a CPU the scan is faster with Numba, with the same results   (pip install 'torchlurk[fast]')"
