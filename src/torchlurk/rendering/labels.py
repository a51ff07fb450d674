"""The words and numbers that the contact sheet, the terminal and the notebook say of a unit, said once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from torchlurk.anatomy import BIAS, INPUT, Prediction, TreeNode
from torchlurk.records import Class, Exemplar, Layer, MethodCheck, UnitRecord
from torchlurk.unit_statistics import is_share, label, listed, written_with

MINUS = "−"
UNDEFINED = "–"
DIGITS = 4
SMALLEST_PLAIN = 1e-3
LARGEST_PLAIN = 1e6
TOP_CLASSES = 20
NOISE = 0.0005
"""A share that is no further than this from the whole is the whole: the rest is rounding of floats."""
HOLDERS = 2
"""How many are named of what holds a unit down."""


def number(value: float) -> str:
    """The value with four significant digits, at most four decimals, commas between thousands; a dash for NaN."""
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size < SMALLEST_PLAIN or size >= LARGEST_PLAIN:
        written = f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    else:
        decimals = max(0, DIGITS - 1 - math.floor(math.log10(size)))
        written = f"{value:,.{min(decimals, DIGITS)}f}"
    return written.replace("-", MINUS)


def off(node: TreeNode) -> str:
    """What is said of a root that is off: that it is, and what holds it down."""
    words = {INPUT: "the image", BIAS: "its bias"}
    holders = [words.get(name, name) for name in node.makeup.held_down_by[:HOLDERS]]
    where = "these images" if node.branch.position is None else "this image"
    return f"0: off in {where}" + (f"; held down by {' and '.join(holders)}" if holders else "")


def round_number(value: float) -> str:
    """A value that has few digits, such as a tick of an axis, with no more than it has."""
    if value != 0 and not SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        return number(value).replace(".0e", "e")
    return f"{value:,.{DIGITS + 2}f}".rstrip("0").rstrip(".").replace("-", MINUS)


def percent(share: float) -> str:
    """A share as percent: three digits at most; what is no more than `NOISE` below zero is zero, and what is just above it is
    never rounded to that.
    """
    if math.isnan(share):
        return UNDEFINED
    if 0 < share < NOISE:
        return "< 0.1 %"
    share = 0.0 if abs(share) < NOISE else share
    written = f"{100 * share:.1f}" if share < 1 - NOISE else f"{100 * share:.0f}"
    return f"{written.removesuffix('.0').replace('-', MINUS)} %"


def prediction(found: Prediction) -> str:
    """An output's probability; where it has none, the output."""
    return number(found.output) if math.isnan(found.probability) else percent(found.probability)


def statistics(values: Mapping[str, float]) -> list[tuple[str, str]]:
    """Each statistic as (name, value) in words, in the order of `STATISTICS`."""
    return [
        (label(name), percent(values[name]) if is_share(name) else number(values[name]) + written_with(name))
        for name in listed(list(values))
    ]


def extent(sizes: Sequence[int]) -> str:
    """Sizes as 13 × 13."""
    return " × ".join(str(size) for size in sizes)


def layer_facts(layer: Layer) -> list[str]:
    """What kind of layer it is, how its units are arranged, what one position sees, where it is read."""
    facts = [layer.type, layer.layout]
    if layer.layout == "spatial":
        facts.append(f"map {extent(layer.shape)}")
    elif layer.shape:
        facts.append(f"{extent(layer.shape)} {_positions(layer)}")
    if layer.receptive_field is not None:
        facts.append(f"receptive field {_along(layer, layer.receptive_field)}")
    elif layer.layout == "spatial":
        facts.append("each position sees the whole input")
    if layer.backward:
        facts.append("runs backward")
    elif layer.apart:
        facts.append("steps of its own, each of which sees the same")
    elif (every := _steps_apart(layer)) > 1:
        facts.append(f"a value every {every} steps")
    elif layer.stride is not None:
        square = layer.stride[0] == layer.stride[1] and layer.layout != "sequence"
        facts.append(f"stride {_along(layer, layer.stride[:1] if square else layer.stride)}")
    if layer.read_after:
        facts.append(f"read after {', '.join(layer.read_after)}")
    return facts


def unit_facts(record: UnitRecord) -> list[str]:
    """The same of a unit, and what it stands for where it is an output of the network."""
    return [*([f"output for {record.output}"] if record.output else []), *layer_facts(record.layer)]


