"""The stage `attribute`: what in each exemplar excited the unit, by several methods, and how far to trust the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.methods import ByRule
from torchlurk.attribution.methods import method as method_named
from torchlurk.attribution.sides import UnsuitedError
from torchlurk.attribution.window import WindowReadout
from torchlurk.errors import MissingExtraError, ModelError, StudyError, TorchlurkError
from torchlurk.models.layers import Survey, choose, survey
from torchlurk.models.readout import Readout
from torchlurk.models.receptive_field import ReceptiveField, receptive_fields
from torchlurk.records import Attribution, Box, Exemplar, Layer, MethodCheck, Run, StageCount
from torchlurk.rendering.colour import signed, signed_scale
from torchlurk.rendering.encoding import encode
from torchlurk.stages.stage import Task, dtype_of, now, units_named
from torchlurk.stages.views import Examples, View
from torchlurk.store import overviews
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.units import Unit

PAIRS = 36
"""(unit, exemplar) pairs of one pass: their maps fit into memory for any layer."""

WHOLE_AT_ONCE = 4
"""Whole inputs of one pass on a CPU, whose caches more would not fit into."""

KEPT_RANKS = 1
"""For so many of the strongest exemplars it is measured what the largest attributions alone excite."""

LOSSLESS_SIDE = 24
"""Attributions are many and noisy: beyond so many pixels a side JPEG takes a quarter of the room and time."""

CHECKED_UNITS = 6
"""Units of a layer whose pictures are made once more with random weights below."""

CHANGED = 2e-3, 5e-2
"""A recorded activation and the one found now differ by more than rounding, in fp32 and in bf16, if by more than this share."""

QUALITY = 75
"""Of those JPEGs."""

Ranked = Literal["max", "mean"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Units of one layer, each with one of its exemplars."""

    ranking: Ranked
    channels: tuple[int, ...]
    exemplars: tuple[Exemplar, ...]

    def __len__(self) -> int:
        return len(self.channels)

    def cut(self, most: int) -> Iterator[Pairs]:
        """The same in pieces."""
        for start in range(0, len(self), most):
            piece = slice(start, start + most)
            yield Pairs(self.ranking, self.channels[piece], self.exemplars[piece])

    def at(self, rows: Sequence[int]) -> Pairs:
        """Some of them."""
        return Pairs(self.ranking, tuple(self.channels[row] for row in rows), tuple(self.exemplars[row] for row in rows))


@dataclass(frozen=True, slots=True)
class _Run:
    """What one pass over some pairs gave: their activations, and attributions by each method that goes back by rules."""

    pairs: Pairs
    view: View
    whole: View
    activations: Float[Tensor, " pair"]
    attributions: Mapping[str, Float[Tensor, "pair channel height width"]]


class AttributeStage:
    """Attributions of the exemplars that the scan found, a few units at a time, each with all its methods at once."""

    name = "attribute"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._options = task.settings.attribute
        for name in self._options.methods:
            method_named(name)

    def options(self) -> Mapping[str, Any]:
        """Nothing but the inputs decides a picture of a method; which are made is a matter of what is asked for."""
        return self._task.data_options()

    def lacking(self, earlier: Run) -> bool:
        """Whether a unit asked for has no picture by a method asked for."""
        with Reader(self._task.out) as reader:
            return any(lacking for _, lacking in self._wanted(reader))

    def work(self, run: Run, earlier: Run | None) -> None:
        """Makes what is lacking, some units a transaction."""
        task = self._task
        with Writer(task.out) as writer, Reader(task.out) as reader:
            scan = writer.runs().get("scan")
            if scan is None or scan.finished is None:
                raise StudyError(f"the scan of '{task.out}' is not finished", "run the stage scan before")
            (writer.reopen if earlier and earlier.finished else writer.begin)(run)
            network = task.network("fp32")
            found = survey(network, task.first_input(dtype_of(network)), scan.options.get("tap", "activation"))
            work = _Work(task, network, found, reader, writer, tolerance=CHANGED[scan.options.get("precision") == "bf16"])
            self._all_layers(work)
            writer.finish(self.name, now())

    def _wanted(self, reader: Reader) -> list[tuple[Layer, dict[int, tuple[str, ...]]]]:
        """Each layer with those of its units that lack pictures, and by which methods."""
        scanned = overviews.unit_counts(reader)
        layers = reader.layers()
        units = units_named(self._task.settings, layers)
        names = {one.layer for one in units}
        chosen = {one.name for one in choose(layers, self._task.settings.scan.layers)}
        refused = {text for kind, text in reader.notes() if kind == "attribute"}
        found = []
        for number, layer in enumerate(layers):
            if number not in scanned or layer.name not in (names or chosen):
                continue
            methods = [one for one in self._options.methods if _undefined(layer, one) not in _begun(refused)]
            done = overviews.attributed(reader, number)
            channels = [one.channel for one in units if one.layer == layer.name] or range(layer.channels)
            lacking = {channel: tuple(one for one in methods if (channel, one) not in done) for channel in channels}
            found.append((layer, {channel: some for channel, some in lacking.items() if some}))
        return found

    def _all_layers(self, work: _Work) -> None:
        wanted = self._wanted(work.reader)
        total, done = sum(len(units) for _, units in wanted), 0
        self._task.progress.begin(self.name, total)
        for layer, units in wanted:
            if units:
                for some in work.layer(layer, units, self._options.exemplars):
                    done += some
                    work.writer.count(self.name, StageCount(done, total))
                    self._task.progress.advance(some)
        self._task.progress.end()


