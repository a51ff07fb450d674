"""The stage `scan`: everything that one forward pass over the data tells of every unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from torch import nn

from torchlurk import compiled
from torchlurk.engines.naming import check_doable
from torchlurk.errors import ModelError, OptionError, StudyError
from torchlurk.input_records import KindName
from torchlurk.inputs.demo.world import DrawnWorld
from torchlurk.inputs.feeding import check_repeatable, feed, read_twice
from torchlurk.inputs.float_pictures import other_range
from torchlurk.inputs.kinds import Inputs
from torchlurk.inputs.output_order import called_by_numbers
from torchlurk.inputs.source import Tracked
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.text.frequencies import frequent_tokens
from torchlurk.inputs.text.kind import Text
from torchlurk.inputs.text.unknown import unknown_tokens
from torchlurk.jobs import Clock, Shard, joined
from torchlurk.models.survey.expected_input import other_vocabulary
from torchlurk.models.survey.input_filters import input_kernels
from torchlurk.models.survey.layers import Survey, choose, survey
from torchlurk.models.taps.arguments import Arguments
from torchlurk.models.taps.modules import dtype_of
from torchlurk.options import stored
from torchlurk.records import Layer
from torchlurk.run_records import Portion, Run, StageCount
from torchlurk.scanning.failures import tried
from torchlurk.scanning.job import SHARD_EXAMPLES, Scan, ScanPart
from torchlurk.scanning.probed_steps import probed_steps
from torchlurk.scanning.repeatability import COMPANY, LINE, dependences, mixed
from torchlurk.scanning.room import as_many_as_fit
from torchlurk.scanning.statistics import draw_sample
from torchlurk.scanning.steps import least_for_means, padded_examples
from torchlurk.stages.batch_size import batch_size_of, fitting
from torchlurk.stages.dry_pass import telling_size
from torchlurk.stages.guesses import poor_guesses
from torchlurk.stages.kept_steps import (
    layers_kept,
    measured_levels,
    note_clipped,
    refuse_pictures,
    tell_size,
    write_levels,
    write_waiting,
)
from torchlurk.stages.knowledge import keep_knowledge, knowledge_of_share
from torchlurk.stages.places import BY_KIND, PlacesOfLayers
from torchlurk.stages.previews import Previews, keep_examples, refuse_too_large, refuse_too_many_positions
from torchlurk.stages.scan_results import Scanned, keep_results
from torchlurk.stages.stage import Task, now, units_named
from torchlurk.stages.token_results import keep_next_tokens, keep_tokens
from torchlurk.stages.traces import keep_traces
from torchlurk.store.kept_steps import load_levels
from torchlurk.store.notes import some_of
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.time_records import Levels
from torchlurk.unit_statistics import added

SECONDS_BETWEEN_SAVES = 2.0
SAVE_SHARE = 0.02
"""Saving the running state takes at most this share of the time, however large it is."""

MOST_WAITING = 1 << 26
"""Bytes of steps that wait to be written: with more of them the running state is saved at once."""

TRACK_DIGITS = 16
"""Hexadecimal digits by which the options of a run tell tracks from others."""

EXAMPLES_AT_ONCE = 64
"""How many examples go into one transaction."""


Found = TypeVar("Found")


class ScanStage:
    """One pass over the examples; each layer's results are one transaction after it."""

    name = "scan"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._source, self._progress = task.source, task.progress

    def options(self) -> Mapping[str, Any]:
        """What decides the results of the pass."""
        tracks = self._source.given_tracks if isinstance(self._source, Tracked) else None
        others = {"statistics": added() or None, "tracks": tracks and tracks[:TRACK_DIGITS]}
        options = stored(self._task.settings.scan)
        kept = {"keep_steps": options["keep_steps"] or None}  # as in studies of before there was this option
        return options | kept | self._task.data_options() | others

    def lacking(self, earlier: Run) -> bool:
        """A finished scan has everything."""
        return False

    def work(self, run: Run, earlier: Run | None) -> None:
        """Surveys the network, reads all examples that are left, writes the results and the exemplars' pictures."""
        task = self._task
        refuse_pictures(task)
        refuse_too_large(self._source, task.first_batch())
        if advice := compiled.advice(task.device.type):
            self._progress.say(advice)
        network = task.network(task.settings.scan.precision)
        with task.called(network) as arguments:
            with task.first_input(network) as example:
                with telling_size(network, example), task.telling_precision(network):
                    found = survey(network, example, task.settings.scan.tap, BY_KIND[self._source.kind.name])
                layers = choose(found.layers, task.settings.scan.layers, task.settings.scan.streams)
                if not layers:
                    raise _no_layer(found)
                refuse_too_many_positions(layers)
                units_named(task.settings, layers)  # stages after this one need them: better refused before the work
                places = PlacesOfLayers(network, self._source, layers, example, task.device)
                disordered = self._mixed(network, layers)
                apart = disordered is not None or not all(layer.together for layer in layers)
                batch_size = 1 if apart else batch_size_of(task, network, example, layers, earlier)
                scan = fitting(task, self._job(network, layers, batch_size, arguments), earlier)
            within = self._within(scan)
            scan = replace(scan, keeping=self._keeping(scan, within, earlier))
            check_doable(task.engine, scan)
            with task.writer() as writer:
                if not earlier:
                    with writer.transaction():  # so that a run which is continued has all of it
                        self._begin(writer, run, network, found, layers, arguments)
                        write_levels(writer, scan.keeping)
                        if scan.tokens is not None:
                            keep_tokens(writer, self._source, scan.tokens)
                            keep_next_tokens(writer, network, found, layers, self._source.kind.description)
                        self._note_boxes(writer, layers)
                        if disordered is not None:
                            writer.add_note("network", _of_order(disordered))
                self._tell_dependences(writer, scan)
                writer.write_passes(scan.batch_size, scan.least)
                previews = Previews(writer, self._source, layers, places, scan.workers, task.clock)
                part = self._all_examples(writer, scan, within, previews)
                if task.share is None:
                    self._finish(writer, scan, part, places)
                else:
                    self._finish_share(writer, scan, part, within, previews)

    def _keeping(self, scan: Scan, within: Shard, earlier: Run | None) -> Mapping[str, Levels]:
        """The layers of which steps are kept, and how: as the run which is continued has it."""
        kept = layers_kept(scan.layers, self._task.settings.scan.keep_steps)
        if not kept:
            return {}
        if earlier is not None:
            with Reader(self._task.out) as reader, reader.reading() as db:
                return load_levels(db)
        tell_size(self._task, kept, within)
        return measured_levels(scan, kept)

    def _within(self, scan: Scan) -> Shard:
        """The examples that are this run's: all, or its share of them, cut so that batches are those of the whole."""
        examples, share = len(self._source.examples), self._task.share
        if share is None:
            return Shard(0, examples)
        pictures = self._source.kind.name == "pictures"
        unit = scan.batch_size if pictures else scan.shard_size
        most = -(-examples // unit)
        if share.of > most:
            raise OptionError(
                f"--part is {share}: {examples:,} examples are shared out {unit} at a time, which is enough for {most} part(s)",
                f"make at most {most}" + (", or give a smaller --batch-size" if pictures else ""),
            )
        return share.cut(examples, unit)

    def _finish(self, writer: Writer, scan: Scan, part: ScanPart, places: PlacesOfLayers) -> None:
        """Writes the results of all examples."""
        if part.seen == 0:
            raise self._task.nothing_to_read(part.skipped)
        source = self._source
        data = Scanned(source.kind.name, source.classes, source.examples, source.skipped)
        if isinstance(source, DatasetSource) and (unnamed := source.unnamed):
            writer.add_note("classes", unnamed)
        if agreement := keep_results(writer, part, data, scan.layers, places.of).agreement:
            self._progress.say(agreement)
        writer.delete_other_pictures()
        self._keep_examples(writer, writer.examples_without_picture())
        if source.kind.name != "pictures":
            keep_traces(writer, scan)
        note_clipped(writer)
        self._keep_knowledge(writer, scan)
        writer.finish(self.name, now())

    def _keep_knowledge(self, writer: Writer, scan: Scan) -> None:
        """Stores how well units tell the tracks of a text."""
        probed = probed_steps(self._source, scan.sample, self._seed)
        if probed is not None:
            keep_knowledge(writer, scan, probed, self._seed)

    def _knowledge_of_share(self, scan: Scan, within: Shard) -> dict[str, np.ndarray]:
        """What merging needs to tell what units know."""
        probed = probed_steps(self._source, scan.sample, self._seed)
        return knowledge_of_share(scan, probed, within, self._seed) if probed is not None else {}

    @property
    def _seed(self) -> int:
        return self._task.settings.scan.seed

    def _finish_share(self, writer: Writer, scan: Scan, part: ScanPart, within: Shard, previews: Previews) -> None:
        """Leaves the run unfinished, its state saved, and beside it what merging cannot make without the network and the data:
        the places of this share's leaders, and the examples that may come to be shown.
        """
        source, share = self._source, self._task.share
        assert share is not None
        sample = [int(one) for one in scan.sample if within.start <= one < within.stop]
        writer.write_data(source.classes, source.examples, source.skipped)
        previews.write(part)
        self._keep_examples(writer, writer.examples_without_picture(also=sample))
        if source.kind.name != "pictures":
            keep_traces(writer, scan, of_all_units=sample)
        if known := self._knowledge_of_share(scan, within):
            writer.save_progress(self.name, [within], part.arrays() | known)
        writer.write_portion(Portion(share.number, share.of, (self.name,), finished=True))

    def _begin(
        self,
        writer: Writer,
        run: Run,
        network: nn.Module,
        found: Survey,
        layers: Sequence[Layer],
        arguments: Arguments,
    ) -> None:
        pairs = read_twice(self._source)
        changing, ranged = check_repeatable(pairs), other_range((one for one, _ in pairs), self._source.preprocessing)
        with writer.transaction():
            writer.begin(run)
            inputs = replace(self._source.kind.description, axes=arguments.axes, called=self._task.kind_called)
            writer.write_model(layers, found.graph, self._source.preprocessing, found.input_shape, inputs)
            writer.write_data(self._source.classes, self._source.examples, self._source.skipped)
            writer.write_sample(self._sample())
            if share := self._task.share:
                writer.write_portion(Portion(share.number, share.of, (self.name,)))
            for name, weights in input_kernels(network, found, layers).items():
                writer.write_kernels(name, weights)
            for layer in found.skipped:
                writer.add_note("layer", f"layer {layer.path} is left out: {layer.reason}")
            of_data = [changing, ranged, unknown_tokens(self._source), padded_examples(self._source)]
            for told in filter(None, [*of_data, self._other_vocabulary(network)]):
                writer.add_note("data", told)
            if not arguments.companions and (poor := poor_guesses(network, self._source, self._task.device)):
                writer.add_note("data", poor)
            if arguments.companions:
                writer.add_note("data", of_companions(arguments, self._source.kind.name))
            for kind, text in self._task.notes:
                writer.add_note(kind, text)

    def _other_vocabulary(self, network: nn.Module) -> str:
        """What to tell where tokens are looked up in a vocabulary that is not as large as the network's, which one with its
        own tokenizer may well be.
        """
        kind, inputs = self._source.kind, self._task.settings.inputs
        own = self._task.model.startswith("hf:") or inputs.tokenizer not in (None, "char", "word")
        if (own and inputs.vocabulary is None) or not isinstance(kind, Text) or kind.vocabulary is None:
            return ""
        return other_vocabulary(network, len(kind.vocabulary))

    def _note_boxes(self, writer: Writer, layers: Sequence[Layer]) -> None:
        reading = [layer.name for layer in layers if not layer.together]
        if reading:
            writer.add_note(
                "boxes",
                "the model's forward reads numbers out of tensors (.item(), a condition, NumPy), so each example was run"
                f" separately, and boxes cover everything the numbers came from, often the whole input: {some_of(reading)}",
            )

    def _tell_dependences(self, writer: Writer, scan: Scan) -> None:
        """Notes, before hours are spent, where scores will depend on more than the example."""
        with self._task.some_inputs(scan.network, min(COMPANY, scan.batch_size)) as inputs:
            found = tried(lambda: _fitting(lambda some: dependences(scan.network, scan.layers, some), inputs))
        for one in found or ():
            self._progress.say(f"note: {one.told}")
            writer.add_note("network", one.told)

    def _mixed(self, network: nn.Module, layers: Sequence[Layer]) -> str | None:
        """The first layer that is given the examples of a batch in another order, so that rows are not those of the batch."""
        if self._task.settings.compute.batch_size == 1:
            return None
        with self._task.some_inputs(network, LINE) as inputs:
            return tried(lambda: _fitting(lambda some: mixed(network, layers, some), inputs))

    def _sample(self) -> Any:
        return draw_sample(len(self._source.examples), self._task.settings.scan.sample, self._task.settings.scan.seed)

    def _job(self, network: nn.Module, layers: Sequence[Layer], batch_size: int, arguments: Arguments) -> Scan:
        return Scan(
            network=network,
            layers=layers,
            source=self._source,
            top=self._task.settings.scan.top,
            sample=self._sample(),
            batch_size=batch_size,
            workers=self._task.settings.compute.workers,
            device=self._task.device,
            dtype=dtype_of(network),
            progress=self._progress,
            answers=isinstance(self._source, DrawnWorld) or called_by_numbers([one.name for one in self._source.classes]),
            tokens=frequent_tokens(self._source) if self._source.kind.name == "text" else None,
            about=SHARD_EXAMPLES,
            least=least_for_means(self._source, self._task.settings.scan.top),
            recipe=self._task.recipe(network, self._task.settings.scan.precision, arguments),
        )

    def _all_examples(self, writer: Writer, scan: Scan, within: Shard, previews: Previews) -> ScanPart:
        """The part of the examples `within`: what an earlier run saved, and the rest, saved again and again on the way."""
        saved = writer.progress(self.name)
        done, part = (list(saved[0]), scan.restored(saved[1])) if saved else ([], scan.empty())
        if not saved and within.start > 0:
            part = scan.begin()
        saver = _Saver(writer, done, len(within), self._task.clock)
        self._progress.begin(self.name, len(within), sum(map(len, done)))

        def kept(part: ScanPart, shards: Sequence[Shard]) -> None:
            saver.kept(part, shards)
            previews.offer(part)

        engine = self._task.engine
        part = engine.fold(scan, scan.pieces(within, done), part, kept)
        saver.save(part)
        if left := scan.pieces(within, saver.done):
            raise StudyError(
                f"the engine {type(engine).__name__} did not finish examples {left[0].start} to {left[-1].stop - 1}",
                "what it finished is kept: continue with another engine",
            )
        self._progress.end()
        return part

    def _keep_examples(self, writer: Writer, wanted: Sequence[int]) -> None:
        """Stores examples as the network saw them."""
        self._progress.begin("examples", len(wanted))
        for batch in feed(self._source, wanted, EXAMPLES_AT_ONCE, self._task.settings.compute.workers):
            keep_examples(writer, self._source, batch)
            self._progress.advance(len(batch) + len(batch.skipped))
        self._progress.end()


class _Saver:
    """Saves the running part when enough time has passed since the last save, in proportion to what saving costs."""

    def __init__(self, writer: Writer, done: list[Shard], examples: int, clock: Clock) -> None:
        self._writer, self.done, self._examples, self._clock = writer, done, examples, clock
        self._last, self._cost = clock(), 0.0

    def kept(self, part: ScanPart, shards: Sequence[Shard]) -> None:
        """Takes note of finished shards."""
        self.done = joined([*self.done, *shards])
        due = self._clock() - self._last >= max(SECONDS_BETWEEN_SAVES, self._cost / SAVE_SHARE)
        if due or sum(one.size for one in part.kept.values()) >= MOST_WAITING:
            self.save(part)

    def save(self, part: ScanPart) -> None:
        """Saves now."""
        started = self._clock()
        with self._writer.transaction():
            write_waiting(self._writer, part.kept)
            self._writer.save_progress(ScanStage.name, self.done, part.arrays())
            self._writer.count(ScanStage.name, StageCount(sum(map(len, self.done)), self._examples))
        self._last = self._clock()
        self._cost = self._last - started


ONE = {"pictures": ("picture", "boxes"), "text": ("text", "steps"), "series": ("series", "steps")}


def of_companions(arguments: Arguments, kind: KindName) -> str:
    """What a reader should know where a network takes several inputs."""
    shown, places = ONE[kind]
    others = ", ".join(arguments.companions)
    return f"beside its {shown} the network takes {others}: they are passed along unchanged; {places} are of the {shown}"


def _fitting(check: Callable[[Inputs], Found], inputs: Inputs) -> Found | None:
    """What a check says of the inputs, or of as many of them as fit into memory; None where there are none."""
    return as_many_as_fit(lambda count: check(inputs[:count]), len(inputs)) if len(inputs) else None


def _no_layer(found: Survey) -> ModelError:
    reasons = "".join(f" ({one.path}: {one.reason})" for one in found.skipped[:1])
    return ModelError(f"no layer of the model can be read{reasons}", "torchlurk layers MODEL lists the layers")


def _of_order(layer: str) -> str:
    return f"layer {layer} receives the examples of a batch in a different order (sorting?), so each example was run separately"
