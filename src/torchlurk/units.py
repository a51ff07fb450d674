"""Addresses: a unit is one channel of one layer, written `layer:channel`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlurk.errors import UnitError, nearest


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One channel of one layer."""

    layer: str
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}"

    @classmethod
    def parse(cls, address: str) -> Unit:
        """The unit written `layer:channel`; raises `UnitError` where the text is not of that form."""
        layer, colon, channel = address.rpartition(":")
        if not (colon and layer and channel.isascii() and channel.isdigit()):
            raise UnitError(f"'{address}' is not a unit", "write layer:channel, for example features.3:7")
        return cls(layer, int(channel))


def matching(globs: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that match any of the globs, in the order of `names`; raises `UnitError` for a glob that matches none."""
    wanted: set[str] = set()
    for glob in globs:
        found = fnmatch.filter(names, glob)
        if not found:
            raise UnitError(
                f"no layer matches '{glob}'{nearest(glob, names)}", "torchlurk layers MODEL lists all; quote the glob"
            )
        wanted.update(found)
    return [name for name in names if name in wanted]
