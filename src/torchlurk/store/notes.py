"""Notes of an analysis as people read them: what is said of many layers in the same words is said once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LAYERS_NAMED = 5

_OF_A_LAYER = re.compile(r"layer (.+?)((?:, \S+)?: .+| is left out: .+)", re.DOTALL)
"""`layer NAME: …`, `layer NAME, METHOD: …` and `layer NAME is left out: …`."""


def said_once(notes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The notes, as (kind, text), in order; what several say of one layer each is where the first of them was."""
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for kind, text in notes:
        found = _OF_A_LAYER.fullmatch(text)
        name, said = found.groups() if found else ("", text)
        alike.setdefault((kind, said.replace(f"layer '{name}'", "the layer")), []).append((name, text))
    return [
        (kind, some[0][1] if len(some) == 1 else f"each of {len(some)} layers ({some_of([name for name, _ in some])}){said}")
        for (kind, said), some in alike.items()
    ]


def begun(notes: Iterable[str]) -> set[str]:
    """The beginnings of notes, up to the reason; the name of a method may hold a colon itself."""
    return {note.partition(": ")[0] for note in notes}


def some_of(layers: Sequence[str]) -> str:
    """The first few, and how many there are besides."""
    rest = f" and {len(layers) - LAYERS_NAMED} more layers" if len(layers) > LAYERS_NAMED else ""
    return ", ".join(layers[:LAYERS_NAMED]) + rest
