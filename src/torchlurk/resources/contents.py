"""What every document of a study holds, key by key.

The web app's types are made from this by `web/document_types.py`; a text after a key goes there as its comment. A document
that holds another key, or one of another kind, fails a test. `__extra_items__` is what further keys hold, where there are some.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from torchlurk.input_records import KindName
from torchlurk.records import Layout
from torchlurk.track_records import Measure

Value = float | None
"""Null where it is undefined, as NaN is in a study."""

Column = list[Value]
"""One number a channel, or a step."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the network's input, half-open."""

Span = tuple[int, int]
"""A half-open run of steps."""

Excerpt = tuple[str, str, str]
"""What stands before a token, the token, and what stands after it."""

_OfClass = TypedDict("_OfClass", {"class": str | None})
_NamedClass = TypedDict("_NamedClass", {"class": str})


class Covers(TypedDict):
    """How many a stage has made something of, and how many there are; units that are dead are not counted."""

    layers: tuple[int, int]
    units: tuple[int, int]


class Stage(TypedDict):
    """How far a stage has come; a study that only lists its stages leaves the options out."""

    stage: str
    started: str
    finished: str | None
    done: int
    total: int
    seed: int
    version: str
    covers: Covers
    options: NotRequired[dict[str, Any]]


class Progress(TypedDict):
    """What is told of a stage while it runs: the event `progress`."""

    study: str
    stage: str
    done: int
    total: int
    finished: str | None
    rate: NotRequired[Value]
    """Items a second."""
    left: NotRequired[Value]
    """Seconds."""


class Changed(TypedDict):
    """Which layers of a study have other results now, null: any may. The event `changed`."""

    study: str
    layers: list[int] | None


class Card(TypedDict):
    """A study in the list of all."""

    slug: str
    """Its name in addresses."""
    name: str
    model: str
    data: str
    layers: int
    units: int
    examples: int
    bytes: int
    version: str
    stages: list[Stage]
    cover: list[str]
    """Paths of pictures."""
    trouble: NotRequired[str]
    """Why it cannot be read any more."""


class Studies(TypedDict):
    """`studies.json`."""

    studies: list[Card]


class ClassInfo(TypedDict):
    """A class of the data set: `name` as the data calls it, `label` as people do."""

    index: int
    name: str
    label: str
    examples: int


class LayerInfo(TypedDict):
    """A layer, as far as all pages need it."""

    id: int
    """Its number in the order of execution."""
    name: str
    type: str
    layout: Layout
    channels: int
    shape: list[int]
    parameters: int
    receptive_field: tuple[int, int] | None
    stride: tuple[int, int] | None
    nonlinearity: str | None
    read_after: list[str]
    units: int
    """How many were scanned."""
    dead: int
    node: int | None
    """The node of the graph whose output its units are."""
    kernels: bool
    """Whether its weights can be shown as pictures."""
    provisional: int | None
    """While the scan runs: of how many examples the results so far are."""


GraphNode = tuple[int, Literal["input", "module", "operation", "output"], str, str, str, list[int]]
"""id, kind, name, module, type, shape"""


class Graph(TypedDict):
    """What feeds what."""

    nodes: list[GraphNode]
    edges: list[tuple[int, int]]


class Inputs(TypedDict):
    """How examples were given to the network; null or empty where that says nothing."""

    axes: str | None
    window: int | None
    burn_in: int | None
    channels: list[str]
    vocabulary_size: int | None
    called: NotRequired[str]
    """The name of a kind of input that a program has added."""


class Preprocessing(TypedDict):
    """How pictures were prepared."""

    resize: list[int] | None
    crop: list[int] | None
    interpolation: str
    mean: list[float]
    std: list[float]


class Skips(TypedDict):
    """The files that were passed over, the first of them with the reason."""

    count: int
    first: list[tuple[str, str]]


class Mark(TypedDict):
    """What people noted of a unit that stands beside its address."""

    name: str
    starred: bool


class Remark(Mark):
    """What people noted of a unit."""

    text: str
    written: str


