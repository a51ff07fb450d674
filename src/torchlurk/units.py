"""Addresses: a unit is one channel of one layer, written `layer:channel`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlurk.errors import UnitError, nearest

WRITTEN = "write layer:channel, for example features.3:7"


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One channel of one layer."""

    layer: str
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}"

    @classmethod
    def parse(cls, address: object) -> Unit:
        """The unit written `layer:channel`; raises `UnitError` where it is no text of that form."""
        if not isinstance(address, str):
            raise UnitError(f"{' '.join(repr(address).split())} is not a unit", WRITTEN)
        layer, colon, channel = address.rpartition(":")
        shown = address.encode("utf-8", "backslashreplace").decode()  # halves of surrogates stand in no layer's name
        if not (colon and layer and shown == address and NUMBER.fullmatch(channel)):
            raise UnitError(f"'{shown}' is not a unit", WRITTEN)
        return cls(layer, int(channel))

    @classmethod
    def of(cls, named: object) -> Unit:
        """The unit that a program names: itself, what has it as its `address`, or `layer:channel`; raises `UnitError`."""
        return named if isinstance(named, cls) else cls.parse(getattr(named, "address", named))


def matching(globs: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that match any of the globs, in the order of `names`; raises `UnitError` for a glob that matches none."""
    wanted: set[str] = set()
    for glob in globs:
        found = fnmatch.filter(names, glob)
        if not found:
            raise UnitError(
                f"no layer matches '{glob}'{nearest(glob, names)}",
                "torchlurk layers MODEL lists all layers; put the glob in quotes",
            )
        wanted.update(found)
    return [name for name in names if name in wanted]


def aliased(name: str, names: Sequence[str]) -> str:
    """The layer that a name means: itself, or, of a recurrent module, its last layer's forward direction (`rnn` is `rnn.l1`),
    and of one with a single layer and direction that one's streams (`rnn.c` is `rnn.l0.c`).
    """
    if name in names:
        return name
    layers = [one for one in names if LAST.fullmatch(one) and one.rpartition(".")[0] == name]
    if layers:
        return max(layers, key=lambda one: int(one.rpartition(".l")[2]))
    module, _, stream = name.rpartition(".")
    parts = [one for one in names if one.startswith(f"{module}.l") and PART.fullmatch(one.removeprefix(f"{module}."))]
    only = f"{module}.l0.{stream}"
    return only if only in names and parts == [f"{module}.l0"] else name


NUMBER = re.compile("[0-9]{1,18}")
"""A channel: what SQLite and its readers take for a whole number."""


def whole_number(text: str) -> int | None:
    """The number that up to 18 digits from 0 to 9 write; None for any other text, such as ² or thousands of digits, which
    `str.isdigit` takes for numbers and `int` does not.
    """
    return int(text) if NUMBER.fullmatch(text) else None


LAST = re.compile(r".*\.l\d+")
PART = re.compile(r"l\d+(_reverse)?")
