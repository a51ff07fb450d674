"""Units with their exemplars, some at once: their pictures by several methods, and what speaks for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.methods import ByRule, Inputs, by_rules
from torchlurk.attribution.methods import method as method_named
from torchlurk.attribution.sides import UnsuitedError
from torchlurk.attribution.views import Examples, View, at_once
from torchlurk.attribution.window import WindowReadout
from torchlurk.errors import MissingExtraError, ModelError, TorchlurkError
from torchlurk.models.survey.receptive_field import ReceptiveField
from torchlurk.models.taps.arguments import accompanied
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Attribution, Box, Exemplar, Layer, StepAttribution
from torchlurk.rendering.encoding import MediaType, encode_levels
from torchlurk.rendering.levels import levels

SHARING = 6
"""Pairs of one whole input that share a pass forward: each further one is a pass back of all inputs."""

KEPT_RANKS = 1
"""For so many of the strongest exemplars it is measured what the largest attributions alone excite."""

Ranking = Literal["max", "mean"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Units of one layer, each with one of its exemplars."""

    ranking: Ranking
    channels: tuple[int, ...]
    exemplars: tuple[Exemplar, ...]

    def __len__(self) -> int:
        return len(self.channels)

    def cut(self, most: int) -> Iterator[Pairs]:
        """The same in pieces."""
        for start in range(0, len(self), most):
            yield self.at(range(start, min(start + most, len(self))))

    def at(self, rows: Sequence[int]) -> Pairs:
        """Some of them."""
        return Pairs(self.ranking, tuple(self.channels[row] for row in rows), tuple(self.exemplars[row] for row in rows))


@dataclass(frozen=True, slots=True)
class Piece:
    """Pairs of a layer for one pass, and by unit the methods that it lacks, none where no pictures are wanted."""

    layer: str
    pairs: Pairs
    methods: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Pictured:
    """A picture of a pair, to be stored: `scale` is that of its levels, `kept` what the largest alone excite."""

    ranking: Ranking
    channel: int
    exemplar: Exemplar
    method: str
    box: Box
    media: MediaType
    data: bytes
    scale: float
    kept: float

    def stored(self, write_picture: Callable[[str, bytes], str]) -> Attribution:
        """Its record; `write_picture` stores the picture and gives its name."""
        picture = write_picture(self.media, self.data)
        return Attribution(self.ranking, self.exemplar.rank, self.method, self.box, picture, self.scale, self.kept)


@runtime_checkable
class Found(Protocol):
    """An attribution of a pair, to be stored."""

    @property
    def ranking(self) -> Ranking: ...
    @property
    def channel(self) -> int: ...
    @property
    def exemplar(self) -> Exemplar: ...
    @property
    def method(self) -> str: ...
    def stored(self, write_picture: Callable[[str, bytes], str]) -> Attribution | StepAttribution:
        """Its record; `write_picture` stores a picture and gives its name."""


@dataclass(slots=True)
class Made:
    """What was found out about a piece."""

    found: list[Found] = field(default_factory=list)
    recalls: list[tuple[int, int, float]] = field(default_factory=list)
    """Channel, rank, and the share of the activation that the box alone excites."""
    last_steps: list[tuple[int, int, tuple[tuple[int, float], ...]]] = field(default_factory=list)
    """Channel, rank, and the steps less than how many from the exemplar's own alone excite which share of the activation."""
    refused: dict[str, str] = field(default_factory=dict)
    """Methods that turned out not to be defined for the layer, and why."""


