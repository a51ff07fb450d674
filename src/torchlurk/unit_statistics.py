"""The statistics of units: each is declared once, in `STATISTICS`, and is then in the study, its documents and its pictures.

A program adds its own before it analyzes: `STATISTICS["range"] = Statistic("range", "max less min", lambda seen: seen.max -
seen.min)`. No torch here: a study is read without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from torchlurk.records import Layer, UnitStatistics

Values = Float64[np.ndarray, " unit"]
Sums = Mapping[str, Shaped[np.ndarray, "unit ..."]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scan has gathered of every unit of a layer, from which its statistics follow; NaN where undefined.

    `rows` counts examples and `count` activations (example × position); those that were not finite are in neither. `total`
    and `squares` are sums of (activation - pivot) and of its square; `active` counts activations above zero. `class_max` and
    `class_mean` are class means of the per-example max and mean, `sample` the per-example max on the study's sample.
    `sums` are those that the statistic itself asked for, by name.
    """

    rows: Int64[np.ndarray, " unit"]
    count: Int64[np.ndarray, " unit"]
    pivot: Float32[np.ndarray, " unit"]
    total: Float64[np.ndarray, " unit"]
    squares: Float64[np.ndarray, " unit"]
    active: Int64[np.ndarray, " unit"]
    min: Float64[np.ndarray, " unit"]
    max: Float64[np.ndarray, " unit"]
    class_max: Float64[np.ndarray, "unit class"]
    class_mean: Float64[np.ndarray, "unit class"]
    sample: Float32[np.ndarray, "unit example"]
    sums: Sums = field(default_factory=dict)

    @property
    def mean(self) -> Values:
        """Mean activation; every position weighs the same."""
        mean: Values = self.pivot + self.total / self.count
        return mean

    @property
    def std(self) -> Values:
        """Standard deviation of the activations (of the population)."""
        variance = self.squares / self.count - np.square(self.total / self.count)
        std: Values = np.sqrt(np.maximum(variance, 0.0))
        return std


