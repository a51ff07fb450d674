"""What may be asked, checked as it comes in: bounded in number and size, and turned into plain values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from torchlurk.anatomy import Change, UnitPath
from torchlurk.server.live.drawing import TILE, Range
from torchlurk.server.live.frame import Wanted
from torchlurk.units import Unit

MOST_QUESTIONS = 64
MOST_STEPS = 512
"""Units of one branch: more than any network has layers in a row."""
MOST_POSITIONS = 4096
MOST_LISTED = 512
LONGEST_NAME = 512
LARGEST_TILE = 256
MOST_COLUMNS = 4096
STRONGEST_GAMMA = 10.0

Address = Annotated[str, Field(min_length=3, max_length=LONGEST_NAME, description="a unit, `layer:channel`")]
Number = Annotated[int, Field(ge=0, lt=2**31)]
Place = Annotated[list[Number], Field(max_length=4, description="a position in the unit's map")]
Method = Annotated[str, Field(max_length=40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskedBranch(_Strict):
    """A way down: the root first; without a position it is where the root is strongest."""

    units: list[Address] = Field(min_length=1, max_length=MOST_STEPS)
    position: Place | None = None

    def value(self) -> UnitPath:
        """As a plain value; raises `UnitError` for what is no address."""
        return UnitPath(tuple(Unit.parse(unit) for unit in self.units), None if self.position is None else tuple(self.position))


class AskedBranches(_Strict):
    """Nodes of a tree, answered in one batch."""

    branches: list[AskedBranch] = Field(min_length=1, max_length=MOST_QUESTIONS)
    method: Method = "guided"
    most: int = Field(default=8, ge=1, le=MOST_LISTED)


class AskedUses(_Strict):
    """A unit, at a position or in all of its map."""

    unit: Address
    position: Place | None = None
    most: int = Field(default=8, ge=1, le=MOST_LISTED)


class AskedChange(_Strict):
    """A unit's activation times `factor` plus `offset`, at these positions or everywhere."""

    unit: Address
    factor: float = Field(default=0.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    positions: list[Place] | None = Field(default=None, max_length=MOST_POSITIONS)

    def value(self) -> Change:
        """As a plain value."""
        places = None if self.positions is None else tuple(tuple(one) for one in self.positions)
        return Change(Unit.parse(self.unit), self.factor, self.offset, places)


class AskedPlace(_Strict):
    """A unit at a position."""

    unit: Address
    position: Place


class AskedEffects(_Strict):
    """Cases, each with changes of its own, and what is watched in all of them."""

    cases: list[Annotated[list[AskedChange], Field(max_length=MOST_QUESTIONS)]] = Field(min_length=1, max_length=MOST_QUESTIONS)
    watched: list[AskedPlace] = Field(default_factory=list, max_length=MOST_QUESTIONS)


class AskedExample(_Strict):
    """An example of the study's."""

    example: Number


class AskedClass(_Strict):
    """The mean over examples of a class."""

    of: Number = Field(alias="class")


class AskedView(_Strict):
    """What of the frames to come is looked at."""

    layer: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    unit: Address | None = None
    project: Address | None = None
    method: Method = "deconv"
    predictions: int = Field(default=5, ge=0, le=100)
    changes: list[AskedChange] = Field(default_factory=list, max_length=MOST_QUESTIONS)
    range: Range = "layer"
    gamma: float = Field(default=1.0, gt=0, le=STRONGEST_GAMMA)
    tile: int = Field(default=TILE, ge=1, le=LARGEST_TILE)
    sheet: StrictBool = True
    columns: int | None = Field(default=None, ge=1, le=MOST_COLUMNS)
    example: Number | None = None
    prepared: StrictBool = False
    input: StrictBool = False

    def wanted(self) -> Wanted:
        """What the model has to do for it."""
        project = None if self.project is None else Unit.parse(self.project)
        return Wanted(self.layer, project, self.method, self.predictions, tuple(one.value() for one in self.changes))
