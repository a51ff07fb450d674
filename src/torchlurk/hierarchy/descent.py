"""Down a branch: at each layer only what goes through the chosen unit goes on (cnn_treevis, for graphs with branches)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.anatomy import INPUT, UnitPath
from torchlurk.attribution import rules
from torchlurk.attribution.methods import ByRule
from torchlurk.attribution.relevance import relevance
from torchlurk.errors import OptionError, UnitError, nearest
from torchlurk.hierarchy.segments import Fed, Maps, Segments
from torchlurk.models.taps.backward_rules import Rule
from torchlurk.tables import METHODS
from torchlurk.units import Unit


@dataclass(frozen=True, slots=True)
class Passage:
    """How a signal goes back: `rule` at rectifications, `at_root` at that of the unit it begins with.

    With `relevance` it starts as the unit's activation and what does not go through the chosen unit is lost
    (Achtibat et al. 2022, arXiv 2206.03208); else it starts as 1, and what is kept is enlarged to all that there was.
    """

    rule: Rule
    at_root: Rule
    relevance: bool = False


def passages() -> dict[str, Passage]:
    """By the name of the method that draws it: those of rules, and relevance."""
    by_rule = {name: one for name, one in METHODS.items() if isinstance(one, ByRule) and not one.times_input}
    found = {name: Passage(one.rule, one.at_unit or one.rule) for name, one in by_rule.items()}
    relevant = [name for name, one in METHODS.items() if one is relevance]
    return found | {name: Passage(rules.gradient, rules.gradient, relevance=True) for name in relevant}


def passage(method: str) -> Passage:
    """The passage of that name; raises `OptionError` for none."""
    known = passages()
    if method not in known:
        raise OptionError(
            f"method '{method}' cannot draw pictures along a path{nearest(method, known)}", f"use {', '.join(known)}"
        )
    return known[method]


@dataclass(slots=True)
class Arrival:
    """Where branches lead: for each the signal at what its last unit's nonlinearity is applied to, and at the input."""

    at_last: list[Float[Tensor, "*_position"]]
    at_input: Float[Tensor, "batch ..."]


def descend(
    segments: Segments, branches: Sequence[UnitPath], positions: Sequence[tuple[int, ...]], way: Passage, *, to_input: bool
) -> Arrival:
    """Down branches, each with its root at that position of its map: several in turn in each input of the pass.

    Rows are as `Maps` has them: row r is about input r modulo their number.

    Where a root's nonlinearity lets nothing through (a ReLU that is off, a ReLU6 at its ceiling), the branch begins before it,
    at the root's sum: from one that is held down, with what holds it down; from one at its ceiling, with what drives it there.

    Without `to_input` nothing goes further than the last unit, and `at_input` is zero. Raises `UnitError` for a step
    that does not lead to a layer that feeds the one before.
    """
    _check(segments, branches)
    nowhere = [torch.zeros_like(segments.activations(one.last.layer)[0, one.last.channel]) for one in branches]
    arrival = Arrival(nowhere, segments.nothing(INPUT, len(branches)))
    signals: dict[str, Tensor] = {}
    for layer in reversed(segments.layers):
        at_sums = _at_sums(segments, layer, signals.pop(layer, None), branches, positions, way)
        if at_sums is None:
            continue
        for row, branch in enumerate(branches):
            if branch.last.layer == layer:
                arrival.at_last[row] = at_sums[row, branch.last.channel].clone()
                if not to_input:
                    at_sums[row] = 0
        if not at_sums.any():
            continue
        found = segments.to_feeders(layer, at_sums, way.rule)
        for row, branch in enumerate(branches):
            below = _next(branch, layer)
            if below is not None:
                _keep(found, row, below, enlarge=not way.relevance)
        for name, signal in found.items():
            signals[name] = signals[name] + signal if name in signals else signal
    if to_input and INPUT in signals:
        arrival.at_input = signals[INPUT]
    return arrival


