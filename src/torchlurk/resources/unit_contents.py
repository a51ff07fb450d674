"""What the documents about units, examples and classes hold, key by key; see `contents`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from torchlurk.records import Layout
from torchlurk.resources.contents import Box, Check, Column, KnownTrack, NamedClass, OfClass, Output, Remark, Span, Value


class Shown(OfClass):
    """An example of a unit, with its picture where it has one."""

    example: int
    path: str
    score: Value
    picture: str | None


class Exemplar(Shown):
    """An example among the strongest of a unit."""

    rank: NotRequired[int]
    level: NotRequired[float]
    """In place of a rank, the quantile."""
    position: NotRequired[list[int] | None]
    box: NotRequired[Box | None]
    recall: NotRequired[Value]
    reach: NotRequired[Span]
    """Of a text or series: the steps that the position can have seen."""
    token: NotRequired[str]
    """Of a text: the token at the position."""
    context: NotRequired[tuple[str, str]]
    """Of a text: what stands before and after the token."""
    last_steps: NotRequired[dict[str, float]]
    """Of a text or series, by number of steps: the share of the activation that those less than so many away excite alone."""
    own_step: NotRequired[int]
    """Which of the layer's own steps it is, where these are not the example's."""
    faint: NotRequired[bool]
    """There where the activation is so close to zero that shares of it say nothing."""


class Exemplars(TypedDict):
    """By ranking, the strongest first; quantiles from weak to strong."""

    max: list[Exemplar]
    mean: list[Exemplar]
    quantile: list[Exemplar]


class Attribution(TypedDict):
    """A picture of what excited a unit in one of its exemplars."""

    exemplars: Literal["max", "mean"]
    rank: int
    method: str
    box: Box
    picture: str | None
    scale: Value
    kept: Value


class StepAttribution(TypedDict):
    """What excited a unit in one of its exemplars that are texts or series; its numbers are in `UnitAttributions`."""

    exemplars: Literal["max", "mean"]
    rank: int
    method: str
    kept: Value
    conserved: Value
    """Of lrp and lrp_plus: the share of the activation that arrived at the input."""


class StepNumbers(StepAttribution):
    """The same with its numbers, by channel (one of a text) and step."""

    values: list[Column]


class UnitAttributions(TypedDict):
    """`layers/{l}/units/{u}-attributions.json`, of texts and series."""

    layer: str
    channel: int
    attributions: list[StepNumbers]


class Synthesis(TypedDict):
    """An input that was optimized to excite a unit."""

    preset: str
    picture: str | None
    activation: Value
    ratio_to_best_exemplar: Value
    percentile: Value
    robustness: Value
    marked: str | None
    seed: int
    steps: int


class Images(TypedDict):
    """The pictures that were made of a unit."""

    attributions: list[Attribution]
    syntheses: list[Synthesis]


class ClassValue(NamedClass):
    """A class's mean."""

    index: int
    value: float


class ClassValues(TypedDict):
    """The highest class means of a unit's maximum and of its mean."""

    max: list[ClassValue]
    mean: list[ClassValue]


class Histogram(TypedDict):
    """Distribution of a unit's maximum over the sample of examples; those at exactly zero are counted apart."""

    edges: list[float]
    counts: list[int]
    zeros: int


class Alike(TypedDict):
    """A unit of the same layer, and its correlation."""

    channel: int
    value: Value


class Neighbour(Alike):
    """A unit of a layer before or after."""

    layer: int
    name: str


class Similar(TypedDict):
    """The units of a layer that are most like one of them, by their class means and example by example."""

    classes: list[Alike]
    coactivation: list[Alike]


class UnitStatistics(TypedDict):
    """A unit in numbers; some have further ones, by name."""

    mean: Value
    std: Value
    max: Value
    min: Value
    fraction_active: Value
    selectivity: Value
    __extra_items__: NotRequired[Value]


class Token(TypedDict):
    """A token with its value by a measure."""

    id: int
    token: str
    """As it is read; `#34` where only its id is known."""
    value: Value
    count: NotRequired[int]
    """At how many steps that count it stands."""


class TokenRanking(TypedDict):
    """The tokens at the ends of a measure: highest first, and lowest first."""

    at: NotRequired[Value]
    """Of scores of the next token: the unit's value for which they are told."""
    highest: list[Token]
    lowest: list[Token]


class UnitTokens(TypedDict):
    """What a unit has to do with tokens; null by a measure that it does not have."""

    state: TokenRanking | None
    """By its mean where a token stands."""
    change: TokenRanking | None
    """By how much it changes there in the mean."""
    next: TokenRanking | None
    """By how much it raises a token's logit as the next one."""


class Unit(TypedDict):
    """`layers/{l}/units/{c}.json`: everything that the page of a unit shows."""

    id: int
    """Of its layer."""
    layer: str
    channel: int
    layout: Layout
    shape: list[int]
    dead: bool
    provisional: int | None
    output: Output | None
    statistics: UnitStatistics
    exemplars: Exemplars
    classes: ClassValues
    histogram: Histogram
    similar: Similar
    before: list[Neighbour]
    after: list[Neighbour]
    checks: dict[str, Check]
    effective_field: tuple[float, float] | None
    images: Images
    remark: Remark | None
    findings: NotRequired[dict[str, Any]]
    """What stages that a program has added found of it, by stage."""
    attributions: NotRequired[list[StepAttribution]]
    """Of texts and series: what excited it in its exemplars."""
    traces: NotRequired[dict[str, Column]]
    """Of texts and series, by example: the unit's value at each step."""
    lowest: NotRequired[list[Exemplar]]
    """Of texts and series: where it is lowest in its exemplars, if it is about as far below zero as above."""
    tokens: NotRequired[UnitTokens]
    """Of texts."""
    knows: NotRequired[list[KnownTrack]]
    """Of texts: how well it tells each track."""


class _Sequence(OfClass):
    example: int
    path: str
    counted: Span
    """The steps that count; those before are burn-in."""


class TextExample(_Sequence):
    """`examples/{e}.json` of a text."""

    kind: Literal["text"]
    tokens: list[str]
    offsets: list[int]


class SeriesExample(_Sequence):
    """`examples/{e}.json` of a series."""

    kind: Literal["series"]
    channels: list[str]
    values: list[Column]
    """By channel, then by step."""


Example = TextExample | SeriesExample
"""`examples/{e}.json`"""


class ClassExample(TypedDict):
    """An example of a class."""

    example: int
    path: str
    picture: str | None


class Contrast(TypedDict):
    """A unit that stands out for a class."""

    channel: int
    value: Value
    """The mean of its maximum over the class's examples."""
    contrast: float
    """How far that lies above the mean of the other classes, in standard deviations over classes."""


class ClassLayer(TypedDict):
    """The units of a layer that stand out for a class."""

    layer: int
    name: str
    units: list[Contrast]


class ClassPage(TypedDict):
    """`classes/{k}.json`."""

    index: int
    name: str
    label: str
    count: int
    """Its examples."""
    examples: list[ClassExample]
    """Those of which the study holds the picture, text or series."""
    layers: list[ClassLayer]
