"""A study as a figure: what becomes of its units over depth, a row a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from torchlurk.plotting.charts import plain
from torchlurk.plotting.figures import HEADER, LARGE, LINE, MARGIN, MEDIUM, SMALL, TITLE, PictureFigure, axes_at, rgb, write
from torchlurk.plotting.knowledge import skill, skills
from torchlurk.plotting.layers import LayerFacts
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT, diverging, ink_on
from torchlurk.rendering.known_tracks import MARK, MEASURES, written
from torchlurk.rendering.text import shortened
from torchlurk.track_records import Track, best_strength, strengths

# Inches.
NAMES = 2.1
PANEL = 2.5
CELL = 0.5
APART = 0.45
ROW, LOWEST_ROW = 0.22, 0.13
TALL = 16.0
"""What the rows take at most, as far as they stay at least `LOWEST_ROW` high."""
FOR_TRACKS = 1.15
"""Inches above the rows for the names of tracks."""
BELOW = 0.55
NAME_COLUMNS = 26
WRITTEN_FROM = 0.16
"""Inches that a row is high where numbers are written into it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the figure: how wide it is, and what draws it from the layers."""

    title: str
    width: float
    draw: Callable[[Axes, Sequence[LayerFacts]], None]


def plot_study(title: str, words: str, layers: Sequence[LayerFacts]) -> PictureFigure:
    """For each layer, the first at the top: how selective its units are, how often they are active, how many are dead, and of
    texts what the best of them know.
    """
    panels = _panels(layers)
    row = min(ROW, max(LOWEST_ROW, TALL / max(1, len(layers))))
    height, above = row * max(1, len(layers)), MARGIN + HEADER + (FOR_TRACKS if any(one.scores for one in layers) else TITLE)
    across = NAMES + sum(panel.width for panel in panels) + APART * (len(panels) - 1)
    figure = PictureFigure(figsize=(across + 2 * MARGIN, above + height + BELOW + MARGIN))
    write(figure, MARGIN, MARGIN, title, LARGE, family="monospace")
    write(figure, MARGIN, MARGIN + LINE * 1.1, words, MEDIUM, colour=LIGHT.muted)
    told = "dot: median unit of a layer     dark: middle half of its units     light: middle 80 %"
    write(figure, MARGIN, MARGIN + LINE * 2, told, SMALL, colour=LIGHT.muted)
    left = MARGIN + NAMES
    for number, panel in enumerate(panels):
        axes = axes_at(figure, left, above, panel.width, height)
        panel.draw(axes, layers)
        plain(axes, panel.title)
        axes.set_ylim(max(1, len(layers)) - 0.5, -0.5)
        names = [shortened(one.layer.name, NAME_COLUMNS) for one in layers] if number == 0 else [""] * len(layers)
        axes.set_yticks(range(len(layers)), names, fontsize=SMALL, family="monospace", parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        left += panel.width + APART
    return figure


def _panels(layers: Sequence[LayerFacts]) -> list[Panel]:
    found = []
    if any(np.isfinite(one.alive("selectivity")).any() for one in layers):
        found.append(Panel("Selectivity", PANEL, _selectivity))
    found += [Panel("Active positions", PANEL, _active), Panel("Dead units", PANEL * 0.7, _dead)]
    if any(one.scores for one in layers):
        tracks = _tracks(layers)
        found.append(Panel("What the best unit knows", max(PANEL, CELL * len(tracks)), partial(_knowledge, tracks=tracks)))
    return found


def _selectivity(axes: Axes, layers: Sequence[LayerFacts]) -> None:
    _spreads(axes, [one.alive("selectivity") for one in layers])
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("from 0 to 1: how far one class stands out", fontsize=SMALL)


def _active(axes: Axes, layers: Sequence[LayerFacts]) -> None:
    _spreads(axes, [one.alive("fraction_active") for one in layers])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("share of positions above zero", fontsize=SMALL)


def _dead(axes: Axes, layers: Sequence[LayerFacts]) -> None:
    counts = [(int(one.units["dead"].sum()), len(one.units)) for one in layers]
    shares = [dead / max(1, units) for dead, units in counts]
    axes.barh(range(len(layers)), shares, height=0.6, color=rgb(LIGHT.opposite))
    axes.set_xlim(0, max(0.05, 1.6 * max(shares, default=0.0)))
    if not any(shares):
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, fontsize=MEDIUM, ha="center", color=rgb(LIGHT.muted))
    for row, ((dead, units), share) in enumerate(zip(counts, shares, strict=True)):
        if dead:
            place: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{dead:,} of {units:,}", (share, row), fontsize=SMALL, **place)
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: labels.percent(share)))
    axes.set_xlabel("share of the layer's units", fontsize=SMALL)


def _spreads(axes: Axes, values: Sequence[np.ndarray]) -> None:
    """A row each: the middle 80 %, the middle half, and the median of those that are finite."""
    axes.grid(axis="x", color=rgb(LIGHT.line), linewidth=0.6)
    axes.set_axisbelow(True)
    for row, found in enumerate(values):
        known = found[np.isfinite(found)]
        if len(known):
            tenth, quarter, middle, three_quarters, nine_tenths = np.quantile(known, [0.1, 0.25, 0.5, 0.75, 0.9])
            light, dark = rgb(diverging(0.25, LIGHT)), rgb(diverging(0.65, LIGHT))
            axes.barh(row, nine_tenths - tenth, left=tenth, height=0.34, color=light)
            axes.barh(row, three_quarters - quarter, left=quarter, height=0.62, color=dark)
            axes.plot(middle, row, "o", color=rgb(LIGHT.ink), markersize=3, clip_on=False)


def _tracks(layers: Sequence[LayerFacts]) -> list[Track]:
    return list({score.track.name: score.track for one in layers for score in one.scores}.values())


def _knowledge(axes: Axes, layers: Sequence[LayerFacts], tracks: Sequence[Track]) -> None:
    """How well the best unit of each layer tells each track, the darker the more it is better than the best one untrained."""
    high = axes.bbox.height / axes.figure.dpi / max(1, len(layers))
    for row, one in enumerate(layers):
        for score in one.scores:
            column = [track.name for track in tracks].index(score.track.name)
            found, measure = skills(score.track.measure, score.trained), score.track.measure
            if not np.isfinite(found).any():
                continue
            untrained = best_strength(measure, score.untrained)
            gain = float(np.nanmax(found)) - (0.0 if math.isnan(untrained) else skill(measure, untrained))
            colour = diverging(max(0.0, gain), LIGHT)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=rgb(colour), edgecolor="white", linewidth=1))
            if high >= WRITTEN_FROM:
                words = written(float(np.nanmax(strengths(measure, score.trained))))
                axes.text(column, row, words, fontsize=SMALL - 0.5, ha="center", va="center", color=rgb(ink_on(colour)))
    axes.set_xlim(-0.5, len(tracks) - 0.5)
    told = "\n* told by the last three tokens" if any(one.told for one in tracks) else ""
    names = [f"{one.name}{MARK if one.told else ''} ({MEASURES[one.measure]})" for one in tracks]
    axes.set_xticks(range(len(tracks)), names, fontsize=SMALL, rotation=40, ha="left", rotation_mode="anchor", parse_math=False)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(f"darker: more above the best one untrained{told}", fontsize=SMALL)
