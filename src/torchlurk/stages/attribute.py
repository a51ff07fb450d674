"""The stage `attribute`: what in each exemplar excited the unit, by several methods, and how far to trust the pictures."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.methods import method as method_named
from torchlurk.errors import MissingExtraError, ModelError, StudyError
from torchlurk.inputs.feeding import feed, inputs_of
from torchlurk.models.layers import Survey, choose, survey
from torchlurk.models.readout import Readout
from torchlurk.records import Attribution, Exemplar, Layer, MethodCheck, Run, StageCount
from torchlurk.rendering.colour import signed, signed_scale
from torchlurk.rendering.encoding import encode
from torchlurk.stages.stage import Task, dtype_of, now
from torchlurk.store import overviews
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.units import Unit

PAIRS = 36
"""(unit, exemplar) pairs of one pass: their maps fit into memory for any layer."""

KEPT_RANKS = 1
"""For so many of the strongest exemplars it is measured what the largest attributions alone excite."""

LOSSLESS_SIDE = 24
"""Attributions are many and noisy: beyond so many pixels a side JPEG takes a quarter of the room and time."""

CHECKED_UNITS = 6
"""Units of a layer whose pictures are made once more with random weights below."""

INPUTS_KEPT = 256 << 20
"""Bytes of inputs that are kept at hand: neighbouring units share exemplars."""

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
        units = [Unit.parse(one) for one in self._task.settings.units.units]
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
        self.examples = _Examples(task, dtype_of(network))

    @cached_property
    def filling(self) -> Float[Tensor, " channel"]:
        """The data's mean colour, as the network sees it."""
        known = self.reader.input_statistics()
        preprocessing = self.task.source.preprocessing
        mean = np.zeros(len(preprocessing.mean)) if known is None else known.mean
        normalized = (mean - np.array(preprocessing.mean)) / np.array(preprocessing.std)
        return torch.tensor(normalized, dtype=torch.float32, device=self.task.device)

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
            shown = None if ranking == "max" else most  # what the boxes recall is measured for all
            chosen = [(channel, one) for channel in methods for one in records[channel].exemplars[ranking][:shown]]
            if chosen:
                channels, exemplars = zip(*chosen, strict=True)
                for pairs in Pairs(ranking, channels, exemplars).cut(PAIRS):
                    self._pairs(pairs, methods, most, found, recalls)
        for channel in methods:
            unit = Unit(self._layer.name, channel)
            self._work.writer.write_attributions(unit, found[channel])
            self._work.writer.write_recall(unit, recalls[channel])

    def _pairs(
        self,
        pairs: Pairs,
        methods: Mapping[int, tuple[str, ...]],
        most: int,
        found: dict[int, list[Attribution]],
        recalls: dict[int, dict[int, float]],
    ) -> None:
        inputs = self._work.examples.inputs([one.example for one in pairs.exemplars])
        channels, positions = self._places(pairs)
        with self._readout.ready():
            with torch.no_grad():
                activations = self._readout(inputs, channels, positions)
            same = self._unchanged(pairs, activations)
            if pairs.ranking == "max":
                self._recall(pairs, inputs, channels, positions, activations, same, recalls)
            for name in dict.fromkeys(name for channel in pairs.channels for name in methods[channel]):
                shown = (index for index, one in enumerate(pairs.exemplars) if same[index] and one.rank < most)
                which = [index for index in shown if name in methods[pairs.channels[index]]]
                if which and name not in self._undefined:
                    self._picture(name, pairs, which, inputs, channels, positions, activations, found)

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

    def _recall(
        self,
        pairs: Pairs,
        inputs: Tensor,
        channels: Tensor,
        positions: Tensor | None,
        activations: Tensor,
        same: Sequence[bool],
        recalls: dict[int, dict[int, float]],
    ) -> None:
        boxes = torch.tensor([one.box or (0, 0, inputs.shape[3], inputs.shape[2]) for one in pairs.exemplars])
        seen = evidence.inside(boxes.to(inputs.device), inputs.shape[2], inputs.shape[3])
        left = evidence.left_of_activation(
            self._readout, inputs, seen, self._work.filling, channels, positions, activations
        ).tolist()
        for channel, one, share, sure in zip(pairs.channels, pairs.exemplars, left, same, strict=True):
            if sure and math.isfinite(share):
                recalls[channel][one.rank] = share

    def _picture(
        self,
        name: str,
        pairs: Pairs,
        which: list[int],
        inputs: Tensor,
        channels: Tensor,
        positions: Tensor | None,
        activations: Tensor,
        found: dict[int, list[Attribution]],
    ) -> None:
        """The pictures of a method, of the pairs `which`."""
        chosen = torch.tensor(which, device=inputs.device)
        places = None if positions is None else positions[chosen]
        try:
            made, _ = method_named(name)(self._readout, inputs[chosen], channels[chosen], places)
        except (ModelError, MissingExtraError) as error:
            self._undefined.add(name)
            self._work.writer.add_note("attribute", f"{_undefined(self._layer, name)}: {error.message}")
            return
        kept = self._kept(pairs, which, made, inputs[chosen], channels[chosen], places, activations[chosen])
        pictures = made.detach().float().permute(0, 2, 3, 1).cpu().numpy()
        for row, index in enumerate(which):
            one, channel = pairs.exemplars[index], pairs.channels[index]
            box = one.box if pairs.ranking == "max" and one.box else (0, 0, inputs.shape[3], inputs.shape[2])
            cut = pictures[row, box[1] : box[3], box[0] : box[2]]
            scale = signed_scale(cut)
            picture = self._work.writer.write_picture(
                *encode(signed(_shown(cut), scale=scale), lossless_side=LOSSLESS_SIDE, quality=QUALITY)
            )
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
        made: Tensor,
        inputs: Tensor,
        channels: Tensor,
        positions: Tensor | None,
        activations: Tensor,
    ) -> list[float]:
        """What the largest attributions alone excite, of the strongest exemplars; NaN for the others."""
        shares = [math.nan] * len(which)
        rows = [row for row, index in enumerate(which) if pairs.exemplars[index].rank < KEPT_RANKS]
        if rows:
            some = torch.tensor(rows, device=inputs.device)
            left = evidence.left_of_activation(
                self._readout,
                inputs[some],
                evidence.largest(made[some].detach()),
                self._work.filling,
                channels[some],
                None if positions is None else positions[some],
                activations[some],
            )
            for row, share in zip(rows, left.tolist(), strict=True):
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