class Study(TypedDict):
    """`study.json`: what all pages of a study need."""

    slug: str
    """Its name in addresses."""
    name: str
    model: str
    data: str
    input: list[int]
    """The shape of the network's input, without the batch."""
    kind: KindName
    inputs: Inputs
    preprocessing: Preprocessing
    version: str
    examples: int
    classes: list[ClassInfo]
    output_classes: list[int | None] | None
    """For each output of the network its class; null: as the classes are listed."""
    layers: list[LayerInfo]
    graph: Graph
    stages: list[Stage]
    methods: list[str]
    presets: list[str]
    notes: list[tuple[str, str]]
    """Kind and text."""
    remarks: dict[str, Mark]
    """What people noted, by a unit's address."""
    skips: Skips


class Sheets(TypedDict):
    """Where the tiles of a layer are: channel c is tile c % per_sheet of sheet c // per_sheet, row by row."""

    tile: int
    """Pixels a side."""
    columns: int
    per_sheet: int
    sheets: list[str]
    missing: list[int]
    """Channels without a tile."""


class Check(TypedDict):
    """How a method did when the weights below a layer were made random."""

    similarity: Value
    marked: bool
    limit: float
    """The similarity above which a method is marked."""


class Best(TypedDict):
    """The strongest example of each unit of a layer."""

    example: list[int]
    score: Column
    box: list[Box] | None
    step: NotRequired[list[int]]
    """Of texts and series: where each unit is strongest, -1 where its layer has no steps."""
    reach: NotRequired[list[Span] | None]
    """Of texts and series: what that step can have seen."""
    texts: NotRequired[list[Excerpt | None]]
    """Of texts: null where there is no step."""


class LayerSyntheses(TypedDict):
    """The syntheses of a layer by one preset, a value a channel."""

    activation: Column
    ratio: Column
    marked: list[str | None]


class Statistics(TypedDict):
    """A column for each statistic of a layer's units; some layers and studies have further ones, by name."""

    mean: Column
    std: Column
    max: Column
    min: Column
    fraction_active: Column
    selectivity: Column
    __extra_items__: NotRequired[Column]


class Outputs(TypedDict):
    """What the units of a layer are called that are the network's outputs; an empty name is not known."""

    of: Literal["classes", "tokens"]
    names: list[str]


class Output(TypedDict):
    """What a unit is called that is an output of the network."""

    of: Literal["classes", "tokens"]
    name: str


class Track(TypedDict):
    """A label at each step of a text, and how units are measured against it."""

    track: str
    words: str
    """What it is a label of."""
    measure: Measure
    told: bool
    """Whether the last three tokens give it away, so that it was measured at all steps."""
    steps: int
    """At how many steps it was measured."""
    untrained: Value
    """How well the best unit of the layer tells it in the same network untrained."""


class LayerTrack(Track):
    """How well each unit of a layer tells a track."""

    score: Column


class KnownTrack(Track):
    """How well one unit tells a track; `strength` is the score whichever way round."""

    score: Value
    strength: Value


class Layer(TypedDict):
    """`layers/{l}.json`: columns with an entry a channel."""

    id: int
    name: str
    provisional: int | None
    outputs: Outputs | None
    """Null where its units are not the network's outputs, or nobody knows what these are called."""
    statistics: Statistics
    best_class: list[int]
    """-1 for none, as in `second_class`."""
    second_class: list[int]
    class_score: Column
    best: Best
    effective_field: tuple[float, float] | None
    checks: dict[str, Check]
    syntheses: dict[str, LayerSyntheses]
    remarks: dict[str, Mark]
    """By channel."""
    sheets: dict[str, Sheets]
    knows: NotRequired[list[LayerTrack]]
    """Of texts: how well the units tell each track."""


class Shown(_OfClass):
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
    """Of a text or series, by how many last steps: the share of the activation that these alone excite."""


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
    """Of lrp: the share of the activation that arrived at the input."""


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


class ClassValue(_NamedClass):
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
    tokens: NotRequired[UnitTokens]
    """Of texts."""
    knows: NotRequired[list[KnownTrack]]
    """Of texts: how well it tells each track."""


class _Sequence(_OfClass):
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
