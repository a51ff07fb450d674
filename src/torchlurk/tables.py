"""Tables of things by name, to which a program may add: `METHODS["mine"] = ...`.

What the package has itself is loaded when it is first asked for, so that names can be listed and checked without torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_:.\-]{1,64}")
"""What a method or preset may be called, as its name is a part of addresses."""


class Table(MutableMapping[str, Any]):
    """Each entry is the thing itself, or says where it is: `package.module:name`."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)
        self.built_in = frozenset(entries)

    def __getitem__(self, name: str) -> Any:
        entry = self._entries[name]
        return loaded(entry) if isinstance(entry, str) else entry

    def __setitem__(self, name: str, entry: Any) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def loaded(place: str) -> Any:
    """What is at `package.module:name`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


METHODS = Table(
    {
        "gradient": "torchlurk.attribution.methods:GRADIENT",
        "input_x_gradient": "torchlurk.attribution.methods:INPUT_X_GRADIENT",
        "deconv": "torchlurk.attribution.methods:DECONV",
        "guided": "torchlurk.attribution.methods:GUIDED",
        "guided_neg": "torchlurk.attribution.methods:GUIDED_NEG",
        "lrp": "torchlurk.attribution.relevance:relevance",
        "lrp_plus": "torchlurk.attribution.relevance:relevance_plus",
    }
)
"""Attribution methods but for Captum's, which are named `captum:` and the class (`torchlurk.attribution.methods.Method`)."""

PRESETS = Table(
    {
        "lucid": "torchlurk.synthesis.presets:LUCID",
        "maco": "torchlurk.synthesis.presets:MACO",
        **{f"yosinski-{number}": f"torchlurk.synthesis.presets:YOSINSKI_{number}" for number in range(1, 5)},
    }
)
"""Presets of synthesis (`torchlurk.synthesis.presets.Preset`)."""

STREAMS: dict[Any, Any] = {}
"""How what is read of modules and functions beside their output is read: by type of module, also of its subclasses, or by
function of torch, however it is spelled (`torchlurk.models.taps.stream_reader`, which has those of recurrent modules).
"""


class StreamNames(Collection[str]):
    """The streams of recurrent modules by their letters, and those in `STREAMS`."""

    def __iter__(self) -> Iterator[str]:
        added = (name for way in STREAMS.values() if isinstance(way, Mapping) for name in way)
        return iter(dict.fromkeys([*"cifgorzn", *added]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))
