"""The stage `scan`: everything that one forward pass over the data tells of every unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from torchlurk.engines.local import LocalEngine
from torchlurk.inputs.feeding import check_repeatable, feed
from torchlurk.inputs.output_order import called_by_numbers, choose_order
from torchlurk.inputs.source import Source
from torchlurk.jobs import Clock, Shard, joined, remaining
from torchlurk.models.survey.input_filters import input_kernels
from torchlurk.models.survey.layers import Survey, choose, survey
from torchlurk.models.taps.arguments import Arguments
from torchlurk.options import stored
from torchlurk.records import Layer, Ranking, Run, Skip, StageCount
from torchlurk.scanning.batch_size import choose_batch_size
from torchlurk.scanning.failures import naming_failures
from torchlurk.scanning.job import Scan, ScanPart
from torchlurk.scanning.repeatability import COMPANY, dependences
from torchlurk.scanning.statistics import draw_sample
from torchlurk.stages.places import BY_KIND, PlacesOfLayers
from torchlurk.stages.previews import Previews, keep_examples
from torchlurk.stages.stage import Task, dtype_of, now
from torchlurk.stages.traces import keep_traces
from torchlurk.store.writing import Writer

SHARD_EXAMPLES = 128
"""Roughly how many examples a shard has: what an interruption can cost at most, beside the time between two saves."""

SECONDS_BETWEEN_SAVES = 2.0
SAVE_SHARE = 0.02
"""Saving the running state takes at most this share of the time, however large it is."""

EXAMPLES_AT_ONCE = 64
"""How many examples go into one transaction."""

MANY_TIES = 0.1
"""A layer is named where at least this share of its units has nothing but ties among its leaders."""

LAYERS_NAMED = 5


class ScanStage:
    """One pass over the examples; each layer's results are one transaction after it."""

    name = "scan"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._source, self._progress = task.source, task.progress

    def options(self) -> Mapping[str, Any]:
        """What decides the results of the pass."""
        return stored(self._task.settings.scan) | self._task.data_options()

    def lacking(self, earlier: Run) -> bool:
        """A finished scan has everything."""
        return False

    def work(self, run: Run, earlier: Run | None) -> None:
        """Surveys the network, reads all examples that are left, writes the results and the exemplars' pictures."""
        task = self._task
        network = task.network(task.settings.scan.precision)
        with task.called(network) as arguments:
            example = task.first_input(dtype_of(network))
            found = survey(network, example, task.settings.scan.tap, BY_KIND[self._source.kind.name])
            layers = choose(found.layers, task.settings.scan.layers, task.settings.scan.streams)
            places = PlacesOfLayers(network, self._source, layers, example, task.device)
            with task.writer() as writer:
                if not earlier:
                    self._begin(writer, run, network, found, layers, arguments)
                    self._note_boxes(writer, layers)
                scan = self._job(network, example, layers)
                if not earlier:
                    self._tell_dependences(writer, scan)
                previews = Previews(writer, self._source, layers, places, scan.workers, task.clock)
                part = self._all_examples(writer, scan, previews)
                self._keep(writer, part, layers, places)
                self._keep_examples(writer)
                if self._source.kind.name != "pictures":
                    keep_traces(writer, scan)
                writer.finish(self.name, now())

    def _begin(
        self,
        writer: Writer,
        run: Run,
        network: nn.Module,
        found: Survey,
        layers: Sequence[Layer],
        arguments: Arguments,
    ) -> None:
        changing = check_repeatable(self._source)
        with writer.transaction():
            writer.begin(run)
            inputs = replace(self._source.kind.description, axes=arguments.axes)
            writer.write_model(layers, found.graph, self._source.preprocessing, found.input_shape, inputs)
            writer.write_data(self._source.classes, self._source.examples, self._source.skipped)
            writer.write_sample(self._sample())
            for name, weights in input_kernels(network, found, layers).items():
                writer.write_kernels(name, weights)
            for layer in found.skipped:
                writer.add_note("layer", f"layer {layer.path} is left out: {layer.reason}")
            if changing:
                writer.add_note("data", changing)

    def _note_boxes(self, writer: Writer, layers: Sequence[Layer]) -> None:
        reading = [layer.name for layer in layers if not layer.together]
        if reading:
            writer.add_note(
                "boxes",
                "the model's forward reads numbers out of tensors (.item(), a condition, NumPy), so each example was run"
                f" separately, and boxes cover everything the numbers came from, often the whole input: {_some_of(reading)}",
            )

    def _tell_dependences(self, writer: Writer, scan: Scan) -> None:
        """Notes, before hours are spent, where scores will depend on more than the example."""
        inputs = self._task.some_inputs(scan.dtype, min(COMPANY, scan.batch_size))
        if not len(inputs):
            return
        with naming_failures(scan.network, lambda: "a batch of a few examples"):
            found = dependences(scan.network, scan.layers, inputs)
        for one in found:
            self._progress.say(f"note: {one.told}")
            writer.add_note("network", one.told)

    def _sample(self) -> Any:
        return draw_sample(len(self._source.examples), self._task.settings.scan.sample, self._task.settings.scan.seed)

    def _job(self, network: nn.Module, example: torch.Tensor, layers: Sequence[Layer]) -> Scan:
        return Scan(
            network=network,
            layers=layers,
            source=self._source,
            top=self._task.settings.scan.top,
            sample=self._sample(),
            batch_size=self._batch_size(network, example, layers),
            workers=self._task.settings.compute.workers,
            device=self._task.device,
            dtype=example.dtype,
            progress=self._progress,
            answers=called_by_numbers([one.name for one in self._source.classes]),
        )

    def _batch_size(self, network: nn.Module, example: torch.Tensor, layers: Sequence[Layer]) -> int:
        asked = self._task.settings.compute.batch_size
        if asked is None or not all(layer.together for layer in layers):
            return choose_batch_size(network, example, layers, self._task.clock)
        return asked

    def _all_examples(self, writer: Writer, scan: Scan, previews: Previews) -> ScanPart:
        """The part of all examples: what an earlier run saved, and the rest, saved again and again on the way."""
        saved = writer.progress(self.name)
        done, part = (list(saved[0]), scan.restored(saved[1])) if saved else ([], scan.empty())
        shards = remaining(len(self._source.examples), done, scan.shard_size(SHARD_EXAMPLES))
        saver = _Saver(writer, done, len(self._source.examples), self._task.clock)
        self._progress.begin(self.name, len(self._source.examples), sum(map(len, done)))

        def kept(part: ScanPart, shard: Shard) -> None:
            saver.kept(part, shard)
            previews.offer(part)

        part = LocalEngine().run(scan, shards, part, kept)
        self._progress.end()
        saver.save(part)
        return part

    def _keep(self, writer: Writer, part: ScanPart, layers: Sequence[Layer], places: PlacesOfLayers) -> None:
        """Writes what the finished part says, one layer a transaction."""
        if part.seen == 0:
            raise self._task.nothing_to_read(part.skipped)
        examples = (
            replace(one, class_index=int(known)) if known >= 0 else one
            for one, known in zip(self._source.examples, part.classes, strict=True)
        )
        skipped = [*self._source.skipped, *_skips(self._source, part)]
        with writer.transaction():
            writer.write_data(self._source.classes, examples, skipped)
            if self._source.kind.name == "pictures":
                writer.write_input_statistics(part.inputs.finish())
            self._keep_order(writer, part)
        tied: dict[str, float] = {}
        for layer in layers:
            scanned = part.layers[layer.name]
            found = scanned.finish(len(self._source.classes), places.of(layer))
            writer.write_scan(layer.name, found)
            if ties := tied_share(found.by_max):
                tied[layer.name] = ties
            if scanned.examples < part.seen:
                told = f"{scanned.examples} of {part.seen} examples reach it; its results cover only those"
                writer.add_note("layer", f"layer {layer.name}: {told}")
            if scanned.broken:
                share = f"{scanned.broken} responses of units to examples are not finite and are ignored"
                writer.add_note("nonfinite", f"layer {layer.name}: {share}")
        if tied:
            for note in _told_of_ties(tied, layers):
                writer.add_note("ties", note)

    def _keep_order(self, writer: Writer, part: ScanPart) -> None:
        """Writes which output is which class, where their names leave that open."""
        chosen = choose_order([one.name for one in self._source.classes], part.outputs, part.answers, part.classes)
        writer.write_output_classes(chosen.order)
        if chosen.note:
            writer.add_note("classes", chosen.note)

    def _keep_examples(self, writer: Writer) -> None:
        """Stores every exemplar's example as the network saw it, once, and no other."""
        writer.delete_other_pictures()
        wanted = writer.examples_without_picture()
        self._progress.begin("examples", len(wanted))
        for batch in feed(self._source, wanted, EXAMPLES_AT_ONCE, self._task.settings.compute.workers):
            keep_examples(writer, self._source, batch)
            self._progress.advance(len(batch) + len(batch.skipped))
        self._progress.end()


