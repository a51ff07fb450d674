"""Torchlurk shows what every unit of a trained PyTorch network has learned.

Nothing heavy is imported here: `import torchlurk` takes a few milliseconds, torch comes when it is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlurk.attribution.backward import attribute
    from torchlurk.explanation import Hierarchy, explain
    from torchlurk.study import Study, analyze, open

__all__ = ["Hierarchy", "Study", "analyze", "attribute", "explain", "open"]
__version__ = "1.0.0.dev0"

_HOMES = {
    "Hierarchy": "explanation",
    "Study": "study",
    "analyze": "study",
    "attribute": "attribution.backward",
    "explain": "explanation",
    "open": "study",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'torchlurk' has no attribute {name!r}")
    return getattr(importlib.import_module(f"torchlurk.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
