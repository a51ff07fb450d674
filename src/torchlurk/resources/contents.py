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

OfClass = TypedDict("OfClass", {"class": str | None})
NamedClass = TypedDict("NamedClass", {"class": str})


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
    stopped: NotRequired[bool]
    """Whether nobody is at it: the same command continues it."""


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
    least_for_means: NotRequired[int]
    """How many steps of an example have to count for it to be ranked by mean, where not any number will do."""
    called: NotRequired[str]
    """The name of a kind of input that a program has added."""
    example: NotRequired[str]
    """What of a text is one example where that is no file: "line" or "row"."""


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
