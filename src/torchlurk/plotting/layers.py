"""A layer as a figure: the units that stand out, by what they see, and how all of its units are spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from PIL import Image

from torchlurk.frames import Table
from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.plotting.charts import Chart, bars, charts_height, draw_charts, few_bins, histogram
from torchlurk.plotting.figures import (
    ACROSS,
    GAP,
    HEADER,
    LARGE,
    LINE,
    MARGIN,
    MEDIUM,
    SMALL,
    TILE,
    TILE_COLUMNS,
    TILES,
    TITLE,
    PictureFigure,
    axes_at,
    rgb,
    write,
)
from torchlurk.plotting.knowledge import DOTS, layer_knowledge, skill, skills
from torchlurk.plotting.pictures import show_picture
from torchlurk.plotting.steps import SERIES_ACROSS, SERIES_HIGH, TEXT_LINE, draw_steps
from torchlurk.records import Exemplar, Layer
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.known_tracks import MEASURES, written
from torchlurk.rendering.marks import scale_of
from torchlurk.rendering.series_lines import ranges_of
from torchlurk.rendering.shown import shown_of
from torchlurk.rendering.steps import separator
from torchlurk.rendering.text import Steps, shortened
from torchlurk.track_records import TrackScores, best_strength, strength

MOST_CLASSES = 16
DECADE = 10
CAPTION = 0.5
"""Inches below a tile: two lines and what is between rows."""

InSteps = Callable[[int], tuple[Exemplar, Steps]]
"""By channel, a unit's strongest example, and the text or series with its values there."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What a study has of a layer's units: a row a unit, how well they tell the tracks of a text, and their selectivity, NaN
    where it means nothing.
    """

    layer: Layer
    units: Table
    scores: Sequence[TrackScores] = ()
    telling: Float64[np.ndarray, " unit"] | None = None

    def alive(self, name: str) -> Float64[np.ndarray, " unit"]:
        """A column of numbers, NaN for dead units; all NaN where there is none such."""
        if name not in self.units.columns:
            return np.full(len(self.units), np.nan)
        return np.where(self.units["dead"], np.nan, self.units[name].astype(np.float64))


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The units of a layer that stand out by something, most first, with a word on each."""

    title: str
    channels: Sequence[int]
    words: Sequence[str]


def plot_layer(facts: LayerFacts, crop: Callable[[int], Image.Image | None]) -> PictureFigure:
    """The units of a layer that stand out, each by the box of its strongest example, and how its units are spread.

    `crop` gives that box of a channel's.
    """
    chosen, charts = outstanding(facts), _charts(facts)
    row = (TITLE + TILE + CAPTION) * bool(chosen.channels)
    figure = _headed(facts, row + charts_height(charts))
    top = MARGIN + HEADER
    if chosen.channels:
        write(figure, MARGIN, top, chosen.title, MEDIUM, weight="bold")
    for place, (channel, words) in enumerate(zip(chosen.channels, chosen.words, strict=True)):
        left = MARGIN + place * (TILE + GAP)
        show_picture(axes_at(figure, left, top + TITLE, TILE, TILE), crop(channel), None)
        caption = f"{channel}   {words}\n{_name(facts, channel)}"
        write(figure, left, top + TITLE + TILE + GAP / 2, caption, SMALL)
    draw_charts(figure, charts, top + row)
    return figure


