"""What units know, as charts: how well they tell each track, from chance to perfect, beside the same network untrained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from matplotlib.axes import Axes

from torchlurk.plotting.charts import Chart, named_rows
from torchlurk.plotting.figures import SMALL, rgb
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.known_tracks import MARK, MEASURES, gain, written
from torchlurk.track_records import Known, Measure, Track, TrackScores, best_strength, strengths

DOTS: dict[str, Any] = {"marker": ".", "linestyle": "", "markersize": 5, "markeredgewidth": 0}
VALUE_AT = 1.03
"""Where a row's value stands, on the axis from chance to perfect."""


def skill(measure: Measure, strength: float) -> float:
    """How far a strength is from chance (0) to perfect (1): an AUC begins at a half."""
    return 2 * strength - 1 if measure == "auc" else strength


def skills(measure: Measure, scores: Float32[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
    """Of several units, from their scores."""
    found = strengths(measure, scores).astype(np.float64)
    return 2 * found - 1 if measure == "auc" else found


def unit_knowledge(knows: Sequence[Known]) -> Chart:
    """A bar a track, those first that the unit tells better than an untrained one by most."""
    ordered = sorted(knows, key=lambda one: -gain(one))

    def draw(axes: Axes) -> None:
        axes.barh(range(len(ordered)), [skill(one.track.measure, one.strength) for one in ordered], color=rgb(LIGHT.accent))
        _frame(axes, [one.track for one in ordered], [one.untrained for one in ordered])
        for row, one in enumerate(ordered):
            _value(axes, row, f"{MEASURES[one.track.measure]} {written(one.strength)}{_way(one)}")

    return Chart("What it knows", draw, named=True, valued=True)


def layer_knowledge(scores: Sequence[TrackScores]) -> Chart:
    """A row a track with a dot a unit, the best one named."""

    def draw(axes: Axes) -> None:
        untrained = [best_strength(one.track.measure, one.untrained) for one in scores]
        for row, one in enumerate(scores):
            found = skills(one.track.measure, one.trained)
            axes.plot(found, np.full(len(found), row), color=rgb(LIGHT.accent), alpha=0.35, **DOTS)
            if np.isfinite(found).any():
                best = int(np.nanargmax(found))
                axes.plot(found[best], row, "o", color=rgb(LIGHT.accent), markersize=4.5, clip_on=False)
                strength = float(strengths(one.track.measure, one.trained)[best])
                _value(axes, row, f"unit {best}: {MEASURES[one.track.measure]} {written(strength)}")
        _frame(axes, [one.track for one in scores], untrained)

    return Chart("What its units know", draw, named=True, valued=True)


def _frame(axes: Axes, tracks: Sequence[Track], untrained: Sequence[float]) -> None:
    for row, (track, strength) in enumerate(zip(tracks, untrained, strict=True)):
        axes.vlines(skill(track.measure, strength), row - 0.42, row + 0.42, color=rgb(LIGHT.ink), linewidth=1.6)
    named_rows(axes, [one.name + (MARK if one.told else "") for one in tracks])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["chance", "", "perfect"])
    told = "; * told by the last three tokens" if any(one.told for one in tracks) else ""
    axes.set_xlabel(f"line: best unit of the layer untrained{told}", fontsize=SMALL)


def _value(axes: Axes, row: int, words: str) -> None:
    axes.text(VALUE_AT, row, words, fontsize=SMALL, va="center", color=rgb(LIGHT.ink), clip_on=False)


def _way(one: Known) -> str:
    if one.track.measure == "auc":
        return ", lower" if one.score < 0.5 else ""
    return ", falls" if one.score < 0 else ""
