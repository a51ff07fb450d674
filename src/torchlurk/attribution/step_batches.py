"""Units on texts and series with their exemplars, some at once: their attributions by several methods, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.batches import KEPT_RANKS, Made, Pairs, Piece, Ranking
from torchlurk.attribution.methods import ByRule, by_rules
from torchlurk.attribution.methods import method as method_named
from torchlurk.attribution.relevance import conservation, relevance, relevance_plus
from torchlurk.attribution.steps import SeriesReadout, Steps, TextReadout, of_tokens
from torchlurk.attribution.views import Examples
from torchlurk.errors import MissingExtraError, ModelError, TorchlurkError
from torchlurk.input_records import step_at
from torchlurk.inputs.source import Source
from torchlurk.models.taps.arguments import Companions, accompanied, of_rows
from torchlurk.models.taps.readout import Readout, UnreachedError
from torchlurk.records import Exemplar, Layer, StepAttribution
from torchlurk.scanning.steps import Counted, counted_positions, positions_held

STEPS_AT_ONCE, PAIRS_AT_ONCE = 8192, 64
"""Of one pass on a CPU at most: steps of all its pairs, and pairs."""

STEPS_THERE, PAIRS_THERE = 65536, 512
"""The same on any other device; where they do not fit into its memory, pieces are halved."""

LAST_STEPS = (1, 4, 16, 64)
"""So many steps up to the position are left alone, to see what they excite."""


@dataclass(frozen=True, slots=True)
class StepScene:
    """What the pairs of a study of texts or series have in common; `tolerance` is what counts as unchanged."""

    examples: Examples
    tolerance: float
    device: torch.device

    @property
    def source(self) -> Source:
        """See `torchlurk.attribution.job.Scene`."""
        return self.examples.source

    def on(self, device: torch.device) -> StepScene:
        """The same on another device."""
        return replace(self, examples=self.examples.on(device), device=device)

    def attributor(self, network: nn.Module, layer: Layer, undefined: set[str]) -> StepAttributor:
        """What attributes units of a layer with that network; see `torchlurk.attribution.job.Scene`."""
        return StepAttributor(self, network, layer, undefined)

    def counted(self, example: int) -> Counted:
        """The steps of an example that count, and how many there are."""
        lengths = self.source.lengths
        steps = self.examples.inputs([example]).shape[1] if lengths is None else int(lengths[example])
        return Counted(*self.source.counted(example), steps)


@dataclass(frozen=True, slots=True)
class Stepped:
    """An attribution of a pair, to be stored."""

    ranking: Ranking
    channel: int
    exemplar: Exemplar
    method: str
    values: Float32[np.ndarray, "time channel"]
    kept: float
    conserved: float

    def stored(self, write_picture: Callable[[str, bytes], str]) -> StepAttribution:
        """Its record."""
        return StepAttribution(self.ranking, self.exemplar.rank, self.method, self.values, self.kept, self.conserved)


@dataclass(frozen=True, slots=True)
class _Given:
    """Pairs as a readout takes them."""

    pairs: Pairs
    readout: Readout
    inputs: Steps
    channels: Int[Tensor, " pair"]
    positions: Int[Tensor, " pair"] | None
    text: bool
    companions: Companions

    def chosen(self, rows: Sequence[int]) -> _Given:
        """Some of them."""
        places = None if self.positions is None else self.positions[rows]
        beside = {name: one[rows] for name, one in self.companions.items()}
        inputs, channels = self.inputs[rows], self.channels[rows]
        return replace(self, pairs=self.pairs.at(rows), inputs=inputs, channels=channels, positions=places, companions=beside)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Around passes."""
        with self.readout.ready(), accompanied(self.readout.module, self.companions):
            yield

    def activations(self) -> Float[Tensor, " pair"]:
        """Of each unit at its position, or its mean."""
        with self.ready(), torch.no_grad():
            found: Tensor = self.readout(self.inputs, self.channels, self.positions)
            return found

    def left(self, seen: Bool[Tensor, "pair time"], activations: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """The share of the activations that is left when all other steps say nothing; NaN where there is none to share."""
        silence = self.readout.neutral(self.inputs)
        assert silence is not None
        with self.ready(), torch.no_grad():
            try:
                left = self.readout(torch.where(seen[..., None], self.inputs, silence), self.channels, self.positions)
            except UnreachedError:
                return torch.full_like(activations, torch.nan)
        return torch.where(activations > 0, left / activations, torch.nan)

    def shown(self, method: str, found: Steps) -> Float[Tensor, "pair time number"]:
        """Attributions as people see them: of a text a number a token."""
        return of_tokens(method, found)[..., None] if self.text else found


class StepAttributor:
    """Attributes units of one layer on texts or series.

    `undefined` are the methods known not to be defined for the layer; makers of the same layer share it.
    """

    def __init__(self, scene: StepScene, network: nn.Module, layer: Layer, undefined: set[str]) -> None:
        self._scene, self._network, self._layer, self._undefined = scene, network, layer, undefined

    def pieces(self, pairs: Pairs) -> Iterator[Pairs]:
        """The pairs in pieces of examples that are equally long and count alike."""
        groups: dict[Counted, list[int]] = {}
        for row, one in enumerate(pairs.exemplars):
            groups.setdefault(self._scene.counted(one.example), []).append(row)
        for counted, rows in groups.items():
            equal = pairs.at(rows)
            for alike in self._scene.examples.alike([one.example for one in equal.exemplars]):
                yield from equal.at(alike).cut(self._at_once(counted.steps))

    def _at_once(self, steps: int) -> int:
        there = self._scene.device.type != "cpu"
        together, most = (STEPS_THERE, PAIRS_THERE) if there else (STEPS_AT_ONCE, PAIRS_AT_ONCE)
        return min(most, max(1, together // max(1, steps)))

    def __call__(self, piece: Piece) -> Made:
        """What there is to know of the pairs; raises `StudyError` for an input that cannot be read any more."""
        made = Made()
        names = list(dict.fromkeys(name for one in piece.pairs.channels for name in piece.methods.get(one, ())))
        try:
            given = self._given(self._network, piece.pairs)
        except ModelError as error:
            for name in names:
                self._refuse(name, error, made)
            return made
        activations = given.activations()
        same = self._unchanged(given.pairs, activations)
        if piece.pairs.ranking == "max":
            self._last_steps(given, [row for row, fits in enumerate(same) if fits], activations, made)
        wanted = {name: self._wanted(piece, name, same) for name in names}
        for name, found in self._found(given, [name for name, rows in wanted.items() if rows], made).items():
            self._attribute(given.chosen(wanted[name]), name, found[wanted[name]], activations[wanted[name]], made)
        return made

    def spreads(self, method: str, pairs: Pairs) -> Iterator[Float[Tensor, "pair 2"]]:
        """Where the mass of the attributions lies: see `evidence.spread_of`; steps have a height of one."""
        for some in self.pieces(pairs):
            given = self._given(self._network, some)
            for found in self._found(given, [method], Made()).values():
                yield evidence.spread_of(given.shown(method, found).movedim(-1, 1)[:, :, None])

    def alike(self, methods: Sequence[str], shuffled: nn.Module, pairs: Pairs) -> dict[str, list[float]]:
        """By method, how alike the attributions are with those of another network: see `evidence.similarity`."""
        found: dict[str, list[float]] = {name: [] for name in methods}
        for some in self.pieces(pairs):
            both = [self._given(network, some) for network in (self._network, shuffled)]
            for name in methods:
                shown = [one.shown(name, self._by(one, name)[0]).movedim(-1, 1) for one in both]
                for row, one in enumerate(some.exemplars):
                    reach = slice(*(one.reach or (0, shown[0].shape[2])))
                    found[name].append(float(evidence.similarity(*(each[[row], :, reach] for each in shown))))
        return found

    def _given(self, network: nn.Module, pairs: Pairs) -> _Given:
        examples = [one.example for one in pairs.exemplars]
        inputs, companions = self._scene.examples.inputs(examples), self._scene.examples.companions(examples)
        channels = torch.tensor(pairs.channels, device=self._scene.device)
        positions = None
        if pairs.ranking == "max":
            places = [one.position[0] if one.position else one.own_step or 0 for one in pairs.exemplars]
            positions = torch.tensor(places, device=self._scene.device)
        with accompanied(network, companions):
            readout, given = self._readout(network, inputs, self._averaged(network, inputs, pairs))
        return _Given(pairs, readout, given, channels, positions, not inputs.is_floating_point(), companions)

    def _readout(self, network: nn.Module, inputs: Tensor, averaged: tuple[int, int] | None) -> tuple[Readout, Steps]:
        """The layer's readout, and what it is given."""
        silence = self._scene.source.kind.neutral(inputs[:1])
        if inputs.is_floating_point():
            return SeriesReadout(network, self._layer, silence, averaged), inputs
        text = TextReadout(network, self._layer, inputs, int(silence[0, 0]), averaged)
        return text, text.embedded

    def _averaged(self, network: nn.Module, inputs: Tensor, pairs: Pairs) -> tuple[int, int] | None:
        """The positions of the layer's map that count in a mean, as in the scan."""
        if pairs.ranking != "mean" or self._layer.layout != "sequence":
            return None
        readout = Readout(network, self._layer)
        with readout.ready(), torch.no_grad(), of_rows(network, slice(1)):
            positions = readout.maps(inputs[:1]).shape[2]
        counted = self._scene.counted(pairs.exemplars[0].example)
        return counted_positions(counted, positions_held(self._layer, positions, counted))

    def _unchanged(self, pairs: Pairs, activations: Float[Tensor, " pair"]) -> list[bool]:
        """Whether each exemplar still excites its unit as it did in the scan."""
        return [
            abs(activation - one.score) <= self._scene.tolerance * max(abs(one.score), 1e-3)
            for one, activation in zip(pairs.exemplars, activations.tolist(), strict=True)
        ]

    def _wanted(self, piece: Piece, method: str, same: Sequence[bool]) -> list[int]:
        """The pairs that lack the method."""
        lacking = (method in piece.methods.get(channel, ()) for channel in piece.pairs.channels)
        return [row for row, (fits, lacks) in enumerate(zip(same, lacking, strict=True)) if fits and lacks]

    def _last_steps(self, given: _Given, rows: Sequence[int], activations: Tensor, made: Made) -> None:
        """What the steps nearest to the position alone excite, where there are others that it has seen."""
        steps, positions = given.inputs.shape[1], self._positions(given)
        found: dict[int, list[tuple[int, float]]] = {}
        for most in LAST_STEPS:
            near = [self._near(given.pairs.exemplars[row], steps, positions, most) for row in rows]
            which = [(row, seen) for row, seen in zip(rows, near, strict=True) if seen is not None]
            if not which:
                continue
            some = [row for row, _ in which]
            seen = torch.stack([one for _, one in which]).to(given.inputs.device)
            for row, share in zip(some, given.chosen(some).left(seen, activations[some]).tolist(), strict=True):
                if math.isfinite(share):
                    found.setdefault(row, []).append((most, share))
        for row, shares in found.items():
            made.last_steps.append((given.pairs.channels[row], given.pairs.exemplars[row].rank, tuple(shares)))

    def _positions(self, given: _Given) -> int:
        """How many the layer has on these examples: as many as there are steps, or fewer."""
        with given.ready(), torch.no_grad(), of_rows(given.readout.module, slice(1)):
            positions = int(given.readout.maps(given.inputs[:1]).shape[2])
        return positions_held(self._layer, positions, self._scene.counted(given.pairs.exemplars[0].example))

    def _near(self, exemplar: Exemplar, steps: int, positions: int, most: int) -> Bool[Tensor, " time"] | None:
        """The steps less than `most` from the one of the exemplar; None where these are all that it has seen."""
        if not exemplar.position or exemplar.reach is None or self._layer.layout != "sequence":
            return None
        first, last = exemplar.reach
        at = step_at(exemplar.position[0], positions, steps)
        if first > at - most and last <= at + most:
            return None
        places = torch.arange(steps)
        return (places > at - most) & (places < at + most)

    def _found(self, given: _Given, names: Sequence[str], made: Made) -> dict[str, Steps]:
        """Attributions by each method that is defined here; those that go back by rules share a pass forward."""
        names = [name for name in names if name not in self._undefined]
        ways = {name: way for name in names if isinstance(way := method_named(name), ByRule)}
        found: dict[str, Steps] = {}
        if ways:
            try:
                with given.ready():
                    pictures, _ = by_rules(list(ways.values()), given.readout, given.inputs, given.channels, given.positions)
                found |= {name: one.detach() for name, one in zip(ways, pictures, strict=True)}
            except ModelError as error:
                for name in ways:
                    self._refuse(name, error, made)
        for name in names:
            if name not in ways:
                try:
                    found[name] = self._by(given, name)[0]
                except (ModelError, MissingExtraError) as error:
                    self._refuse(name, error, made)
        return found

    def _by(self, given: _Given, method: str) -> tuple[Steps, Float[Tensor, " pair"]]:
        with given.ready():
            found, activations = method_named(method)(given.readout, given.inputs, given.channels, given.positions)
        return found.detach(), activations.detach()

    def _refuse(self, name: str, error: TorchlurkError, made: Made) -> None:
        self._undefined.add(name)
        made.refused[name] = error.message

    def _attribute(self, given: _Given, name: str, found: Steps, activations: Tensor, made: Made) -> None:
        shown = given.shown(name, found)
        conserved = conservation(shown, activations).tolist() if method_named(name) in (relevance, relevance_plus) else None
        kept = self._kept(given, shown, activations)
        values = shown.float().cpu().numpy()
        for row, (channel, exemplar) in enumerate(zip(given.pairs.channels, given.pairs.exemplars, strict=True)):
            share = math.nan if conserved is None else conserved[row]
            made.found.append(Stepped(given.pairs.ranking, channel, exemplar, name, values[row], kept[row], share))

    def _kept(self, given: _Given, shown: Tensor, activations: Tensor) -> list[float]:
        """What the largest attributions alone excite, of the strongest exemplars; NaN for the others."""
        shares = [math.nan] * len(given.pairs)
        rows = [row for row, one in enumerate(given.pairs.exemplars) if one.rank < KEPT_RANKS]
        if not rows:
            return shares
        steps = shown.shape[1]
        within = torch.zeros(len(rows), 1, steps, dtype=torch.bool, device=shown.device)
        for row, pair in enumerate(rows):
            within[row, 0, slice(*(given.pairs.exemplars[pair].reach or (0, steps)))] = True
        seen = evidence.largest(shown[rows].movedim(-1, 1)[:, :, None], within)[:, 0]
        for row, share in zip(rows, given.chosen(rows).left(seen, activations[rows]).tolist(), strict=True):
            shares[row] = share
        return shares
