"""In what two runs of a stage differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torchlurk.run_records import Run


def differences(left: Run, right: Run, words: tuple[str, str]) -> list[str]:
    """Each thing that decides results and is not the same, with what it is in both, after the words for them.

    Of data of one name with two limits the limits are named alone: they make the data another already.
    """
    found = []
    if left.model_fingerprint != right.model_fingerprint:
        found.append(_named("the model's weights", left.model, right.model, words))
    limited = left.data == right.data and left.options.get("limit") != right.options.get("limit")
    if left.data_fingerprint != right.data_fingerprint and not limited:
        found.append(_named("the data, or how it is cut and read", left.data, right.data, words))
    return found + differing_options(left.options, right.options, words)


def _named(what: str, left: str, right: str, words: tuple[str, str]) -> str:
    """What differs, with its name in both runs, or with its name once, which then says nothing."""
    return f"{what} ({left} is not the same in both)" if left == right else f"{what} ({words[0]} {left}, {words[1]} {right})"


def differing_options(left: Mapping[str, Any], right: Mapping[str, Any], words: tuple[str, str]) -> list[str]:
    """The options of `right` that are others in `left`."""
    return [
        f"{_called(name)} ({words[0]} {_shown(left.get(name, ASSUMED.get(name)))}, {words[1]} {_shown(value)})"
        for name, value in right.items()
        if left.get(name, ASSUMED.get(name)) != value
    ]


ASSUMED = {"decoder": "pillow"}
"""What a run was made with that says nothing of it."""


NOT_FLAGS = {"preprocessing": "the preprocessing", "constants": "the constants", "statistics": "the added statistics"}


def _called(name: str) -> str:
    return NOT_FLAGS.get(name, f"--{name.replace('_', '-')}")


def _shown(value: Any) -> str:
    return json.dumps(value) if value is not None else "none"
