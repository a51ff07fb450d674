"""What is said of a layer as a whole: the effective field, and how each method does with random weights below.

A conclusion is a function of the layer's stored attributions. It is drawn anew, in the transaction that stores them, whenever
the exemplars that it rests on are others than before; so it is the same however often the work was interrupted.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import nn

from torchlurk.attribution import evidence
from torchlurk.attribution.batches import Attributes, Pairs
from torchlurk.records import ALIKE, Exemplar, Layer, MethodCheck

CHECKED_UNITS = 6
"""Units that stand for their layer."""

FIELD_METHOD = "gradient"
"""The method whose attributions tell where the mass of the gradient lies."""

Rows = Mapping[str, frozenset[tuple[int, int]]]
"""The attributions of a layer's exemplars by max, by method: (channel, rank)."""


def standing_for(seed: int, layer: str, channels: Iterable[int]) -> list[int]:
    """Those of the units that stand for the layer: the same few, as far as they are given, whichever others are."""

    def draw(channel: int) -> bytes:
        return sha256(f"{seed} {layer}:{channel}".encode()).digest()

    return heapq.nsmallest(CHECKED_UNITS, sorted(set(channels)), key=draw)


def resting_on(seed: int, layer: str, rows: frozenset[tuple[int, int]]) -> list[tuple[int, int]]:
    """The exemplars of the units that stand for the layer, which are chosen among those whose strongest is there."""
    channels = standing_for(seed, layer, (channel for channel, rank in rows if rank == 0))
    return sorted(row for row in rows if row[0] in channels)


@dataclass(frozen=True, slots=True)
class Concluded:
    """What is to be stored: of each method its check, or that there is none; the effective field, if it changed."""

    checks: Mapping[str, MethodCheck | None]
    field: tuple[float, float] | None
    new_field: bool


NOTHING_NEW = Concluded({}, None, new_field=False)
"""Where nothing is to be stored."""


class Conclusions:
    """Those of one layer. `weights` are those below it, `exemplars` gives those of a channel by max, by their rank."""

    def __init__(
        self,
        layer: Layer,
        maker: Attributes,
        network: nn.Module,
        weights: Sequence[str],
        seed: int,
        exemplars: Callable[[int], Mapping[int, Exemplar]],
    ) -> None:
        self._layer, self._maker, self._network, self._weights = layer, maker, network, weights
        self._seed, self._exemplars = seed, exemplars

    def drawn(self, before: Rows, after: Rows) -> Concluded:
        """What changes with the attributions stored: from those `before` to those `after`."""
        bases = {name: self._strongest(after.get(name, frozenset())) for name in sorted(after)}
        new = {name: basis for name, basis in bases.items() if basis != self._strongest(before.get(name, frozenset()))}
        field = self._of_standing(after.get(FIELD_METHOD, frozenset()))
        new_field = field != self._of_standing(before.get(FIELD_METHOD, frozenset()))
        return Concluded(self._checks(new), self._field(field) if new_field else None, new_field)

    def _of_standing(self, rows: frozenset[tuple[int, int]]) -> list[tuple[int, int]]:
        return resting_on(self._seed, self._layer.name, rows)

    def _strongest(self, rows: frozenset[tuple[int, int]]) -> list[tuple[int, int]]:
        return [row for row in self._of_standing(rows) if row[1] == 0]

    def _pairs(self, rows: Sequence[tuple[int, int]]) -> Pairs:
        channels = tuple(channel for channel, _ in rows)
        return Pairs("max", channels, tuple(self._exemplars(channel)[rank] for channel, rank in rows))

    def _field(self, rows: Sequence[tuple[int, int]]) -> tuple[float, float] | None:
        spreads = list(self._maker.spreads(FIELD_METHOD, self._pairs(rows))) if rows else []
        if not spreads:
            return None
        height, width = torch.cat(spreads).nanmedian(0).values.tolist()
        return (height, width) if math.isfinite(height) and math.isfinite(width) else None

    def _checks(self, bases: Mapping[str, Sequence[tuple[int, int]]]) -> dict[str, MethodCheck | None]:
        """For each method, with the exemplars that its check rests on."""
        if not bases or not self._weights:
            return {}
        generator = torch.Generator().manual_seed(self._seed)
        shuffled = evidence.shuffled(self._network, self._weights, generator)
        found: dict[str, MethodCheck | None] = dict.fromkeys(bases)
        for rows in dict.fromkeys(tuple(rows) for rows in bases.values() if rows):
            names = [name for name, own in bases.items() if tuple(own) == rows]
            found |= {name: _check(name, one) for name, one in self._maker.alike(names, shuffled, self._pairs(rows)).items()}
        return found


def _check(name: str, similarities: Sequence[float]) -> MethodCheck | None:
    finite = [one for one in similarities if math.isfinite(one)]
    if not finite:
        return None
    mean = sum(finite) / len(finite)
    return MethodCheck(name, mean, mean > ALIKE)
