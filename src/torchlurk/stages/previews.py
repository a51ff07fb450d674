"""What a scan knows so far, written now and then, so that pages fill in while it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from torchlurk.errors import DataError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import Batch, Item
from torchlurk.inputs.source import Source
from torchlurk.jobs import Clock
from torchlurk.records import Layer
from torchlurk.rendering.encoding import encode
from torchlurk.scanning.job import ScanPart
from torchlurk.scanning.over_time import counts_of
from torchlurk.stages.places import PlacesOfLayers
from torchlurk.stages.token_results import keep_responses
from torchlurk.store.sequences import LONGEST, content_of
from torchlurk.store.writing import Writer
from torchlurk.unit_statistics import statistics_of

FIRST_AFTER = 5.0
"""Seconds: a scan that is shorter needs no preview."""

SHARE = 0.03
"""Previews take at most this share of the time, however many units there are."""

SECONDS_A_UNIT = 2e-4
"""What writing a unit costs, before it was measured."""

PICTURES = 64
"""How many pictures of best exemplars are added with each preview."""


class Pace:
    """When the next preview is due: so rarely that writing them all takes no more than `SHARE` of the time.

    `cost` is what the first is thought to take, in seconds.
    """

    def __init__(self, cost: float, clock: Clock) -> None:
        self._clock = clock
        self._last, self._cost = clock(), cost

    def due(self) -> bool:
        """Whether it is time."""
        return self._clock() - self._last >= max(FIRST_AFTER, self._cost / SHARE)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the writing of one."""
        started = self._clock()
        yield
        self._last = self._clock()
        self._cost = self._last - started


class Previews:
    """Writes the results of the examples seen so far, marked as such; the finished scan replaces them all."""

    def __init__(
        self,
        writer: Writer,
        source: Source,
        layers: Sequence[Layer],
        places: PlacesOfLayers,
        workers: int | None,
        clock: Clock,
    ) -> None:
        self._writer, self._source, self._layers, self._places = writer, source, layers, places
        self._workers = workers
        self._pace = Pace(SECONDS_A_UNIT * sum(layer.channels for layer in layers), clock)
        self._classes = len(source.classes)

    def offer(self, part: ScanPart) -> None:
        """Writes a preview if enough time has passed, in proportion to what the last one cost."""
        if part.seen and self._pace.due():
            with self._pace.measured():
                self.write(part)

    def write(self, part: ScanPart) -> None:
        """Writes one now."""
        if len(self._source.classes) != self._classes:  # a data set tells its classes only as it is read
            self._writer.write_data(self._source.classes, self._source.examples, self._source.skipped)
            self._classes = len(self._source.classes)
        for layer in self._layers:
            counts = counts_of(layer, self._layers, part.over_time)
            scanned = part.layers[layer.name].finish(self._classes, self._places.of(layer), statistics_of(layer), counts)
            self._writer.write_scan(layer.name, scanned, part.seen)
        keep_responses(self._writer, part.over_time, self._layers)
        self._write_pictures()

    def _write_pictures(self) -> None:
        """Adds pictures of some best exemplars; those that are none in the end are deleted then."""
        wanted = self._writer.examples_without_picture(best_only=True)[:PICTURES]
        for batch in feed(self._source, wanted, PICTURES, self._workers):
            keep_examples(self._writer, self._source, batch)


def keep_examples(writer: Writer, source: Source, batch: Batch) -> None:
    """Stores the examples of a batch as people see them: pictures, texts or series."""
    shown = _shown(source, batch)
    if source.kind.name == "pictures":
        writer.write_pictures((index, *encode(picture)) for index, picture in shown)
    else:
        writer.write_sequences(shown)


def _shown(source: Source, batch: Batch) -> list[tuple[int, Any]]:
    kind = source.kind
    shown: list[tuple[int, Any]] = []
    for index, values in zip(batch.examples.tolist(), batch.values, strict=True):
        item = Item(values.numpy() if values.dtype is torch.uint8 else values, None)
        shown.append((index, kind.shown(item, source.examples[index])))
    return shown


def refuse_too_large(source: Source, longest: Batch) -> None:
    """Raises `DataError` where the longest text or series is more than a study holds."""
    if source.kind.name != "pictures":
        for _, example in _shown(source, longest):
            content_of(example)


def refuse_too_many_positions(layers: Sequence[Layer]) -> None:
    """Raises `DataError` where a layer has more positions on the longest example than a study holds."""
    for layer in layers:
        if layer.layout == "sequence" and layer.positions >= LONGEST:
            raise DataError(
                f"layer {layer.name} has {layer.positions:,} positions on the longest example",
                f"a study holds fewer than {LONGEST:,}: leave the layer out, or cut the data into shorter examples",
            )
