"""What a model beside a study answers, key by key: of one image (`/image`), and of a stream of them (`/live`).

The web app's types are made from this by `web/document_types.py`, as those of a study's documents are.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from torchlurk.anatomy import OutputKind
from torchlurk.records import Layout
from torchlurk.resources.contents import Box, Value

_OfClass = TypedDict("_OfClass", {"class": int | None})


class GalleryExample(_OfClass):
    """An example whose picture the study holds; `class` is an index."""

    example: int
    path: str
    picture: str


class About(TypedDict):
    """What can be asked about, and examples to begin with."""

    model: str
    input: list[int]
    methods: list[str]
    examples: list[int]
    """Numbers of examples whose pictures the study holds."""
    gallery: list[GalleryExample]


class Prediction(TypedDict):
    """An output of the network."""

    index: int
    label: str
    output: float
    probability: Value
    """Null for a number."""
    kind: OutputKind


class NamedPrediction(Prediction):
    """An output, and the unit of the last layer that is this output."""

    unit: str | None


class Response(TypedDict):
    """A unit in the image, where it is strongest."""

    unit: str
    activation: float
    position: list[int]
    box: Box | None
    percentile: Value
    standing: Value


class Strongest(TypedDict):
    """The units of a layer that stand out."""

    layer: str
    strongest: list[Response]


class Overview(TypedDict):
    """An image that was opened."""

    image: str
    """Its name."""
    size: tuple[int, int]
    """Width and height."""
    images: int
    """How many images it is the mean of."""
    predictions: list[NamedPrediction]
    layers: list[Strongest]


class Branch(TypedDict):
    """A way down from a unit: the root first."""

    units: list[str]
    position: list[int] | None


class Child(TypedDict):
    """What one unit gives to another."""

    unit: str
    contribution: float
    share: float
    bypasses: bool
    activation: float
    position: list[int] | None
    box: Box | None


class Feed(TypedDict):
    """All that one layer gives to a unit."""

    layer: str
    units: int
    contribution: float
    share: float
    bypasses: bool


class Makeup(Branch):
    """What a node is made of."""

    value: float
    rest: float
    children: list[Child]
    feeds: list[Feed]


class PathPicture(Branch):
    """What of the image reaches the root through a branch."""

    box: Box
    focus: Box
    """The square that the picture is of."""
    picture: str
    """A `data:` address."""


class Use(TypedDict):
    """A unit that another one feeds."""

    unit: str
    contribution: float
    activation: float
    position: list[int]
    box: Box | None


class Predictions(TypedDict):
    """What the network says before and after."""

    before: list[Prediction]
    after: list[Prediction]


class Effect(TypedDict):
    """What changes did, to the units that were watched and to the predictions."""

    before: list[float]
    after: list[float]
    predictions: Predictions


class Makeups(TypedDict):
    """The answer to `makeups`."""

    makeups: list[Makeup]


class PathPictures(TypedDict):
    """The answer to `pictures`."""

    method: str
    pictures: list[PathPicture]


class Uses(TypedDict):
    """The answer to `uses`, by layer."""

    unit: str
    uses: dict[str, list[Use]]


class Effects(TypedDict):
    """The answer to `effects`, by case."""

    effects: list[Effect]


class StreamLayer(TypedDict):
    """A layer that a stream can show."""

    name: str
    channels: int
    shape: list[int]
    layout: Layout


class Greeting(TypedDict):
    """What a stream begins with."""

    model: str
    layers: list[StreamLayer]
    methods: list[str]
    examples: list[int]
    """Numbers of examples whose pictures the study holds."""


class SheetPart(TypedDict):
    """How the maps of a layer lie in their sheet."""

    columns: int
    tile: tuple[int, int]
    """Height and width."""
    units: int
    signed: bool
    reach: Value
    peaks: list[Value]
    """Of each unit the largest magnitude."""


class MapPart(TypedDict):
    """The map of one unit."""

    unit: str
    size: tuple[int, int]
    """Height and width."""
    signed: bool
    reach: Value


class ProjectionPart(TypedDict):
    """The back-projection of one unit."""

    unit: str
    method: str
    position: list[int] | None
    box: Box | None
    activation: Value


class Part(TypedDict):
    """A picture behind a header."""

    name: Literal["sheet", "map", "projection", "input"]
    type: str
    bytes: int


class Seconds(TypedDict):
    """How long a frame took."""

    decode: float
    model: float
    draw: float


class Header(TypedDict):
    """What is said of a frame, before its pictures."""

    frame: int
    dropped: int
    seconds: Seconds
    predictions: list[Prediction]
    parts: list[Part]
    layer: NotRequired[str]
    sheet: NotRequired[SheetPart]
    map: NotRequired[MapPart]
    projection: NotRequired[ProjectionPart]
    example: NotRequired[int]
