"""Torchlurk shows what every unit of a trained PyTorch network has learned.

Nothing heavy is imported here: `import torchlurk` takes a few milliseconds, torch comes when it is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlurk.attribution.backward import attribute
    from torchlurk.explanation import Hierarchy, explain
    from torchlurk.inputs.demo.drawn import drawn
    from torchlurk.study import Study, analyze, merge, open
    from torchlurk.synthesis.from_image import dream, toward
    from torchlurk.synthesis.results import Synthesis
    from torchlurk.synthesis.synthesize import synthesize

__all__ = [
    "Hierarchy",
    "Study",
    "Synthesis",
    "analyze",
    "attribute",
    "drawn",
    "dream",
    "explain",
    "merge",
    "open",
    "synthesize",
    "toward",
]
__version__ = "1.0.0.dev0"

_HOMES = {
    "Hierarchy": "explanation",
    "Study": "study",
    "Synthesis": "synthesis.results",
    "analyze": "study",
    "attribute": "attribution.backward",
    "dream": "synthesis.from_image",
    "drawn": "inputs.demo.drawn",
    "explain": "explanation",
    "merge": "study",
    "open": "study",
    "synthesize": "synthesis.synthesize",
    "toward": "synthesis.from_image",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'torchlurk' has no attribute {name!r}")
    return getattr(importlib.import_module(f"torchlurk.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