def _at_sums(
    segments: Segments,
    layer: str,
    signal: Maps | None,
    branches: Sequence[UnitPath],
    positions: Sequence[tuple[int, ...]],
    way: Passage,
) -> Maps | None:
    """The signal at what the layer's nonlinearity is applied to: what has come down, and what begins here."""
    found = None if signal is None else segments.to_sums(layer, signal, way.rule).clone()
    beginning = [row for row, branch in enumerate(branches) if branch.root.layer == layer]
    if beginning:
        seed = segments.nothing(layer, len(branches))
        activations = segments.activations(layer)
        for row in beginning:
            place = (branches[row].root.channel, *positions[row])
            seed[row][place] = activations[row % segments.batch][place] if way.relevance else 1.0
        begun = segments.to_sums(layer, seed, way.at_root).clone()
        for rows in _questions(beginning, segments.batch):
            if not begun[rows].any():
                _begin_before(segments, begun, rows, branches, positions, way)
        found = begun if found is None else found + begun
    return found


def _questions(rows: Sequence[int], batch: int) -> list[list[int]]:
    """The rows by question: those of all inputs, for each."""
    return [[row for row in rows if row // batch == question] for question in dict.fromkeys(row // batch for row in rows)]


def _begin_before(
    segments: Segments,
    signal: Maps,
    rows: Sequence[int],
    branches: Sequence[UnitPath],
    positions: Sequence[tuple[int, ...]],
    way: Passage,
) -> None:
    """Begins at what the nonlinearity of a root is applied to, which it does not let through for any of the inputs."""
    layer = branches[rows[0]].root.layer
    sums, activations = segments.sums(layer), segments.activations(layer)
    for row in rows:
        place = (branches[row].root.channel, *positions[row])
        before, after = sums[row % segments.batch][place], activations[row % segments.batch][place]
        if way.relevance:
            signal[row][place] = before
        else:
            signal[row][place] = 1.0 if before > after else -1.0


def _next(branch: UnitPath, layer: str) -> Unit | None:
    """The unit that the branch goes on to from this layer; None where it ends in it, or does not come by."""
    for above, below in zip(branch.units, branch.units[1:], strict=False):
        if above.layer == layer:
            return below
    return None


def _keep(found: Fed, row: int, unit: Unit, *, enlarge: bool) -> None:
    """Of what goes on in one row, only what goes through the unit; enlarged by all that there was over what is kept."""
    kept = found[unit.layer][row, unit.channel].clone()
    if enlarge:
        every = sum(signal[row].abs().sum() for signal in found.values())
        own = kept.abs().sum()
        kept = kept * torch.where(own > 0, every / own.clamp(min=torch.finfo(own.dtype).tiny), 0.0)
    for signal in found.values():
        signal[row] = 0
    found[unit.layer][row, unit.channel] = kept


def _check(segments: Segments, branches: Sequence[UnitPath]) -> None:
    for branch in branches:
        for unit in branch.units:
            check_unit(segments, unit)
        for above, below in zip(branch.units, branch.units[1:], strict=False):
            feeders = segments.feeders(above.layer)
            if below.layer not in feeders:
                raise UnitError(
                    f"layer '{below.layer}' does not directly feed '{above.layer}'", f"it is fed by {', '.join(feeders)}"
                )


def check_unit(segments: Segments, unit: Unit) -> None:
    """Raises `UnitError` for a unit that the pass does not have."""
    if unit.layer not in segments.layers:
        raise UnitError(
            f"no layer '{unit.layer}' is open here{nearest(unit.layer, segments.layers)}",
            f"available: {', '.join(segments.layers)}",
        )
    channels = segments.layers[unit.layer].channels
    if not 0 <= unit.channel < channels:
        raise UnitError(f"layer '{unit.layer}' has no channel {unit.channel}", f"it has {channels}, counted from 0")
