"""What is found of one image in a network: plain frozen values, with no torch, that are drawn and sent.

A `position` is where in a layer's map; a `box` what that position sees of the input. Contributions are in the units of
the activation that they add to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Box
from torchlurk.units import Unit

INPUT = "input"
"""What the network's input is called among the layers that feed others."""


BIAS = "bias"
"""What is called so that is given to a unit by no layer."""


@dataclass(frozen=True, slots=True)
class UnitPath:
    """A way down from a unit: the unit at `position` (None: where it is strongest), then the chosen one of each layer below."""

    units: tuple[Unit, ...]
    position: tuple[int, ...] | None = None

    @property
    def root(self) -> Unit:
        """Where it begins."""
        return self.units[0]

    @property
    def last(self) -> Unit:
        """The node that it leads to."""
        return self.units[-1]

    def to(self, child: Unit) -> UnitPath:
        """One step further down."""
        return UnitPath((*self.units, child), self.position)


OutputKind = Literal["class", "label", "number"]
"""What an output stands for: one of several classes, whose probabilities add up to 1; a label that holds or not whatever the
others do; a number that is no probability."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One output of the network; `probability` is NaN for a number."""

    index: int
    label: str
    output: float
    probability: float
    kind: OutputKind = "class"


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """A unit in this image, at its strongest position.

    `percentile` is the share, 0 to 100, of the study's sample of examples on which the unit is weaker, and `standing` how
    many standard deviations of that sample it is above its mean; NaN where no study tells.
    """

    unit: Unit
    activation: float
    position: tuple[int, ...]
    box: Box | None
    percentile: float
    standing: float
    map: Float32[np.ndarray, " *position"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one unit, or the network's input, gives to another: activation × gradient, summed over its positions.

    `share` is that over the sum of the magnitudes of all contributions to the same node: with their signs dropped,
    the shares of all of them, listed or not, add up to 1. `bypasses` says that it comes past another of the layers
    that feed the node, over a skip. `position` is where it gives most (None in an average over images).
    """

    unit: Unit
    contribution: float
    share: float
    bypasses: bool
    activation: float
    position: tuple[int, ...] | None
    box: Box | None


@dataclass(frozen=True, slots=True)
class Feed:
    """All that one layer gives to a node: `count` units, `contribution` with signs, `share` of all magnitudes."""

    layer: str
    count: int
    contribution: float
    share: float
    bypasses: bool


@dataclass(frozen=True, slots=True)
class Makeup:
    """What a node is made of.

    `value` is what the unit's nonlinearity is applied to (the activation itself where it ends in none), at the node's
    position; of a node further down the mean over the positions by which it acts on the root, weighted by how much.
    It is the sum of all contributions and `rest`: biases, and whatever else no layer gives. `strongest` lists the
    contributions of the largest magnitude, `feeds` all of them by layer.
    """

    branch: UnitPath
    value: float
    rest: float
    strongest: tuple[Contribution, ...]
    feeds: tuple[Feed, ...]

    @property
    def held_down_by(self) -> tuple[str, ...]:
        """What takes most away from a value below zero, most first: listed units, the input, `BIAS`; nothing from one above."""
        given = [(one.contribution, INPUT if one.unit.layer == INPUT else str(one.unit)) for one in self.strongest]
        against = sorted(one for one in (*given, (self.rest, BIAS)) if one[0] < 0)
        return tuple(dict.fromkeys(name for _, name in against)) if self.value < 0 else ()


@dataclass(frozen=True, slots=True)
class Use:
    """A unit that another one feeds: by how much at most, where, and the unit's activation there."""

    unit: Unit
    contribution: float
    activation: float
    position: tuple[int, ...]
    box: Box | None


@dataclass(frozen=True, slots=True)
class Change:
    """Units' activations times `factor`, at `positions` (None: everywhere), then plus `offset`: 0 and 0 deletes."""

    unit: Unit
    factor: float = 0.0
    offset: float = 0.0
    positions: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes did: to the units watched, at their positions, and to the predictions that were highest before."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    predictions_before: tuple[Prediction, ...]
    predictions_after: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PathPicture:
    """What of the input reaches a node's root through the chosen units alone, by `method`; signed, zero is nothing.

    `box` is the smallest that holds all of it.
    """

    branch: UnitPath
    method: str
    values: Float32[np.ndarray, "height width channel"]
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class TreeNode:
    """A node of the tree beneath a unit; `contribution` is what it gives to its parent, None for the root."""

    branch: UnitPath
    activation: float
    position: tuple[int, ...] | None
    box: Box | None
    contribution: Contribution | None
    makeup: Makeup
    picture: PathPicture
    children: tuple[TreeNode, ...] = field(default_factory=tuple)

    @property
    def off(self) -> bool:
        """Whether it is a root whose nonlinearity makes zero of a value below zero."""
        return self.contribution is None and self.activation == 0 and self.makeup.value < 0

    def nodes(self) -> list[TreeNode]:
        """It and all below it, parents before their children."""
        return [self, *(node for child in self.children for node in child.nodes())]
