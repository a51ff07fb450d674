"""What to look at in a finished study, in a few lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from torchlurk.input_words import KINDS
from torchlurk.rendering.labels import counted
from torchlurk.store.queries import telling_selectivity
from torchlurk.study import Study
from torchlurk.views import LayerView

SKIPS_SHOWN = 5
"""How many of the skipped files are named."""


def summary(path: Path) -> str:
    """What the study holds, what was skipped, and commands to look at it."""
    with Study(path) as study:
        units = sum(len(layer) for layer in study.layers)
        counts = {"layer": len(study.layers), "unit": units, "example": study.reader.example_count()}
        lines = [f"{path}: {', '.join(counted(count, noun) for noun, count in counts.items())}"]
        lines += _skipped(study)
        lines += [f"note: {note}" for note in study.notes]
        chosen = "most selective" if len(study.classes) > 1 else "strongest"
        if named := most_selective(study):
            lines += ["", f"Look at a unit (each the {chosen} of its layer):"]
            lines += [f"  torchlurk show {path} {unit} --out unit.png" for unit in named]
        lines += ["", "Look at all of them:", f"  torchlurk serve {path}"]
        words = KINDS[study.reader.inputs().kind]
        if "attribute" not in study.runs:
            lines += ["", f"The same command with --stages attribute adds what in {words.attributed} excited each unit."]
    return "\n".join(lines)


def most_selective(study: Study, most: int = 3) -> list[str]:
    """The most selective unit of each of the last layers that have a map, deepest last.

    Gates are left out: they say when a unit reads and forgets, not what it is. Layers that are never negative come first:
    there zero means nothing seen, and selectivity is what its paper says.
    """
    units = [layer for layer in study.layers if not layer.record.gate]
    mapped = [layer for layer in units if layer.record.shape] or units or list(study.layers)
    rectified = [layer for layer in mapped if not (layer.statistics["min"] < 0).any()]
    found: list[str] = []
    for layer in reversed(rectified or mapped):
        channel = _most_selective(study, layer) if len(found) < most else None
        found += [f"{layer.name}:{channel}"] if channel is not None else []
    return found[::-1]


def _most_selective(study: Study, layer: LayerView) -> int | None:
    """By selectivity, or by maximum where there are no classes; None where no unit is excited by more than a few examples."""
    value = telling_selectivity(study.reader, layer.name) if len(study.classes) > 1 else layer.statistics["max"]
    return int(np.nanargmax(value)) if np.isfinite(value).any() else None


def _skipped(study: Study) -> list[str]:
    skipped = study.skipped
    if not skipped:
        return []
    rest = len(skipped) - SKIPS_SHOWN
    lines = [f"skipped {len(skipped)}:"] + [f"  {skip.path}: {skip.reason}" for skip in skipped[:SKIPS_SHOWN]]
    return lines + ([f"  and {rest} more (torchlurk check {study.path} lists all)"] if rest > 0 else [])