@runtime_checkable
class Attributes(Protocol):
    """Attributes units of one layer, whatever the kind of their inputs, with a network of its own."""

    def pieces(self, pairs: Pairs) -> Iterator[Pairs]:
        """The pairs, those that are best run together in one piece."""

    def __call__(self, piece: Piece) -> Made:
        """What there is to know of the pairs; raises `StudyError` for an input that cannot be read any more."""

    def spreads(self, method: str, pairs: Pairs) -> Iterator[Float[Tensor, "pair 2"]]:
        """Where the mass of the attributions by a method that goes back by rules lies: see `evidence.spread_of`."""

    def alike(self, methods: Sequence[str], shuffled: nn.Module, pairs: Pairs) -> dict[str, list[float]]:
        """By method, how alike the attributions are with those of another network: see `evidence.similarity`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the pairs of a layer have in common: where their inputs come from, and what counts as unchanged."""

    examples: Examples
    filling: Float[Tensor, " channel"]
    """The data's mean colour, as the network sees it."""
    size: tuple[int, int]
    """Of the inputs."""
    tolerance: float
    device: torch.device
    windowed: dict[str, bool] = field(default_factory=dict)
    """By layer, whether windows serve, as far as it has been tried: it is the same for every worker's network."""

    def on(self, device: torch.device) -> Context:
        """The same on another device."""
        return replace(self, examples=self.examples.on(device), filling=self.filling.to(device), device=device)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one pass over some pairs gave: their activations, and attributions by each method that goes back by rules."""

    pairs: Pairs
    view: View
    whole: View
    activations: Float[Tensor, " pair"]
    attributions: Mapping[str, Float[Tensor, "pair channel height width"]]


class Attributor:
    """Makes the pictures of pairs of one layer, with a network of its own.

    `undefined` are the methods known not to be defined for the layer, to which it adds what it finds out.
    """

    def __init__(self, scene: Context, network: nn.Module, layer: Layer, reach: ReceptiveField, undefined: set[str]) -> None:
        self._scene, self._layer, self._undefined = scene, layer, undefined
        self._readout = Readout(network, layer)
        self._window = self._windows(network, reach)

    def _windows(self, network: nn.Module, reach: ReceptiveField) -> WindowReadout | None:
        """Tried once, on nothing: which pairs share a pass must not depend on what was made before them."""
        known = self._scene.windowed.get(self._layer.name)
        if known is False:
            return None
        try:
            window = WindowReadout(network, self._layer, reach, self._scene.size)
            if known:
                return window
            first = torch.zeros(1, dtype=torch.long, device=self._scene.device)
            nothing = self._scene.filling.new_zeros((1, len(self._scene.filling), *self._scene.size))
            View.window(window, View.whole(self._readout, nothing, first, first, first)).activations()
        except UnsuitedError:
            self._scene.windowed[self._layer.name] = False
            return None
        self._scene.windowed[self._layer.name] = True
        return window

    def pieces(self, pairs: Pairs) -> Iterator[Pairs]:
        """The pairs, those that are best run together in one piece."""
        for rows in self._scene.examples.alike([one.example for one in pairs.exemplars]):
            yield from self._pieces(pairs.at(rows))

    def _pieces(self, pairs: Pairs) -> Iterator[Pairs]:
        places = self.places(pairs)[1]
        if self._window is None or places is None:
            yield from (pairs.at(rows) for rows in self._sharing(pairs))
            return
        for rows in self._window.batches(places):
            yield from pairs.at(rows).cut(at_once(self._scene.device, self._window.pixels))

    def places(self, pairs: Pairs) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"] | None]:
        """Channels and row-major positions, none for the mean."""
        channels = torch.tensor(pairs.channels, device=self._scene.device)
        if pairs.ranking == "mean":
            return channels, None
        shape = self._layer.shape
        flat = [int(np.ravel_multi_index(one.position or (), shape)) if shape else 0 for one in pairs.exemplars]
        return channels, torch.tensor(flat, device=self._scene.device)

    def __call__(self, piece: Piece) -> Made:
        """What there is to know of the pairs; raises `StudyError` for an input that cannot be read any more."""
        made, names = Made(), list(dict.fromkeys(name for one in piece.pairs.channels for name in piece.methods.get(one, ())))
        for run in self._runs(piece.pairs, [name for name in names if name not in self._undefined], made):
            same = self._unchanged(run)
            if run.pairs.ranking == "max":
                self._recall(run, same, made)
            for name in names:
                lacking = (name in piece.methods[channel] for channel in run.pairs.channels)
                which = [index for index, (fits, lacks) in enumerate(zip(same, lacking, strict=True)) if fits and lacks]
                if which and name not in self._undefined:
                    self._picture(name, run, which, made)
        return made

    def spreads(self, method: str, pairs: Pairs) -> Iterator[Float[Tensor, "pair 2"]]:
        """See `Attributes`; of the pairs' windows where that serves, in an order of its own."""
        for some in self.pieces(pairs):
            for run in self._runs(some, [method], Made()):
                if method in run.attributions:
                    yield evidence.spread_of(run.attributions[method])

    def alike(self, methods: Sequence[str], shuffled: nn.Module, pairs: Pairs) -> dict[str, list[float]]:
        """See `Attributes`."""
        readouts = [Readout(one, self._layer) for one in (self._readout.module, shuffled)]
        found: dict[str, list[float]] = {name: [] for name in methods}
        for some in map(pairs.at, self._scene.examples.alike([one.example for one in pairs.exemplars])):
            own, other = (self._by_each(methods, readout, some) for readout in readouts)
            for name in methods:
                found[name] += self._similarities(own[name], other[name], some)
        return found

    def _by_each(self, methods: Sequence[str], readout: Readout, pairs: Pairs) -> dict[str, Inputs]:
        """The attributions by each of these methods, on whole inputs; all that go back by rules share a pass forward."""
        examples = [one.example for one in pairs.exemplars]
        given = self._scene.examples.inputs(examples), *self.places(pairs)
        ways = {name: method_named(name) for name in methods}
        ruled = {name: way for name, way in ways.items() if isinstance(way, ByRule)}
        with readout.ready(), accompanied(readout.module, self._scene.examples.companions(examples)):
            found = dict(zip(ruled, by_rules(list(ruled.values()), readout, *given)[0], strict=True)) if ruled else {}
            found |= {name: way(readout, *given)[0] for name, way in ways.items() if name not in ruled}
        return {name: one.detach().cpu() for name, one in found.items()}

    def _similarities(self, own: Inputs, other: Inputs, pairs: Pairs) -> list[float]:
        """How alike two pictures of each pair are within its box."""
        boxes = (one.box or (0, 0, own.shape[3], own.shape[2]) for one in pairs.exemplars)
        return [
            float(evidence.similarity(*(one[[row], :, y0:y1, x0:x1] for one in (own, other))))
            for row, (x0, y0, x1, y1) in enumerate(boxes)
        ]

    def _sharing(self, pairs: Pairs) -> Iterator[list[int]]:
        """Pairs of few inputs, which go forward once, and of each about as many: one of each goes back at a time.

        On a CPU so many inputs make a piece, elsewhere so many pairs: evidence is gathered of all of a piece in one pass.
        """
        of: dict[int, list[int]] = {}
        for row, one in enumerate(pairs.exemplars):
            of.setdefault(one.example, []).append(row)
        shares = sorted((rows[cut : cut + SHARING] for rows in of.values() for cut in range(0, len(rows), SHARING)), key=len)
        most = at_once(self._scene.device, math.prod(self._scene.size))
        if self._scene.device.type != "cpu":
            shares = [[row] for rows in shares for row in rows]
        for start in range(0, len(shares), most):
            yield [row for rows in shares[start : start + most] for row in rows]

    def _runs(self, pairs: Pairs, methods: Sequence[str], made: Made, *, whole_only: bool = False) -> list[_Run]:
        """The pairs in one pass or several, on nothing but their receptive fields where that serves."""
        every = [one.example for one in pairs.exemplars]
        examples = list(dict.fromkeys(every))
        inputs = self._scene.examples.inputs(examples)
        of = torch.tensor([examples.index(one) for one in every], device=inputs.device)
        whole = View.whole(self._readout, inputs, of, *self.places(pairs), self._scene.examples.companions(examples))
        if self._window is not None and whole.positions is not None and not whole_only:
            batches = self._window.batches(whole.positions)
            try:
                return [self._run(pairs, whole, rows, methods, self._window, made) for rows in batches]
            except UnsuitedError:  # the next pairs may lie otherwise: what is made of these must not depend on others
                if len(pairs) > 1:
                    shares = [pairs.at(rows) for rows in self._sharing(pairs)]
                    return [run for some in shares for run in self._runs(some, methods, made, whole_only=True)]
        return [self._run(pairs, whole, range(len(pairs)), methods, None, made)]

    def _run(
        self,
        pairs: Pairs,
        whole: View,
        rows: Sequence[int],
        methods: Sequence[str],
        window: WindowReadout | None,
        made: Made,
    ) -> _Run:
        if len(rows) < len(pairs):
            pairs, whole = pairs.at(rows), whole.chosen(list(rows))
        view = View.window(window, whole) if window is not None else whole
        ruled = [name for name in methods if isinstance(method_named(name), ByRule) and name not in self._undefined]
        if ruled:
            try:
                return _Run(pairs, view, whole, *view.by_rules(ruled))
            except ModelError as error:
                for name in ruled:
                    self._refuse(name, error, made)
        return _Run(pairs, view, whole, view.activations(), {})

    def _refuse(self, name: str, error: TorchlurkError, made: Made) -> None:
        """A method gives no pictures of this layer."""
        self._undefined.add(name)
        made.refused[name] = error.message

    def _unchanged(self, run: _Run) -> list[bool]:
        """Whether each exemplar still excites its unit as it did in the scan; where not, it is another picture now."""
        exemplars, tolerance = run.pairs.exemplars, self._scene.tolerance
        return [
            abs(activation - one.score) <= tolerance * max(abs(one.score), 1e-3)
            for one, activation in zip(exemplars, run.activations.tolist(), strict=True)
        ]

    def _recall(self, run: _Run, same: Sequence[bool], made: Made) -> None:
        """Where the unit sees nothing but its box already, that is all there is to it."""
        exemplars = run.pairs.exemplars
        scores = torch.tensor([one.score for one in exemplars], device=run.activations.device)
        left = torch.where(scores > 0, run.activations / scores, torch.nan)
        rows = [] if run.view.windowed else [row for row, one in enumerate(exemplars) if not run.view.is_all(one.box)]
        if rows:
            some = run.view.chosen(rows)
            left[rows] = some.left(some.inside([exemplars[row].box for row in rows]), self._scene.filling, scores[rows])
        for channel, one, share, sure in zip(run.pairs.channels, exemplars, left.tolist(), same, strict=True):
            if sure and math.isfinite(share):
                made.recalls.append((channel, one.rank, share))

    def _picture(self, name: str, run: _Run, which: list[int], made: Made) -> None:
        """The pictures by a method, of the pairs `which` of the run."""
        pairs = run.pairs.at(which)
        if name in run.attributions:
            view, found = run.view.chosen(which), run.attributions[name][which]
        else:
            view = run.whole.chosen(which)
            try:
                found = view.attributions(name)
            except (ModelError, MissingExtraError) as error:
                self._refuse(name, error, made)
                return
        boxes = [one.box if pairs.ranking == "max" else None for one in pairs.exemplars]
        kept = self._kept(pairs, view, found, boxes, run.activations[which])
        pictures = found.permute(0, 2, 3, 1).cpu().numpy()
        for row, (channel, exemplar) in enumerate(zip(pairs.channels, pairs.exemplars, strict=True)):
            box = boxes[row] or (0, 0, view.size[1], view.size[0])
            y, x = view.corners[row]
            cut = pictures[row, box[1] - y : box[3] - y, box[0] - x : box[2] - x]
            picture, scale = levels(_shown(cut))
            stored = encode_levels(picture)
            made.found.append(Pictured(pairs.ranking, channel, exemplar, name, box, *stored, scale, kept[row]))

    def _kept(
        self,
        pairs: Pairs,
        view: View,
        found: Float[Tensor, "pair channel height width"],
        boxes: Sequence[Box | None],
        activations: Float[Tensor, " pair"],
    ) -> list[float]:
        """What the largest attributions alone excite, of the strongest exemplars; NaN for the others."""
        shares = [math.nan] * len(pairs)
        rows = [row for row, one in enumerate(pairs.exemplars) if one.rank < KEPT_RANKS]
        if rows:
            some = view.chosen(rows)
            seen = evidence.largest(found[rows], some.inside([boxes[row] for row in rows]))
            for row, share in zip(rows, some.left(seen, self._scene.filling, activations[rows]).tolist(), strict=True):
                shares[row] = share
        return shares


def _shown(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width channel"]:
    """Channels as a picture has them: three, or one."""
    return values if values.shape[2] in (1, 3) else values.sum(axis=2, keepdims=True)