def plot_layer_in_steps(facts: LayerFacts, in_steps: InSteps) -> PictureFigure:
    """The same of a layer of texts or series, each unit by its strongest step with its values around that."""
    chosen, charts = outstanding(facts), _charts(facts)
    found = [in_steps(channel) for channel in chosen.channels]
    shown = [shown_of([exemplar], steps)[0] for exemplar, steps in found]
    contents = [one.content for one in shown]
    ranges = ranges_of(one for one in contents if isinstance(one, SeriesExample))
    apart = separator([one for one in contents if isinstance(one, TextExample)])
    scale = scale_of(trace for _, steps in found for trace in steps.traces.values())
    columns, high, lines = (SERIES_ACROSS, SERIES_HIGH, 2) if ranges else (1, TEXT_LINE, 1)
    wide = (ACROSS - (columns - 1) * 2 * GAP) / columns
    each = high + LINE + GAP / 2
    rows = (TITLE + -(-len(shown) // columns) * each + LINE / 2) * bool(shown)
    figure = _headed(facts, rows + charts_height(charts))
    top = MARGIN + HEADER
    if shown:
        write(figure, MARGIN, top, chosen.title, MEDIUM, weight="bold")
    for place, (channel, words, one) in enumerate(zip(chosen.channels, chosen.words, shown, strict=True)):
        left, above = MARGIN + place % columns * (wide + 2 * GAP), top + TITLE + place // columns * each
        caption = "   ".join(filter(None, [f"unit {channel}", words, _name(facts, channel), one.step]))
        write(figure, left, above, caption, SMALL)
        draw_steps(axes_at(figure, left, above + LINE * 0.75, wide, high), one, scale, apart, ranges, wide, lines=lines)
    draw_charts(figure, charts, top + rows)
    return figure


def outstanding(facts: LayerFacts) -> Outstanding:
    """Of texts the units that know most, otherwise the most selective ones, without classes the strongest."""
    if facts.scores and (known := _know_most(facts)).channels:
        return known
    title, values = "Most selective units", facts.telling
    if values is None or not np.isfinite(values).any():
        title, values = "Strongest units", facts.alive("max")
    channels = _highest(values)
    return Outstanding(title, channels, [labels.number(float(values[channel])) for channel in channels])


def _know_most(facts: LayerFacts) -> Outstanding:
    """By how much more than the best unit of the layer untrained, each with the track that it knows best."""
    gains = np.full((len(facts.scores), len(facts.units)), np.nan)
    for row, one in enumerate(facts.scores):
        untrained = best_strength(one.track.measure, one.untrained)
        before = 0.0 if math.isnan(untrained) else skill(one.track.measure, untrained)
        gains[row] = skills(one.track.measure, one.trained) - before
    most = np.where(np.isfinite(gains), gains, -np.inf).max(axis=0, initial=-np.inf)
    channels = [channel for channel in _highest(np.where(most > 0, most, np.nan)) if not facts.units["dead"][channel]]
    words = []
    for channel in channels:
        best = facts.scores[int(np.nanargmax(gains[:, channel]))]
        found = strength(best.track.measure, float(best.trained[channel]))
        words.append(f"{best.track.name} ({MEASURES[best.track.measure]} {written(found)})")
    return Outstanding("Units that know most, compared with the best ones untrained", channels, words)


def _highest(values: np.ndarray) -> list[int]:
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")[:TILES]
    return [int(channel) for channel in order if np.isfinite(values[channel])]


def _name(facts: LayerFacts, channel: int) -> str:
    """What people call a unit, or else its class."""
    named = facts.units["name"][channel] or (facts.units["best_class"][channel] if "best_class" in facts.units.columns else "")
    return shortened(named or "", TILE_COLUMNS)


def _headed(facts: LayerFacts, height: float) -> PictureFigure:
    layer, dead, starred = facts.layer, int(facts.units["dead"].sum()), int(facts.units["starred"].sum())
    figure = PictureFigure(figsize=(ACROSS + 2 * MARGIN, 2 * MARGIN + HEADER + height))
    write(figure, MARGIN, MARGIN, layer.name, LARGE, family="monospace")
    write(figure, MARGIN, MARGIN + LINE * 1.1, "  ·  ".join(labels.layer_facts(layer)), MEDIUM, colour=LIGHT.muted)
    counts = [f"{len(facts.units):,} units", f"{dead:,} dead" if dead else "none dead"]
    counts += [f"{starred:,} starred"] if starred else []
    write(figure, MARGIN, MARGIN + LINE * 2, "     ".join(counts), MEDIUM)
    return figure


def _charts(facts: LayerFacts) -> list[Chart]:
    """How the units are spread, as far as the study has it."""
    found = [layer_knowledge(facts.scores)] if facts.scores else []
    if np.isfinite(selectivity := facts.alive("selectivity")).any():
        found.append(Chart("Selectivity", partial(_spread, values=selectivity, along="selectivity, from 0 to 1")))
    if np.isfinite(facts.alive("shut")).any():
        found.append(Chart("Gates: how often shut and open", partial(_saturation, facts=facts)))
    elif np.isfinite(active := facts.alive("fraction_active")).any():
        found.append(Chart("Active positions", partial(_shares, values=active)))
    if np.isfinite(memory := facts.alive("half_life")).any():
        found.append(Chart("Memory", partial(_memory, steps=memory)))
    if preferred := _preferred(facts):
        found.append(Chart("Classes that units prefer", partial(bars, values=preferred, unit="units"), named=True))
    return found


def _preferred(facts: LayerFacts) -> list[tuple[str, int]]:
    """The classes that most units prefer, and how many do."""
    if "best_class" not in facts.units.columns:
        return []
    alive = facts.units["best_class"][~facts.units["dead"]].tolist()
    return Counter(name for name in alive if name is not None).most_common(MOST_CLASSES)


def _spread(axes: Axes, values: np.ndarray, along: str) -> None:
    histogram(axes, values, along, "units", bins=few_bins(values))


def _shares(axes: Axes, values: np.ndarray) -> None:
    _spread(axes, values, "share of positions where a unit is above zero")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _saturation(axes: Axes, facts: LayerFacts) -> None:
    """As Karpathy et al. 2015 draw gates."""
    axes.plot([0, 1], [1, 0], color=rgb(LIGHT.line), linewidth=1)
    axes.plot(facts.alive("shut"), facts.alive("open"), color=rgb(LIGHT.accent), alpha=0.5, clip_on=False, **DOTS)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for axis, words in ((axes.xaxis, "steps at which it is below 0.1"), (axes.yaxis, "steps at which it is above 0.9")):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axis.set_label_text(words, fontsize=SMALL)


def _memory(axes: Axes, steps: np.ndarray) -> None:
    """On a logarithmic axis where half-lives differ much."""
    known = steps[np.isfinite(steps) & (steps > 0)]
    wide = len(known) > 0 and known.max() > DECADE * known.min()
    edges = np.geomspace(known.min(), known.max(), few_bins(known) + 1).tolist() if wide else few_bins(known)
    histogram(axes, known, "half-life in steps", "units", bins=edges)
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labels.round_number(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
