"""Plain frozen values that pass between the packages and into the store. No torch here: a study is read without it.

Axis names: `unit` a channel of the layer at hand, `k` a rank, `class` an index into the classes, `example` an index
into some list of examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from torchlurk.track_records import Known
from torchlurk.units import PART

Layout = Literal["spatial", "vector", "tokens", "sequence"]
Tap = Literal["activation", "output"]
GATES = frozenset({"i", "f", "g", "o", "r", "z", "n"})
"""Streams of recurrent modules that are gates and candidates, by their letters in torch's documentation."""

OPENINGS = GATES - {"g", "n"}
"""Those that are between 0 and 1, shut and open."""

KEEPING = frozenset({"f", "z"})
"""The gates that say how much of a cell or state is kept from step to step."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the network's input; x1 and y1 are exclusive."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer whose output has channels.

    `shape` is the extent of one unit's map: (height, width), (token,), (time,) or () for a vector.
    `channel_axis` is where the channels are in the module's own output, batch included: 1 or -1.
    `receptive_field` (height, width) and `stride` (vertical, horizontal) are in input pixels, None where a
    position has none (it sees the whole input); a stride is negative where the map is mirrored. By that of a sequence it runs
    `backward` or `apart`.
    `read_after` names the operations between the module's output and the value that counts as the unit's activation,
    in order, for example ("batch_norm", "relu"); empty when it is the module's own output. `read_at` names the calls
    that do them, through which the output is followed: a module by its path, a function as `relu()`. `together` says
    whether several examples may share a pass: not where the model's code reads numbers out of tensors before this layer, for
    then which way it goes may depend on all of them. Of a recurrent module `module` is the call that the layer is read of and
    `stream` what is read of it: a layer and direction (`l0`, `l1_reverse`), with a cell or gate after a dot (`l0.c`), or
    of a cell that the model calls in a loop that alone (`c`); both are empty for every other layer. A `sequence` has the
    steps of the longest example known as its `shape`. `batch_axis` is where the examples are in the module's own output.
    """

    name: str
    type: str
    layout: Layout
    channels: int
    shape: tuple[int, ...]
    channel_axis: int = 1
    parameters: int = 0
    receptive_field: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    nonlinearity: str | None = None
    read_after: tuple[str, ...] = ()
    read_at: tuple[str, ...] = ()
    by_default: bool = True
    together: bool = True
    module: str = ""
    stream: str = ""
    batch_axis: int = 0

    @property
    def gate(self) -> bool:
        """Whether these are gates of a recurrent module (or the candidates that a gate lets in), not states or cells."""
        return self._of_stream in GATES

    @property
    def opens(self) -> bool:
        """Whether these are gates proper, between 0 and 1."""
        return self._of_stream in OPENINGS

    @property
    def keeps(self) -> bool:
        """Whether these are gates that say how much of a value is kept from step to step."""
        return self._of_stream in KEEPING

    @property
    def state(self) -> bool:
        """Whether these are the states of a layer and direction of a recurrent module, or of a cell."""
        return bool(self.module) and (not self.stream or PART.fullmatch(self.stream) is not None)

    @property
    def kept(self) -> bool:
        """Whether these are states or cells of a recurrent module, of which a gate may keep some from step to step."""
        return self.state or (bool(self.module) and self._of_stream == "c")

    @property
    def inner(self) -> bool:
        """Whether these are gates, candidates or cells, which are inside of what gives a recurrent module's states."""
        return self.gate or self._of_stream == "c"

    @property
    def reads_backward(self) -> bool:
        """Whether these belong to the direction of a recurrent module that reads from the last step to the first."""
        return self.stream.partition(".")[0].endswith("_reverse")

    @property
    def _of_stream(self) -> str:
        """What is read of a layer and direction, or of a cell; for its states this is no stream's letter."""
        return self.stream.rpartition(".")[2]

    @property
    def backward(self) -> bool:
        """Whether the model goes through the steps from the last to the first; positions are in the order of the steps."""
        return self.layout == "sequence" and self.stride is not None and self.stride[1] < 0

    @property
    def apart(self) -> bool:
        """Whether its steps are none of the example's, as those of a decoder that has read all of it before its first."""
        return self.layout == "sequence" and self.stride is not None and self.stride[1] == 0

    @property
    def positions(self) -> int:
        """How many positions one unit's map has."""
        return math.prod(self.shape)

    def position(self, flat: int) -> tuple[int, ...]:
        """The position with row-major index `flat`; on an example with more steps than `shape` has, it may be beyond that."""
        if self.layout == "sequence":
            return (flat,)
        return tuple(int(index) for index in np.unravel_index(flat, self.shape)) if self.shape else ()


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph: the input, a call of a module, an operation outside any leaf module, or the
    output.

    `name` is the layer's name for a module (`features.3`, `act#1` for its second call) or the operation's
    (`add`); `module` is the dotted path of the innermost module in whose forward it ran ('' for the model
    itself); `shape` is that of its output, without the batch.
    """

    id: int
    kind: Literal["input", "module", "operation", "output"]
    name: str
    module: str
    type: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """What feeds what, as it ran: `edges` are (source id, target id), in the order of execution of the target."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Class:
    """One class of the data set: `name` as the data calls it (a folder), `label` as people do."""

    index: int
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Example:
    """One item of the data set; `path` is relative to the data's folder ('' for items without a file)."""

    index: int
    path: str
    class_index: int | None


