"""In what two runs of a stage differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torchlurk.records import Run


def differences(left: Run, right: Run, words: tuple[str, str]) -> list[str]:
    """Each thing that decides results and is not the same, with what it is in both, after the words for them."""
    found = []
    if left.model_fingerprint != right.model_fingerprint:
        found.append(f"the model's weights ({words[0]} {left.model}, {words[1]} {right.model})")
    if left.data_fingerprint != right.data_fingerprint:
        found.append(f"the data ({words[0]} {left.data}, {words[1]} {right.data})")
    return found + differing_options(left.options, right.options, words)


def differing_options(left: Mapping[str, Any], right: Mapping[str, Any], words: tuple[str, str]) -> list[str]:
    """The options of `right` that are others in `left`."""
    return [
        f"--{name.replace('_', '-')} ({words[0]} {_shown(left.get(name))}, {words[1]} {_shown(value)})"
        for name, value in right.items()
        if left.get(name) != value
    ]


def _shown(value: Any) -> str:
    return json.dumps(value) if value is not None else "none"
