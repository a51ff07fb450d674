"""The stage `synthesize`: pictures that excite units more than the data do, by presets, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.engines.naming import check_doable
from torchlurk.errors import StudyError
from torchlurk.jobs import once
from torchlurk.models.survey.layers import Survey
from torchlurk.models.taps.arguments import Arguments
from torchlurk.options import Precision
from torchlurk.records import Layer, Tap
from torchlurk.records import Synthesis as Record
from torchlurk.rendering.encoding import encode, encode_transparent
from torchlurk.run_records import Run, StageCount
from torchlurk.stages.shares import units_of
from torchlurk.stages.stage import Task, now, units_asked
from torchlurk.store import queries
from torchlurk.store.notes import begun
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.synthesis.canvas import canvas, side_of
from torchlurk.synthesis.evidence import known_from
from torchlurk.synthesis.job import Lane, Made, Synthesize
from torchlurk.synthesis.presets import Preset
from torchlurk.synthesis.presets import preset as preset_named
from torchlurk.synthesis.results import Synthesis, check_pictures, surveyed


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
        own = {"steps": self._options.steps, "size": self._options.size, "precision": self._precision}
        return {**self._task.data_options(), **own, "seed": self._task.settings.scan.seed}

    @property
    def _precision(self) -> Precision:
        """That of the ascents; small gradients would vanish in fp16."""
        asked = self._task.settings.scan.precision
        return "fp32" if asked == "fp16" else asked

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
            self._wanted(reader)  # what is not there is refused before the stage is begun
            check_pictures(reader.input_shape())
            network, exact = task.network(self._precision), task.network("fp32")
            with ExitStack() as opened:
                for one in dict.fromkeys((network, exact)):
                    arguments = opened.enter_context(task.called(one))
                    example = opened.enter_context(task.first_input(one))
                found = self._surveyed(exact, example, reader.input_shape(), scan.options.get("tap", "activation"))
                job = self._job(network, exact, found, arguments, reader)
                check_doable(task.engine, job)
                (writer.reopen if earlier and earlier.finished else writer.begin)(run)
                if arguments.companions:
                    writer.add_note(self.name, _held(arguments))
                self._all(_Work(job, reader, writer))
            writer.finish(self.name, now())

    def _shape(self, own: tuple[int, ...]) -> tuple[int, int, int]:
        """Channels, height and width of the pictures, for inputs of that shape."""
        channels, height, width = own
        size = self._task.settings.synthesize.size
        return (channels, height, width) if size is None else (channels, *side_of(height, width, size))

    def _surveyed(self, exact: nn.Module, example: Tensor, own: tuple[int, ...], tap: Tap) -> Survey:
        shape = self._shape(own)
        resized = example if shape == own else F.interpolate(example, shape[1:], mode="bilinear")
        return surveyed(exact, [resized, example], tap)

    def _job(self, network: nn.Module, exact: nn.Module, found: Survey, arguments: Arguments, reader: Reader) -> Synthesize:
        task, settings = self._task, self._task.settings
        drawn_on = canvas(*self._shape(reader.input_shape()), reader.input_statistics(), task.device)
        made = task.recipe(network, self._precision, arguments), task.recipe(exact, "fp32", arguments)
        steps, seed = settings.synthesize.steps, settings.scan.seed
        return Synthesize(network, exact, found, drawn_on, task.source.preprocessing, steps, seed, made)

    def _wanted(self, reader: Reader) -> list[_Wanted]:
        """What is to be made, in order of execution of the layers."""
        scanned = queries.unit_counts(reader)
        layers = reader.layers()
        asked = units_asked(self._task.settings, layers)
        share = units_of(self._task.share, asked)
        refused = begun(text for kind, text in reader.notes() if kind == self.name)
        found = []
        for number, layer in enumerate(layers):
            if number not in scanned or layer.name not in asked:
                continue
            made = queries.layer_syntheses(reader, number)
            channels = [one for one in asked[layer.name] if one in share[layer.name]]
            for preset in self._presets:
                lacking = tuple(channel for channel in channels if channel not in made.get(preset.name, {}))
                if _refused(layer.name, preset.name) not in refused:
                    found.append(_Wanted(layer, preset, lacking, len(channels)))
        return found

    def _all(self, work: _Work) -> None:
        wanted = self._wanted(work.reader)
        total = sum(one.asked for one in wanted)
        done = total - sum(len(one.channels) for one in wanted)
        self._task.progress.begin(self.name, total, done)
        given: list[Lane] = []
        with self._task.engine.each(work.job) as hands:
            for number, made in once(hands(work.lanes(wanted, given))):
                work.store(given[number], made)
                done += len(given[number].channels)
                work.writer.count(self.name, StageCount(done, total))
                self._task.progress.advance(len(given[number].channels))
        self._task.progress.end()


class _Work:
    """What is to be made, out of the study and into it."""

    def __init__(self, job: Synthesize, reader: Reader, writer: Writer) -> None:
        self.job, self.reader, self.writer = job, reader, writer
        self._noted: set[str] = set()

    def lanes(self, wanted: Sequence[_Wanted], given: list[Lane]) -> Iterator[Lane]:
        """What is to be made, which is also put into `given`."""
        for one in wanted:
            for channels in self.job.lanes(one.preset.name, one.layer, one.channels):
                known = known_from(self.reader, one.layer.name, channels)
                given.append(Lane(one.layer.name, one.preset.name, channels, known))
                yield given[-1]

    def store(self, lane: Lane, made: Made) -> None:
        """Stores pictures; that a layer gives none by a preset is noted once."""
        beginning = _refused(lane.layer, lane.preset)
        if made.refused and beginning not in self._noted:
            self._noted.add(beginning)
            self.writer.add_note("synthesize", f"{beginning}: {made.refused}")
        with self.writer.transaction():
            for one in made.syntheses:
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


def _refused(layer: str, preset: str) -> str:
    """How the note begins that says that a preset gives no picture of a layer."""
    return f"layer {layer}, {preset}"