class _Work:
    """What the layers have in common: the network, its inputs, the study."""

    def __init__(
        self, task: Task, network: nn.Module, found: Survey, reader: Reader, writer: Writer, *, tolerance: float
    ) -> None:
        self.task, self.network, self.found, self.reader, self.writer = task, network, found, reader, writer
        self.tolerance = tolerance
        self.examples = Examples(task, dtype_of(network))

    @cached_property
    def filling(self) -> Float[Tensor, " channel"]:
        """The data's mean colour, as the network sees it."""
        known = self.reader.input_statistics()
        preprocessing = self.task.source.preprocessing
        mean = np.zeros(len(preprocessing.mean)) if known is None else known.mean
        normalized = (mean - np.array(preprocessing.mean)) / np.array(preprocessing.std)
        return torch.tensor(normalized, dtype=torch.float32, device=self.task.device)

    @cached_property
    def fields(self) -> Mapping[str, ReceptiveField]:
        """The receptive fields of all layers."""
        example = self.task.first_input(dtype_of(self.network))
        return receptive_fields(self.network, example, self.found.layers)

    def window(self, layer: Layer) -> WindowReadout | None:
        """For working on receptive fields alone; None where the whole input must be taken."""
        height, width = self.reader.input_shape()[-2:]
        try:
            return WindowReadout(self.network, layer, self.fields[layer.name], (height, width))
        except UnsuitedError:
            return None

    def layer(self, layer: Layer, units: Mapping[int, tuple[str, ...]], most: int) -> Iterator[int]:
        """Makes the pictures of these units; gives how many units were done, again and again."""
        try:
            own = self.found.layer(layer.name)
        except ModelError as error:
            self.writer.add_note("attribute", f"layer {layer.name}: {error.message}")
            yield len(units)
            return
        maker = _Maker(self, own)
        at_once = max(1, PAIRS // max(1, most))
        channels = sorted(units)
        for start in range(0, len(channels), at_once):
            some = channels[start : start + at_once]
            with self.writer.transaction():
                maker.units({channel: units[channel] for channel in some}, most)
            yield len(some)
        with self.writer.transaction():
            maker.conclude(list(dict.fromkeys(one for methods in units.values() for one in methods)))


class _Maker:
    """Makes the pictures of one layer."""

    def __init__(self, work: _Work, layer: Layer) -> None:
        self._work, self._layer = work, layer
        self._readout = Readout(work.network, layer)
        self._window = work.window(layer)
        self._undefined: set[str] = set()
        self._changed = 0
        self._checked: list[tuple[int, Exemplar]] = []
        self._spreads: list[Tensor] = []

    def units(self, methods: Mapping[int, tuple[str, ...]], most: int) -> None:
        """All pictures of a few units."""
        records = {channel: self._work.reader.unit(Unit(self._layer.name, channel)) for channel in methods}
        rankings: tuple[Ranked, ...] = ("max", "mean") if self._layer.shape else ("max",)
        found: dict[int, list[Attribution]] = {channel: [] for channel in methods}
        recalls: dict[int, dict[int, float]] = {channel: {} for channel in methods}
        for ranking in rankings:
            chosen = [(channel, one) for channel in methods for one in records[channel].exemplars[ranking]]
            pictured = [pair for pair in chosen if pair[1].rank < most]
            others = [pair for pair in chosen if pair[1].rank >= most and ranking == "max"]  # boxes' recall is for all
            for some, wanted in ((pictured, methods), (others, {})):
                if some:
                    channels, exemplars = zip(*some, strict=True)
                    for pairs in Pairs(ranking, channels, exemplars).cut(PAIRS):
                        self._pairs(pairs, wanted, found, recalls)
        for channel in methods:
            unit = Unit(self._layer.name, channel)
            self._work.writer.write_attributions(unit, found[channel])
            self._work.writer.write_recall(unit, recalls[channel])

    def _pairs(
        self,
        pairs: Pairs,
        methods: Mapping[int, tuple[str, ...]],
        found: dict[int, list[Attribution]],
        recalls: dict[int, dict[int, float]],
    ) -> None:
        """What there is to know of the pairs, by the methods that their units lack; none where no pictures are wanted."""
        names = list(dict.fromkeys(name for channel in pairs.channels for name in methods.get(channel, ())))
        for run in self._runs(pairs, [name for name in names if name not in self._undefined]):
            same = self._unchanged(run.pairs, run.activations)
            if pairs.ranking == "max":
                self._recall(run, same, recalls)
            for name in names:
                lacking = (name in methods[channel] for channel in run.pairs.channels)
                which = [index for index, (fits, lacks) in enumerate(zip(same, lacking, strict=True)) if fits and lacks]
                if which and name not in self._undefined:
                    self._picture(name, run, which, found)

    def _runs(self, pairs: Pairs, methods: Sequence[str]) -> list[_Run]:
        """The pairs in one pass or several, on nothing but their receptive fields where that serves."""
        inputs = self._work.examples.inputs([one.example for one in pairs.exemplars])
        whole = View.whole(self._readout, inputs, *self._places(pairs))
        if self._window is not None and whole.positions is not None:
            batches = self._window.batches(whole.positions)
            try:
                return [self._run(pairs, whole, rows, methods, self._window) for rows in batches]
            except UnsuitedError:
                self._window = None
        at_once = len(pairs) if inputs.is_cuda else WHOLE_AT_ONCE
        every = range(len(pairs))
        return [self._run(pairs, whole, every[start : start + at_once], methods, None) for start in every[::at_once]]

    def _run(
        self, pairs: Pairs, whole: View, rows: Sequence[int], methods: Sequence[str], window: WindowReadout | None
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
                    self._refuse(name, error)
        return _Run(pairs, view, whole, view.activations(), {})

    def _refuse(self, name: str, error: TorchlurkError) -> None:
        """A method gives no pictures of this layer."""
        self._undefined.add(name)
        self._work.writer.add_note("attribute", f"{_undefined(self._layer, name)}: {error.message}")

    def _places(self, pairs: Pairs) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"] | None]:
        device = self._work.task.device
        channels = torch.tensor(pairs.channels, device=device)
        if pairs.ranking == "mean":
            return channels, None
        shape = self._layer.shape
        flat = [int(np.ravel_multi_index(one.position or (), shape)) if shape else 0 for one in pairs.exemplars]
        return channels, torch.tensor(flat, device=device)

    def _unchanged(self, pairs: Pairs, activations: Float[Tensor, " pair"]) -> list[bool]:
        """Whether each exemplar still excites its unit as it did in the scan; where not, it is another picture now."""
        same = []
        for one, activation in zip(pairs.exemplars, activations.tolist(), strict=True):
            scale = max(abs(one.score), 1e-3)
            same.append(abs(activation - one.score) <= self._work.tolerance * scale)
        self._changed += len(same) - sum(same)
        return same

    def _recall(self, run: _Run, same: Sequence[bool], recalls: dict[int, dict[int, float]]) -> None:
        """Where the unit sees nothing but its box already, that is all there is to it."""
        exemplars = run.pairs.exemplars
        scores = torch.tensor([one.score for one in exemplars], device=run.activations.device)
        left = torch.where(scores > 0, run.activations / scores, torch.nan)
        rows = [] if run.view.windowed else [row for row, one in enumerate(exemplars) if not run.view.is_all(one.box)]
        if rows:
            some = run.view.chosen(rows)
            left[rows] = some.left(some.inside([exemplars[row].box for row in rows]), self._work.filling, scores[rows])
        for channel, one, share, sure in zip(run.pairs.channels, exemplars, left.tolist(), same, strict=True):
            if sure and math.isfinite(share):
                recalls[channel][one.rank] = share

    def _picture(self, name: str, run: _Run, which: list[int], found: dict[int, list[Attribution]]) -> None:
        """The pictures of a method, of the pairs `which` of the run."""
        pairs = run.pairs
        if name in run.attributions:
            view, made = run.view.chosen(which), run.attributions[name][which]
        else:
            view = run.whole.chosen(which)
            try:
                made = view.attributions(name)
            except (ModelError, MissingExtraError) as error:
                self._refuse(name, error)
                return
        boxes = [pairs.exemplars[index].box if pairs.ranking == "max" else None for index in which]
        kept = self._kept(pairs, which, view, made, boxes, run.activations[which])
        pictures = made.permute(0, 2, 3, 1).cpu().numpy()
        for row, index in enumerate(which):
            one, channel = pairs.exemplars[index], pairs.channels[index]
            box = boxes[row] or (0, 0, view.size[1], view.size[0])
            y, x = view.corners[row]
            cut = pictures[row, box[1] - y : box[3] - y, box[0] - x : box[2] - x]
            scale = signed_scale(cut)
            levels = signed(_shown(cut), scale=scale)
            picture = self._work.writer.write_picture(*encode(levels, lossless_side=LOSSLESS_SIDE, quality=QUALITY))
            found[channel].append(Attribution(pairs.ranking, one.rank, name, box, picture, scale, kept[row]))
        if name == "gradient" and pairs.ranking == "max":
            self._spreads.append(evidence.spread_of(made))
        if pairs.ranking == "max" and len(self._checked) < CHECKED_UNITS:
            known = {channel for channel, _ in self._checked}
            fresh = [i for i in which if pairs.exemplars[i].rank == 0 and pairs.channels[i] not in known]
            self._checked += [(pairs.channels[i], pairs.exemplars[i]) for i in fresh][: CHECKED_UNITS - len(self._checked)]

    def _kept(
        self,
        pairs: Pairs,
        which: list[int],
        view: View,
        made: Float[Tensor, "pair channel height width"],
        boxes: Sequence[Box | None],
        activations: Float[Tensor, " pair"],
    ) -> list[float]:
        """What the largest attributions alone excite, of the strongest exemplars; NaN for the others."""
        shares = [math.nan] * len(which)
        rows = [row for row, index in enumerate(which) if pairs.exemplars[index].rank < KEPT_RANKS]
        if rows:
            some = view.chosen(rows)
            seen = evidence.largest(made[rows], some.inside([boxes[row] for row in rows]))
            for row, share in zip(rows, some.left(seen, self._work.filling, activations[rows]).tolist(), strict=True):
                shares[row] = share
        return shares

    def conclude(self, methods: Sequence[str]) -> None:
        """What is said of the layer as a whole: the effective field, and how the methods do with random weights below."""
        writer = self._work.writer
        if self._changed:
            writer.add_note(
                "attribute",
                f"layer {self._layer.name}: {self._changed} exemplars do not excite their units as they did in the scan"
                " (has the data changed, or does it change when read again?); they have no attributions",
            )
        if self._spreads:
            height, width = torch.cat(self._spreads).nanmedian(0).values.tolist()
            if math.isfinite(height) and math.isfinite(width):
                writer.write_effective_field(self._layer.name, height, width)
        paths = evidence.below(self._work.found.graph, self._layer)
        defined = [name for name in methods if name not in self._undefined]
        if self._checked and paths and defined:
            for check in self._checks(paths, defined):
                writer.write_check(self._layer.name, check)

    def _checks(self, paths: Sequence[str], methods: Sequence[str]) -> list[MethodCheck]:
        generator = torch.Generator().manual_seed(self._work.task.settings.scan.seed)
        other = Readout(evidence.shuffled(self._work.network, paths, generator), self._layer)
        channels, exemplars = zip(*self._checked, strict=True)
        pairs = Pairs("max", channels, exemplars)
        inputs = self._work.examples.inputs([one.example for one in exemplars])
        where = self._places(pairs)
        found = []
        for name in methods:
            pictures = []
            for readout in (self._readout, other):
                with readout.ready():
                    pictures.append(method_named(name)(readout, inputs, *where)[0].detach())
            alike = [
                float(evidence.similarity(*(one[[row], :, box[1] : box[3], box[0] : box[2]] for one in pictures)))
                for row, box in enumerate(one.box or (0, 0, inputs.shape[3], inputs.shape[2]) for one in exemplars)
            ]
            finite = [one for one in alike if math.isfinite(one)]
            if finite:
                mean = sum(finite) / len(finite)
                found.append(MethodCheck(name, mean, mean > evidence.ALIKE))
        return found


def _shown(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width channel"]:
    """Channels as a picture has them: three, or one."""
    return values if values.shape[2] in (1, 3) else values.sum(axis=2, keepdims=True)


def _undefined(layer: Layer, method: str) -> str:
    """How the note begins that says that a method gives no picture of a layer."""
    return f"layer {layer.name}, {method}"


def _begun(notes: set[str]) -> set[str]:
    return {note.partition(":")[0] for note in notes}