def _steps_apart(layer: Layer) -> int:
    """How many steps of the input a sequence's positions are apart; 1 of other layers."""
    return layer.stride[-1] if layer.layout == "sequence" and layer.stride is not None else 1


def _positions(layer: Layer) -> str:
    """What the positions of a layer that is not spatial are called: steps where there is one for each of the input's."""
    if layer.layout != "sequence":
        return "tokens"
    return "values" if _steps_apart(layer) > 1 else "steps"


def _along(layer: Layer, sizes: Sequence[int]) -> str:
    """Sizes in pixels; of a sequence in steps."""
    if layer.layout != "sequence":
        return f"{extent(sizes)} px"
    return f"{sizes[-1]} step{'' if sizes[-1] == 1 else 's'}"


ONE_VALUE = "one value per example: by mean they are the same"


def one_valued(layer: Layer) -> bool:
    """Whether a unit has a single value on each example: it has no positions, or one."""
    return math.prod(layer.shape) == 1


def without_repeats(record: UnitRecord) -> UnitRecord:
    """The record without what is by mean where a unit has one value per example, which is its maximum and its mean."""
    if not one_valued(record.layer):
        return record
    exemplars = {kind: found for kind, found in record.exemplars.items() if kind != "mean"}
    return replace(record, exemplars=exemplars, classes={kind: one for kind, one in record.classes.items() if kind != "mean"})


def of_means(layer: Layer, least: int) -> str:
    """What a mean is of, and which texts or series are ranked by theirs, where not all are; `least` is how many of its steps
    have to count for that. '' for pictures.
    """
    if layer.layout != "sequence":
        return ""
    if layer.apart:
        return "over all of its own steps"
    return "over the steps that count" + (f", in examples with {least} or more" if least > 1 else "")


def ranked_by(kind: str, layer: Layer, least: int = 0) -> str:
    """What there is to say of a ranking beside its name; see `of_means`. '' where that is nothing."""
    if kind == "mean":
        return of_means(layer, least)
    return ONE_VALUE if kind == "max" and one_valued(layer) else ""


def title_of(title: str, kind: str, layer: Layer, least: int = 0, exemplars: Sequence[Exemplar] = ()) -> str:
    """A ranking's title with what there is to say of it, and of its exemplars where they tie."""
    told = [ranked_by(kind, layer, least), ties(kind, exemplars)]
    return f"{title} ({'; '.join(filter(None, told))})" if any(told) else title


def lifted(record: UnitRecord) -> bool:
    """Whether the unit's selectivity is above its lowest class, as one is negative; see `unit_statistics.LIFTED`."""
    means = record.classes.get("max")
    return means is not None and not math.isnan(record.statistics["selectivity"]) and bool((means < 0).any())


FAINT = "activation too close to 0 for shares of it"


TIED = "all score the same: of such examples the first in the data are shown"


def tied(exemplars: Sequence[Exemplar]) -> bool:
    """Whether several exemplars are shown and none is stronger than another, so that which they are says little."""
    return len(exemplars) > 1 and len({one.score for one in exemplars}) == 1


def ties(kind: str, exemplars: Sequence[Exemplar]) -> str:
    """What to say of exemplars of a ranking that tie; '' where they do not, and of those across the range."""
    return TIED if kind != "quantile" and tied(exemplars) else ""


def exemplar_name(exemplar: Exemplar) -> str:
    """The exemplar's class; without classes its file, without a file its number."""
    return exemplar.class_label or exemplar.path or f"example {exemplar.example}"


def top_classes(
    values: Float32[np.ndarray, " class"], classes: Sequence[Class], *, most: int = TOP_CLASSES
) -> list[tuple[Class, float]]:
    """The classes with the highest values, highest first, equal ones by index; classes without a value are left out."""
    known = [(one, float(values[one.index])) for one in classes if not math.isnan(values[one.index])]
    return sorted(known, key=lambda pair: (-pair[1], pair[0].index))[:most]


def counted(count: int, noun: str) -> str:
    """So many of something, of one in the singular."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def checked(check: MethodCheck, noun: str) -> str:
    """What the check of a method by random weights says of it on a layer; `noun` is what it may show in place of the unit."""
    said = f"similarity {number(round(check.similarity, 2))} with random weights below"
    return f"shows the {noun}, not the unit: {said}" if check.marked else said
