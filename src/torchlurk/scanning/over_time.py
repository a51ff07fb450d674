"""What is counted of a layer's units over the steps of texts and series, beside what is known of every layer.

A further kind of count is a class with the methods of `OverTime` and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from torchlurk.inputs.text.frequencies import FrequentTokens
from torchlurk.records import Layer
from torchlurk.scanning.gates import GateSums
from torchlurk.scanning.steps import Seen
from torchlurk.scanning.token_responses import TokenSums


@runtime_checkable
class OverTime(Protocol):
    """A running count of one layer's units. Counts of disjoint sets of examples merge to that of all, up to rounding."""

    def add(self, layer: Layer, maps: Float[Tensor, "batch unit time"], seen: Seen) -> None:
        """Takes in what the units did at every step of some examples, burn-in included."""

    def merge(self, other: Any) -> None:
        """Takes in the count of other examples, which is of the same kind."""

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays."""

    def by_unit(self) -> dict[str, Shaped[np.ndarray, "unit ..."]]:
        """Sums from which statistics of units follow (`Statistic.counted`), by name."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> OverTime:
        """The count whose `arrays` these are."""


KINDS: Mapping[str, type[OverTime]] = {"gate": GateSums, "tokens": TokenSums}
"""By the name under which a running scan saves them."""


def begun(layers: Sequence[Layer], tokens: FrequentTokens | None) -> dict[str, dict[str, OverTime]]:
    """What is counted, by layer and kind, of those of which anything is; `tokens` are those of a text."""
    found = {layer.name: _begun(layer, tokens) for layer in layers}
    return {name: counts for name, counts in found.items() if counts}


def _begun(layer: Layer, tokens: FrequentTokens | None) -> dict[str, OverTime]:
    counts: dict[str, OverTime] = {}
    if layer.opens:
        counts["gate"] = GateSums.empty(layer.channels)
    if tokens is not None and layer.layout == "sequence" and not layer.inner:
        counts["tokens"] = TokenSums.empty(len(tokens), layer.channels)
    return counts


def counts_of(
    layer: Layer, layers: Sequence[Layer], over_time: Mapping[str, Mapping[str, OverTime]]
) -> dict[str, dict[str, Shaped[np.ndarray, "unit ..."]]]:
    """What was counted of a layer, by kind, of each unit; of states and cells, that of the gate that keeps them."""
    keeper = next((one.name for one in layers if one.keeps and _keeps(one, layer)), "")
    counts = {**over_time.get(keeper, {}), **over_time.get(layer.name, {})}
    return {kind: one.by_unit() for kind, one in counts.items()}


def _keeps(gate: Layer, layer: Layer) -> bool:
    """Whether a gate says how much of a layer's values is kept: of the cells of its own part, and, where each state is made of
    the one cell with its number, of these.
    """
    part, _, letter = gate.stream.rpartition(".")
    cell = f"{part}.c" if part else "c"
    of_cell = letter == "f" and layer.stream == cell
    return gate.module == layer.module and (of_cell or (layer.stream == part and layer.channels == gate.channels))


def merge(left: Mapping[str, OverTime], right: Mapping[str, OverTime]) -> None:
    """Takes the counts on the right into those of the same kinds on the left."""
    for kind, one in left.items():
        one.merge(right[kind])


def arrays_of(counts: Mapping[str, OverTime]) -> dict[str, Shaped[np.ndarray, ...]]:
    """All counts of a layer, as plain arrays by `kind/field`."""
    return {f"{kind}/{name}": array for kind, one in counts.items() for name, array in one.arrays().items()}


def from_arrays(arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> dict[str, OverTime]:
    """The counts whose `arrays_of` these are."""
    by_kind: dict[str, dict[str, Shaped[np.ndarray, ...]]] = {}
    for path, array in arrays.items():
        kind, _, name = path.partition("/")
        by_kind.setdefault(kind, {})[name] = array
    return {kind: KINDS[kind].from_arrays(found) for kind, found in by_kind.items()}