@dataclass(frozen=True, slots=True)
class Skip:
    """Something in the data that was passed over, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the network's input: resize, centre crop, to 0..1, less `mean`, by `std`.

    `resize` is None, (shorter side,) or (height, width); `crop` is (height, width). `mean` and `std` have one
    value a channel, in units of the 0..1 range.
    """

    resize: tuple[int, ...] | None = None
    crop: tuple[int, int] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def channels(self) -> int:
        """How many channels the network's input has: 1 is grey, 3 is RGB."""
        return len(self.mean)


@dataclass(frozen=True, slots=True)
class Ranking:
    """For each unit its examples, strongest first; equal scores go to the lower example index.

    Where a unit has fewer than k, `examples` is -1 and `scores` NaN. `positions` are row-major indices into the
    unit's map, `boxes` their receptive fields; both None where an example counts as a whole.
    """

    scores: Float32[np.ndarray, "unit k"]
    examples: Int64[np.ndarray, "unit k"]
    positions: Int32[np.ndarray, "unit k"] | None = None
    boxes: Int32[np.ndarray, "unit k 4"] | None = None


@dataclass(frozen=True, slots=True)
class UnitStatistics:
    """Statistics of each unit over all examples and positions; NaN where undefined.

    `fraction_active` is the share of (example, position) with activation > 0; `selectivity` is from 0 to 1, see
    `unit_statistics`. `more` are the statistics that only some layers or studies have, by name.
    """

    mean: Float64[np.ndarray, " unit"]
    std: Float64[np.ndarray, " unit"]
    min: Float64[np.ndarray, " unit"]
    max: Float64[np.ndarray, " unit"]
    fraction_active: Float64[np.ndarray, " unit"]
    selectivity: Float64[np.ndarray, " unit"]
    more: Mapping[str, Float64[np.ndarray, " unit"]] = field(default_factory=dict)

    def by_name(self) -> dict[str, Float64[np.ndarray, " unit"]]:
        """All of them."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "more"} | dict(self.more)

    def dead(self) -> Bool[np.ndarray, " unit"]:
        """Which units are dead, as `UnitRecord.dead` says of one."""
        return np.asarray((self.fraction_active == 0) & (self.min == self.max), bool)


@dataclass(frozen=True, slots=True)
class LayerScan:
    """What the scan found for the units of one layer.

    `quantiles` holds examples at the study's quantile levels of the per-example max, lowest level first.
    `class_max` and `class_mean` are means over a class's examples of the per-example max and mean, NaN for a
    class without examples. `sample` is the per-example max on the study's sample of examples.
    """

    statistics: UnitStatistics
    by_max: Ranking
    by_mean: Ranking
    quantiles: Ranking
    class_max: Float32[np.ndarray, "unit class"]
    class_mean: Float32[np.ndarray, "unit class"]
    sample: Float32[np.ndarray, "unit example"]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One example among a unit's strongest; `position`, `box` and `recall` only where ranked by `max`.

    Of a text or series there is a `reach` instead of a box: the steps that the position can have seen, half-open; of a text
    also the `token` at the position and what stands before and after it. In a layer with steps `apart` the position is (), and
    `own_step` which of these it is. `last_steps` has, for 1, 4, 16 and 64 steps, the share of the activation that is left when
    only the steps closer to the position than that stay and all others say nothing. Shares of a `faint` one say nothing.
    """

    rank: int
    example: int
    path: str
    class_label: str | None
    score: float
    position: tuple[int, ...] | None = None
    box: Box | None = None
    recall: float | None = None
    reach: tuple[int, int] | None = None
    token: str | None = None
    context: tuple[str, str] | None = None
    last_steps: tuple[tuple[int, float], ...] = ()
    own_step: int | None = None
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Attribution:
    """A picture, over `box`, of what in one exemplar excited a unit, made by a method.

    `picture` is the SHA-256 of a stored picture of signed numbers, 128 being zero, and `scale` what its levels are worth,
    as `rendering.levels` has it (in studies of before: of 127 even steps). `kept` is the share of the activation that is
    left when only the tenth of the input's pixels with the largest attribution is kept, the rest being the data's mean
    colour; NaN where it was not measured.
    """

    ranking: Literal["max", "mean"]
    rank: int
    method: str
    box: Box
    picture: str
    scale: float
    kept: float = math.nan