def tied_share(ranking: Ranking) -> float:
    """The share of units whose strongest examples all score the same, above zero: which are kept is then by chance.

    0 where it is less than `MANY_TIES`, or where only one example is kept.
    """
    first, last = ranking.scores[:, 0], ranking.scores[:, -1]
    share = float(((first == last) & (first > 0)).mean()) if ranking.scores.shape[1] > 1 else 0.0
    return share if share >= MANY_TIES else 0.0


GATES_TIE = "gates saturate: where a gate's strongest examples all reach the same value, the first in the data are shown"


def _told_of_ties(shares: Mapping[str, float], layers: Sequence[Layer]) -> Iterator[str]:
    """Notes on layers with ties. Gates are not named one by one: fully open in many examples is what gates are."""
    tied = sorted((one for one in layers if one.name in shares), key=lambda layer: -shares[layer.name])
    others = [one for one in tied if not one.gate]
    if others:
        named = _some_of([f"{one.name} ({shares[one.name]:.0%})" for one in others])
        before = " (--tap output reads units before the nonlinearity)" if any(one.nonlinearity for one in others) else ""
        yield (
            f"units whose strongest examples all reach the same value{_ceiling(others)}: {named}; of equals the first in the"
            f" data are shown{before}"
        )
    if len(others) < len(tied):
        yield GATES_TIE


