"""Charts that stand beside each other at the end of a figure: bars, histograms, what units know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from torchlurk.plotting.figures import ACROSS, GAP, MARGIN, MEDIUM, SMALL, TITLE, axes_at, rgb
from torchlurk.rendering.charts import BINS
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.text import shortened

CHART = 3.0
"""Inches from top to bottom, with what is written at its axes."""
BELOW = 0.45
PLACES = 3
NAMES, NUMBERS, VALUES = 1.35, 0.5, 1.4
"""Inches beside a chart for names or numbers to its left, and for values to its right."""
LABEL_COLUMNS = 22


@dataclass(frozen=True, slots=True)
class Chart:
    """A title, what draws below it, and whether names stand to its left."""

    title: str
    draw: Callable[[Axes], None]
    named: bool = False
    valued: bool = False
    """Whether values stand to its right: it then takes two places of a row."""


def charts_height(charts: Sequence[Chart]) -> float:
    """Inches that the charts take from top to bottom."""
    return len(_rows(charts)) * (TITLE + CHART)


def draw_charts(figure: Figure, charts: Sequence[Chart], top: float) -> None:
    """Rows of three places beside each other, from `top` on."""
    third = (ACROSS + GAP) / PLACES
    for row in _rows(charts):
        start = MARGIN
        for chart in row:
            left, right = NAMES if chart.named else NUMBERS, VALUES if chart.valued else 3 * GAP
            width = _places(chart) * third
            axes = axes_at(figure, start + left, top + TITLE, width - left - right, CHART - BELOW - TITLE)
            chart.draw(axes)
            plain(axes, chart.title)
            start += width
        top += TITLE + CHART


def _rows(charts: Sequence[Chart]) -> list[list[Chart]]:
    rows: list[list[Chart]] = []
    for chart in charts:
        if not rows or sum(map(_places, [*rows[-1], chart])) > PLACES:
            rows.append([])
        rows[-1].append(chart)
    return rows


def _places(chart: Chart) -> int:
    return 2 if chart.valued else 1


def plain(axes: Axes, title: str) -> None:
    """The look that all charts share."""
    axes.set_title(title, fontsize=MEDIUM, fontweight="bold", loc="left", parse_math=False)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def named_rows(axes: Axes, names: Sequence[str], columns: int = LABEL_COLUMNS) -> None:
    """Names to the left, the first at the top."""
    axes.set_yticks(range(len(names)), [shortened(one, columns) for one in names], fontsize=SMALL, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)


def bars(axes: Axes, values: Sequence[tuple[str, float]], unit: str) -> None:
    """A bar a name; `unit` says what they are long in."""
    axes.barh(np.arange(len(values)), [value for _, value in values], color=rgb(LIGHT.accent))
    named_rows(axes, [name for name, _ in values])
    axes.set_xlabel(unit, fontsize=SMALL)


def histogram(
    axes: Axes, values: Real[np.ndarray, " unit"], along: str, counted: str, *, bins: int | Sequence[float] = BINS
) -> None:
    """How often which value, among those that are finite; `along` and `counted` say in what."""
    axes.hist(values[np.isfinite(values)], bins=bins, color=rgb(LIGHT.accent))
    axes.set_xlabel(along, fontsize=SMALL)
    axes.set_ylabel(counted, fontsize=SMALL)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def few_bins(values: Real[np.ndarray, " unit"]) -> int:
    """As many as so many values fill."""
    return int(min(BINS, max(5, np.isfinite(values).sum() // 3)))