@dataclass(frozen=True, slots=True)
class StepAttribution:
    """What in one exemplar that is a text or series excited a unit, by a method: a number a token, or a step and channel.

    `kept` is the share of the activation that is left when only the tenth of the steps with the largest attribution is kept
    and the others say nothing; `conserved` the share of it that lrp's numbers add up to. NaN: not measured.
    """

    ranking: Literal["max", "mean"]
    rank: int
    method: str
    values: Float32[np.ndarray, "time channel"]
    kept: float = math.nan
    conserved: float = math.nan


ALIKE = 0.15
"""A similarity above this, with the weights below shuffled, means that pictures are made by the image.

It lies between what `gradient` gives, which has to change (at most 0.06 on ten layers of two networks), and what the methods
give that are known not to (0.18 to 0.31 on a network trained on photographs): docs/decisions/the-randomization-check.md.
"""


@dataclass(frozen=True, slots=True)
class MethodCheck:
    """How alike a method's pictures of a layer are with those of the same network with random weights below.

    `similarity` is 1 where nothing changes; `marked` is whether it is above `ALIKE`, so that the pictures show the image, not
    the unit (Adebayo et al. 2018, arXiv 1810.03292).
    """

    method: str
    similarity: float
    marked: bool


@dataclass(frozen=True, slots=True)
class Synthesis:
    """An input that was optimized to excite a unit, by a preset.

    `picture` is the SHA-256 of the stored picture, with an alpha channel where the preset gives transparency.
    `activation` is what the unit reaches on it, by the measure by which exemplars are ranked by max; `ratio` that
    divided by the best exemplar's score, `percentile` the share of the sample's examples below it, from 0 to 100,
    `robustness` the share of it that is left, in the mean, under transforms that it was not made with. `marked` says
    in words why the picture is not to be trusted, None where nothing speaks against it. NaN: not known.
    """

    preset: str
    picture: str
    activation: float
    ratio: float = math.nan
    percentile: float = math.nan
    robustness: float = math.nan
    marked: str | None = None
    seed: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Remark:
    """What people have noted of a unit: a name, a text, a star. `written` is when, in UTC."""

    name: str = ""
    text: str = ""
    starred: bool = False
    written: str = ""


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """Everything a study knows of one unit.

    `classes` maps "max" and "mean" to a value for each class, NaN where it has none; `knows` is how well it tells each track
    of a text, `output` what it stands for where it is an output, if that was looked up.
    """

    layer: Layer
    channel: int
    statistics: Mapping[str, float]
    exemplars: Mapping[str, tuple[Exemplar, ...]]
    classes: Mapping[str, Float32[np.ndarray, " class"]]
    sample: Float32[np.ndarray, " example"] = field(default_factory=lambda: np.zeros(0, np.float32))
    knows: tuple[Known, ...] = ()
    output: str = ""

    @property
    def dead(self) -> bool:
        """Whether the unit was never above zero, and the same everywhere, on any example at any position.

        A unit whose values are below zero throughout and vary (a state of tanh, a logit) has learned something.
        """
        return self.statistics["fraction_active"] == 0 and self.statistics["min"] == self.statistics["max"]