def _ceiling(layers: Sequence[Layer]) -> str:
    """What they tie at, where that is known and the same for all."""
    kinds = {"a recurrent state" if one.module else one.nonlinearity for one in layers}
    kind = kinds.pop()
    return f", as at the ceiling of {kind}" if kind and not kinds else ""


def _some_of(layers: Sequence[str]) -> str:
    """The first few, and how many there are besides."""
    rest = f" and {len(layers) - LAYERS_NAMED} more layers" if len(layers) > LAYERS_NAMED else ""
    return ", ".join(layers[:LAYERS_NAMED]) + rest


class _Saver:
    """Saves the running part when enough time has passed since the last save, in proportion to what saving costs."""

    def __init__(self, writer: Writer, done: list[Shard], examples: int, clock: Clock) -> None:
        self._writer, self._done, self._examples, self._clock = writer, done, examples, clock
        self._last, self._cost = clock(), 0.0

    def kept(self, part: ScanPart, shard: Shard) -> None:
        """Takes note of a finished shard."""
        self._done = joined([*self._done, shard])
        if self._clock() - self._last >= max(SECONDS_BETWEEN_SAVES, self._cost / SAVE_SHARE):
            self.save(part)

    def save(self, part: ScanPart) -> None:
        """Saves now."""
        started = self._clock()
        with self._writer.transaction():
            self._writer.save_progress(ScanStage.name, self._done, part.arrays())
            self._writer.count(ScanStage.name, StageCount(sum(map(len, self._done)), self._examples))
        self._last = self._clock()
        self._cost = self._last - started


def _skips(source: Source, part: ScanPart) -> list[Skip]:
    return [Skip(source.examples[index].path or str(index), reason) for index, reason in sorted(part.skipped.items())]
