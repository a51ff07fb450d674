"""Engines by the names that users give them."""

from __future__ import annotations

from torchlurk.engines.local import LocalEngine
from torchlurk.engines.threads import ThreadsEngine
from torchlurk.errors import OptionError
from torchlurk.jobs import Engine


def engine_of(engine: Engine | str) -> Engine:
    """The engine of that name, an engine itself; raises `OptionError` for a name that there is not."""
    if not isinstance(engine, str):
        return engine
    name, colon, count = engine.partition(":")
    if name == "local" and not colon:
        return LocalEngine()
    if name == "threads" and (not colon or (count.isdecimal() and int(count) > 0)):
        return ThreadsEngine(int(count) if colon else None)
    raise OptionError(f"--engine is '{engine}'", "available: local, threads, threads:N with N from 1")
