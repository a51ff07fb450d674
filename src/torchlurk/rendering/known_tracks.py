"""What a unit knows, in lines of a terminal: how well it tells each track of a text, beside the same network untrained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torchlurk.track_records import Known

CLEARLY = 0.05
"""A unit tells a track where it is better at it by at least so much than every unit of its layer untrained; with less than that
it goes neither way.
"""

TITLE = "What it knows (best unit of the layer untrained)"
MARK = "*"
TOLD = "  * told by the last three tokens, so measured at every step"
MEASURES = {"auc": "AUC", "r": "|r|"}


def known_lines(knows: Sequence[Known]) -> list[str]:
    """A line a track, those first that the unit tells better than an untrained one by most."""
    if not knows:
        return []
    ordered = sorted(knows, key=lambda one: -gain(one))
    names = max(len(one.track.name) for one in knows) + 1
    lines = [_line(one, names) for one in ordered]
    return [TITLE, *lines, *([TOLD] if any(one.track.told for one in knows) else [])]


def gain(one: Known) -> float:
    """By how much the unit is better than the best one untrained; below everything where it has no score."""
    found = one.strength - (0.0 if math.isnan(one.untrained) else one.untrained)
    return -math.inf if math.isnan(found) else found


def _line(one: Known, names: int) -> str:
    name = one.track.name + (MARK if one.track.told else "")
    score = f"{MEASURES[one.track.measure]} {written(one.strength)} ({written(one.untrained)})"
    return f"  {name:<{names}}  {score}  {_meaning(one)}".rstrip()


def written(value: float) -> str:
    """Two decimals."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _meaning(one: Known) -> str:
    """What the track is, and where the unit is clearly the other way round; of a track without words the latter alone."""
    words = one.track.words if one.track.words != one.track.name else ""
    if one.track.measure == "auc":
        lower = one.score < 0.5 - CLEARLY
        return (f"lower: {words}" if words else "lower where it holds") if lower else words
    falls = one.score < -CLEARLY
    return (f"falls with: {words}" if words else "falls with it") if falls else words
