"""The stage `synthesize`: pictures that excite units more than the data do, by presets, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.errors import ModelError, StudyError, UnitError
from torchlurk.input_records import InputStatistics
from torchlurk.models.taps.arguments import Arguments
from torchlurk.models.taps.readout import UnreachedError
from torchlurk.records import Layer, Run, StageCount, Tap
from torchlurk.records import Synthesis as Record
from torchlurk.rendering.encoding import encode, encode_transparent
from torchlurk.stages.shares import units_of
from torchlurk.stages.stage import Task, now, units_asked
from torchlurk.store import queries
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.synthesis.ascent import Ascent
from torchlurk.synthesis.canvas import canvas, side_of
from torchlurk.synthesis.evidence import known_from
from torchlurk.synthesis.presets import Preset
from torchlurk.synthesis.presets import preset as preset_named
from torchlurk.synthesis.results import Synthesis, ascent_of, check_pictures, surveyed, syntheses


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Units of a layer that lack a picture by a preset, and how many were asked for."""

    layer: Layer
    preset: Preset
    channels: tuple[int, ...]
    asked: int


class SynthesizeStage:
    """Syntheses of units, one layer and preset after the other, each batch stored as it is finished."""

    name = "synthesize"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._options = task.settings.synthesize
        self._presets = tuple(dict.fromkeys(preset_named(name) for name in self._options.presets))

    def options(self) -> Mapping[str, Any]:
        """What decides a picture of a preset; which are made is a matter of what is asked for."""
        own = {"steps": self._options.steps, "size": self._options.size, "precision": self._task.settings.scan.precision}
        return {**self._task.data_options(), **own, "seed": self._task.settings.scan.seed}

    def lacking(self, earlier: Run) -> bool:
        """Whether a unit asked for has no picture by a preset asked for."""
        with Reader(self._task.out) as reader:
            return any(one.channels for one in self._wanted(reader))

    def work(self, run: Run, earlier: Run | None) -> None:
        """Makes what is lacking, a batch of units a transaction."""
        task = self._task
        with task.writer() as writer, Reader(task.out) as reader:
            scan = writer.runs().get("scan")
            if scan is None or scan.finished is None:
                raise StudyError(f"the scan of '{task.out}' is not finished", "run the scan stage first")
            (writer.reopen if earlier and earlier.finished else writer.begin)(run)
            check_pictures(reader.input_shape())
            network, exact = task.network(task.settings.scan.precision), task.network("fp32")
            with ExitStack() as opened:
                for one in dict.fromkeys((network, exact)):
                    arguments = opened.enter_context(task.called(one))
                    example = opened.enter_context(task.first_input(one))
                if arguments.companions:
                    writer.add_note(self.name, _held(arguments))
                self._all(_Work(task, network, exact, example, scan.options.get("tap", "activation"), reader, writer))
            writer.finish(self.name, now())

    def _wanted(self, reader: Reader) -> list[_Wanted]:
        """What is to be made, in order of execution of the layers."""
        scanned = queries.unit_counts(reader)
        layers = reader.layers()
        asked = units_asked(self._task.settings, layers)
        share = units_of(self._task.share, asked)
        refused = {text.partition(":")[0] for kind, text in reader.notes() if kind == self.name}
        found = []
        for number, layer in enumerate(layers):
            if number not in scanned or layer.name not in asked:
                continue
            made = queries.layer_syntheses(reader, number)
            channels = [one for one in asked[layer.name] if one in share[layer.name]]
            for preset in self._presets:
                lacking = tuple(channel for channel in channels if channel not in made.get(preset.name, {}))
                if _refused(layer, preset) not in refused:
                    found.append(_Wanted(layer, preset, lacking, len(channels)))
        return found

    def _all(self, work: _Work) -> None:
        wanted = self._wanted(work.reader)
        total = sum(one.asked for one in wanted)
        done = total - sum(len(one.channels) for one in wanted)
        self._task.progress.begin(self.name, total, done)
        for one in (one for one in wanted if one.channels):
            for some in work.make(one):
                done += some
                work.writer.count(self.name, StageCount(done, total))
                self._task.progress.advance(some)
        self._task.progress.end()


class _Work:
    """The network, in the precision asked for and exact, and the study."""

    def __init__(
        self, task: Task, network: nn.Module, exact: nn.Module, example: Tensor, tap: Tap, reader: Reader, writer: Writer
    ) -> None:
        self.task, self.network, self.exact, self.reader, self.writer = task, network, exact, reader, writer
        self._statistics: InputStatistics | None = reader.input_statistics()
        channels, height, width = own = reader.input_shape()
        size = task.settings.synthesize.size
        self._shape = own if size is None else (channels, *side_of(height, width, size))
        resized = example if self._shape == own else F.interpolate(example, self._shape[1:], mode="bilinear")
        self._found = surveyed(exact, [resized, example], tap)

    def make(self, wanted: _Wanted) -> Iterator[int]:
        """Makes the pictures; gives how many were done, again and again. A layer that cannot be reached is noted."""
        layer, preset = wanted.layer, wanted.preset
        try:
            own = self._found.layer(layer.name)
            ascent = self._ascent(self.network, own, preset)
            exact = ascent if self.network is self.exact else self._ascent(self.exact, own, preset)
        except (ModelError, UnitError) as error:
            self.writer.add_note("synthesize", f"{_refused(layer, preset)}: {error.message}")
            yield len(wanted.channels)
            return
        known = known_from(self.reader, layer.name, wanted.channels)
        seed = self.task.settings.scan.seed
        with ExitStack() as stack:
            for readout in dict.fromkeys((ascent.readout, exact.readout)):
                stack.enter_context(readout.ready())
            lane: list[Synthesis] = []
            left = len(wanted.channels)
            try:
                for one in syntheses(ascent, wanted.channels, seed, known, measured_by=exact):
                    lane.append(one)
                    if len(lane) in (ascent.lane, left):
                        self._store(lane)
                        left -= len(lane)
                        yield len(lane)
                        lane = []
            except UnreachedError as error:
                self.writer.add_note("synthesize", f"{_refused(layer, preset)}: {error.message}")
                yield left

    def _ascent(self, network: nn.Module, layer: Layer, preset: Preset) -> Ascent:
        options, preprocessing = self.task.settings.synthesize, self.task.source.preprocessing
        channels, height, width = self._shape
        drawn_on = canvas(channels, height, width, self._statistics, self.task.device)
        return ascent_of(network, layer, preset, drawn_on, preprocessing, options.steps or preset.bulk_steps)

    def _store(self, made: Sequence[Synthesis]) -> None:
        with self.writer.transaction():
            for one in made:
                pixels = one.pixels()
                picture = encode(pixels) if one.alpha is None else encode_transparent(pixels)
                name = self.writer.write_picture(*picture)
                self.writer.write_synthesis(one.unit, _record(one, name))


def _record(one: Synthesis, picture: str) -> Record:
    return Record(
        preset=one.preset,
        picture=picture,
        activation=one.activation,
        ratio=one.ratio_to_best_exemplar,
        percentile=one.percentile,
        robustness=one.robustness,
        marked=one.marked,
        seed=one.seed,
        steps=one.steps,
    )


def _held(arguments: Arguments) -> str:
    return f"{', '.join(arguments.companions)} of the network's inputs were held at their values in the first example"


def _refused(layer: Layer, preset: Preset) -> str:
    """How the note begins that says that a preset gives no picture of a layer."""
    return f"layer {layer.name}, {preset.name}"