class _Examples:
    """Inputs by example, the last used at hand."""

    def __init__(self, task: Task, dtype: torch.dtype) -> None:
        self._task, self._dtype = task, dtype
        self._known: OrderedDict[int, Tensor] = OrderedDict()

    def inputs(self, examples: Sequence[int]) -> Float[Tensor, "pair channel height width"]:
        """The inputs in this order, on the device. Raises `StudyError` for one that cannot be read any more."""
        lacking = sorted(set(examples) - set(self._known))
        for batch in feed(self._task.source, lacking, max(1, len(lacking)), self._task.settings.compute.workers):
            made = inputs_of(batch, self._task.source.preprocessing, torch.device("cpu"), self._dtype)
            self._known |= {int(example): one for example, one in zip(batch.examples, made, strict=True)}
            for example, reason in batch.skipped:
                raise StudyError(f"example {example} was read in the scan, but not now: {reason}", "give the same data again")
        for example in examples:
            self._known.move_to_end(example)
        found = torch.stack([self._known[example] for example in examples]).to(self._task.device)
        while len(self._known) * found[0].nbytes > INPUTS_KEPT and len(self._known) > 1:
            self._known.popitem(last=False)
        return found


def _shown(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width channel"]:
    """Channels as a picture has them: three, or one."""
    return values if values.shape[2] in (1, 3) else values.sum(axis=2, keepdims=True)


def _undefined(layer: Layer, method: str) -> str:
    """How the note begins that says that a method gives no picture of a layer."""
    return f"layer {layer.name}, {method}"


def _begun(notes: set[str]) -> set[str]:
    return {note.partition(":")[0] for note in notes}