def _every_layer(layer: Layer) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number a unit: how it is called, what it means, and how it follows from what the scan gathers.

    `sums` is for what no other statistic gathers: from the maps of some examples, a float tensor (batch, unit, position),
    it makes tensors (batch, unit, ...) by name, which are summed over all examples, in float64, wherever these are
    scanned; an example on which a unit was not finite does not enter them. One that is `counted` follows instead from what
    `scanning.over_time` counts under that name. `of` says which layers have it; a `share` is shown as percent, and what has a
    `unit` with it.
    """

    label: str
    meaning: str
    value: Callable[[Seen], Values]
    sums: Callable[[Any], Mapping[str, Any]] | None = None
    of: Callable[[Layer], bool] = _every_layer
    share: bool = False
    counted: str = ""
    unit: str = ""


def selectivity(class_max: Float64[np.ndarray, "unit class"]) -> Values:
    """How much one class stands out (Morcos 2018, arXiv 1803.06959): (best - rest) / (best + rest), from 0 to 1.

    `rest` is the mean of the class means but the best. Where a class mean is negative, the smallest is subtracted from all: the
    best is then measured against the spread of the classes, not against zero, which gives more (see `LIFTED`). 0 where all are
    equal; NaN with fewer than two classes.
    """
    known = np.isfinite(class_max)
    count = known.sum(1)
    lowest = np.where(known, class_max, np.inf).min(1, initial=np.inf)
    lifted = np.where(known, class_max - np.minimum(lowest, 0.0)[:, None], 0.0)
    best = lifted.max(1, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = (lifted.sum(1) - best) / (count - 1)
        share = np.where(best > 0, (best - rest) / (best + rest), 0.0)
    return np.where(count > 1, share, np.nan)


LIFTED = "class means are negative: selectivity is above the lowest of them, and does not compare with that of other units"
"""What is said where a class mean is negative: a unit at −1.00, −1.01 and −1.02 has a selectivity of 0.6, one at 1.02, 1.01 and
1.00 of 0.01.
"""

FEW = 9
"""Examples of the sample, or a quarter of a small one: the class means of a unit that fewer excite hang on these."""


def telling(selectivity: Values, sample: Float32[np.ndarray, "unit example"], least: Values, most: Values) -> Values:
    """The selectivity of units that enough examples of the sample excite above their minimum `least` and whose maximum `most`
    is above zero; NaN of all others: a unit that a single picture excites is as selective as can be, and says nothing of that
    picture's class; of one that is negative everywhere small differences count as much as large ones.
    """
    excited = (sample > least[:, None]).sum(1)
    return np.where((excited >= min(FEW, sample.shape[1] / 4)) & (most > 0), selectivity, np.nan)


NEXT_TO_NOTHING, OF_THE_SPREAD = 0.01, 0.25
"""An activation is faint below this share of the strongest; of a unit that is negative somewhere, of its standard deviation."""


def faint(score: float, strongest: float, statistics: Mapping[str, float]) -> bool:
    """Whether an activation is so close to zero that shares of it say nothing: what is for and against the unit nearly cancels,
    and anything that changes it is many times as large.
    """
    spread = statistics["std"] if statistics["min"] < 0 else 0.0
    return abs(score) < max(NEXT_TO_NOTHING * abs(strongest), OF_THE_SPREAD * spread)


def half_life(mean_logarithm: Values) -> Values:
    """After how many steps half is left of what a gate keeps, from the mean of its logarithm (Tallec & Ollivier 2018, arXiv
    1804.11188).
    """
    steps: Values = np.log(2) / -np.where(mean_logarithm < 0, mean_logarithm, np.nan)
    return steps


STATISTICS: dict[str, Statistic] = {
    "mean": Statistic("mean", "mean over all examples and positions", attrgetter("mean")),
    "std": Statistic("standard deviation", "standard deviation over all examples and positions", attrgetter("std")),
    "max": Statistic("maximum", "largest activation", attrgetter("max")),
    "min": Statistic("minimum", "smallest activation", attrgetter("min")),
    "fraction_active": Statistic(
        "active positions",
        "share of examples and positions with an activation above zero",
        lambda seen: seen.active / seen.count,
        share=True,
    ),
    "selectivity": Statistic(
        "selectivity",
        "(best class - the rest) / (best class + the rest), Morcos et al. 2018; less the lowest class where one is negative",
        lambda seen: selectivity(seen.class_max),
    ),
    "shut": Statistic(
        "shut",
        "share of examples and steps at which the gate is below 0.1 (Karpathy et al. 2015)",
        lambda seen: seen.sums["shut"] / seen.sums["steps"],
        of=attrgetter("opens"),
        share=True,
        counted="gate",
    ),
    "open": Statistic(
        "open",
        "share of examples and steps at which the gate is above 0.9 (Karpathy et al. 2015)",
        lambda seen: seen.sums["open"] / seen.sums["steps"],
        of=attrgetter("opens"),
        share=True,
        counted="gate",
    ),
    "half_life": Statistic(
        "half-life",
        "after how many steps half is left of what is kept: ln 2 over the mean of -ln of the gate that keeps it",
        lambda seen: half_life(seen.sums["logarithm"] / seen.sums["steps"]),
        of=lambda layer: layer.keeps or layer.kept,
        counted="gate",
        unit="steps",
    ),
}
"""All statistics by name (the key in JSON), in the order in which they are listed."""

COLUMNS = ("mean", "std", "min", "max", "fraction_active", "selectivity")
"""Those that every unit of every study has: they have columns of their own there."""

BUILT_IN = frozenset(STATISTICS)

NAME = re.compile("[a-z][a-z0-9_]{0,39}")
"""What a statistic may be called: a key in JSON and a word in a terminal."""


def statistics_of(layer: Layer) -> dict[str, Statistic]:
    """Those that a layer has, by name."""
    return {name: one for name, one in STATISTICS.items() if name in COLUMNS or one.of(layer)}


def added() -> list[str]:
    """The names of those that a program has added, in order."""
    return [name for name in STATISTICS if name not in BUILT_IN]


def worked_out(
    seen: Seen, sums: Mapping[str, Sums], wanted: Mapping[str, Statistic], counts: Mapping[str, Sums] | None = None
) -> UnitStatistics:
    """The values of the wanted statistics; `sums` are those that statistics asked for, by the statistic's name, and `counts`
    what was counted over time, by the name of the count.

    One that asked for sums of which there are none is left out. Raises `ValueError` for one that does not give a number a unit.
    """
    of = {name: (counts or {}).get(one.counted) if one.counted else sums.get(name) for name, one in wanted.items()}
    plain = {name for name, one in wanted.items() if one.sums is None and not one.counted}
    known = {name: one for name, one in wanted.items() if name in plain or of[name] is not None}
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {name: np.asarray(one.value(replace(seen, sums=of[name] or {})), np.float64) for name, one in known.items()}
    for name, values in found.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"a statistic is called {name!r}; use small letters, digits and underscores, at most 40")
        if values.shape != seen.rows.shape:
            raise ValueError(f"the statistic '{name}' gives an array of shape {values.shape} for {len(seen.rows)} units")
    return UnitStatistics(**{name: found.pop(name) for name in COLUMNS}, more=found)


def label(name: str) -> str:
    """What a statistic is called in words; one that is not known here goes by its name."""
    return STATISTICS[name].label if name in STATISTICS else name.replace("_", " ")


def written_with(name: str) -> str:
    """The physical unit that a statistic is shown with, after a space; empty for a plain number."""
    return f" {STATISTICS[name].unit}" if name in STATISTICS and STATISTICS[name].unit else ""


def is_share(name: str) -> bool:
    """Whether a statistic is shown as percent."""
    return name in STATISTICS and STATISTICS[name].share


def listed(names: Sequence[str]) -> list[str]:
    """Names in the order of `STATISTICS`; those not known here come last."""
    order = list(STATISTICS)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))
