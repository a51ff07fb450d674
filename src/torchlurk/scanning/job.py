"""The scan as a job: shards of examples in, running statistics of every unit of every layer out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor, nn

from torchlurk.engines.description import Recipe
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import Batch
from torchlurk.inputs.pictures.statistics import InputSums
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.text.frequencies import FrequentTokens
from torchlurk.jobs import Progress, Shard, Silence, remaining
from torchlurk.models.taps.arguments import accompanied
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.reading import reading
from torchlurk.models.taps.tensors import tensors_in
from torchlurk.records import Layer
from torchlurk.scanning import over_time
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.failures import named, naming_failures
from torchlurk.scanning.kept_steps import StepsOfLayer
from torchlurk.scanning.over_time import OverTime
from torchlurk.scanning.part import LayerPart
from torchlurk.scanning.room import Room
from torchlurk.scanning.steps import Seen, counted_of, extent_of
from torchlurk.time_records import Levels
from torchlurk.unit_statistics import statistics_of

INPUT_SAMPLE = 128
"""Colour and spectrum of the inputs are measured on this many examples of the sample: more change nothing one could see."""


SHARD_EXAMPLES = 128
"""Roughly how many examples a shard has: what an interruption can cost at most, beside the time between two saves."""


@dataclass(slots=True)
class ScanPart:
    """What the scan knows after some shards.

    `classes` is the class of every example as far as known, `answers` the number of its highest output, both -1 otherwise;
    `over_time` has by layer and kind what is counted of the steps of texts and series, `kept` the steps that wait to be written
    to the study, by the layers of which they are kept, `outputs` is how many there are,
    `skipped` says why an example could not be read.
    """

    layers: dict[str, LayerPart]
    inputs: InputSums
    classes: Int32[np.ndarray, " example"]
    skipped: dict[int, str]
    answers: Int32[np.ndarray, " example"]
    over_time: dict[str, dict[str, OverTime]]
    kept: dict[str, StepsOfLayer] = field(default_factory=dict)
    outputs: int = 0
    seen: int = 0

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """The part as plain arrays, for saving."""
        arrays = {f"layer/{name}/{key}": array for name, part in self.layers.items() for key, array in part.arrays().items()}
        arrays |= {
            f"time/{name}/{key}": array
            for name, counts in self.over_time.items()
            for key, array in over_time.arrays_of(counts).items()
        }
        arrays |= {f"kept/{name}/{key}": array for name, one in self.kept.items() for key, array in one.arrays().items()}
        arrays |= {f"inputs/{key}": array for key, array in self.inputs.arrays().items()}
        reasons = "\n".join(f"{index} {' '.join(reason.split())}" for index, reason in self.skipped.items())
        return arrays | {
            "classes": self.classes,
            "answers": self.answers,
            "outputs": np.array([self.outputs]),
            "skipped": np.frombuffer(reasons.encode(), np.uint8),
            "seen": np.array([self.seen]),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as plain arrays: while it grows, it knows addresses in memory."""
        return ScanPart.from_arrays, (self.arrays(),)

    def merge(self, other: ScanPart) -> ScanPart:
        """The part of all examples of both, which have none in common; both are consumed."""
        with torch.inference_mode():  # in which the parts grew
            for name, part in self.layers.items():
                part.merge(other.layers[name])
            for name, counts in self.over_time.items():
                over_time.merge(counts, other.over_time[name])
        for name, one in self.kept.items():
            one.merge(other.kept[name])
        self.inputs = self.inputs.merge(other.inputs)
        np.maximum(self.classes, other.classes, out=self.classes)
        np.maximum(self.answers, other.answers, out=self.answers)
        self.outputs = max(self.outputs, other.outputs)
        self.skipped.update(other.skipped)
        self.seen += other.seen
        return self

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> ScanPart:
        """The part that `arrays()` came from."""
        reasons = [line.partition(" ") for line in arrays["skipped"].tobytes().decode().split("\n") if line]
        return cls(
            layers={name: LayerPart.from_arrays(_under(arrays, f"layer/{name}/")) for name in _layer_names(arrays, "layer")},
            over_time={name: over_time.from_arrays(_under(arrays, f"time/{name}/")) for name in _layer_names(arrays, "time")},
            kept={name: StepsOfLayer.from_arrays(_under(arrays, f"kept/{name}/")) for name in _layer_names(arrays, "kept")},
            inputs=InputSums.from_arrays(_under(arrays, "inputs/")),
            classes=arrays["classes"].copy(),
            skipped={int(index): reason for index, _, reason in reasons},
            answers=arrays["answers"].copy() if "answers" in arrays else np.full_like(arrays["classes"], -1),
            outputs=int(arrays["outputs"][0]) if "outputs" in arrays else 0,
            seen=int(arrays["seen"][0]),
        )


Answers = list[tuple[Int64[np.ndarray, " _"], Int64[Tensor, " _"]]]
"""Of some batches the examples and the highest output for each, which stays on its device until the shard ends."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One forward pass over the examples of a shard, every layer's activations reduced as they appear.

    `network` is on `device` and is left as found, between two shards, too. `answers` says that its highest output for each
    example is wanted; `tokens` are the frequent ones of a text, `keeping` are the layers of which steps are kept, and how. A
    shard has `about` so many examples. `least` is how many steps of an example have to count for it to be ranked by mean.
    `recipe` is how another process makes the network. See `torchlurk.jobs.Fold`.
    """

    network: nn.Module
    layers: Sequence[Layer]
    source: Source
    top: int
    sample: Int64[np.ndarray, " sample"]
    batch_size: int
    workers: int | None
    device: torch.device
    dtype: torch.dtype
    progress: Progress
    answers: bool = False
    tokens: FrequentTokens | None = None
    about: int = SHARD_EXAMPLES
    recipe: Recipe | None = None
    keeping: Mapping[str, Levels] = field(default_factory=dict)
    least: int = 0

    @property
    def networks(self) -> Sequence[tuple[nn.Module, Recipe]]:
        """See `torchlurk.engines.description.Describable`."""
        return [(self.network, self.recipe)] if self.recipe else []

    def on(self, device: torch.device, networks: Sequence[nn.Module]) -> Scan:
        """See `torchlurk.engines.devices.Movable`."""
        return replace(self, network=networks[0], device=device, progress=Silence())

    def empty(self) -> ScanPart:
        """The part of no example."""
        return ScanPart(
            layers={
                layer.name: LayerPart.empty(layer.channels, extent_of(layer), self.top, self.sample, statistics_of(layer))
                for layer in self.layers
            },
            over_time=over_time.begun(self.layers, self.tokens),
            kept={name: StepsOfLayer(meaning) for name, meaning in self.keeping.items()},
            inputs=InputSums.empty(),
            classes=np.full(len(self.source.examples), -1, np.int32),
            skipped={},
            answers=np.full(len(self.source.examples), -1, np.int32),
        )

    def begin(self, beside: ScanPart | None = None) -> ScanPart:
        """See `torchlurk.jobs.Fold`.

        Deviations are summed from the same pivots as by a part that begins with the first example, so rounding does not
        depend on which examples a part begins with.
        """
        first = Shard(0, min(self.shard_size, len(self.source.examples)))
        return _settled(self.empty(), beside or self._first_batch(first, Room()))

    @contextmanager
    def open(self, cores: Executor | None) -> Iterator[Callable[[Shard, ScanPart], ScanPart]]:
        """See `torchlurk.jobs.Fold`. Examples that cannot be read are skipped, each with its reason."""
        yield partial(self._run, cores, Room())

    def _run(self, cores: Executor | None, room: Room, shard: Shard, onto: ScanPart) -> ScanPart:
        with self._taking(onto, cores, room) as take:
            for batch in self._batches(shard):
                take(batch)
                self.progress.advance(len(batch.examples) + len(batch.skipped))
        return onto

    def fitting(self) -> Scan:
        """The scan with batches of the same size, or of half, and so on, of which the first fits into the memory of the
        device. Raises `DeviceError` where one example does not.
        """
        room = Room()
        self._first_batch(Shard(0, min(self.shard_size, len(self.source.examples))), room)
        return self if room.most is None else replace(self, batch_size=room.most)

    def _first_batch(self, shard: Shard, room: Room) -> ScanPart:
        """The part of the first batch of which anything can be read."""
        part = self.empty()
        with self._taking(part, None, room) as take:
            for batch in self._batches(shard):
                take(batch)
                if part.seen:
                    break
        return part

    def _batches(self, shard: Shard) -> Iterator[Batch]:
        return feed(self.source, range(shard.start, shard.stop), self.batch_size, self.workers)

    @contextmanager
    def _taking(self, onto: ScanPart, cores: Executor | None, room: Room) -> Iterator[Callable[[Batch], None]]:
        """Within it, a function that runs a batch through the network and takes what comes into the part."""
        with ExitStack() as opened:
            opened.enter_context(as_found(self.network))
            opened.enter_context(torch.inference_mode())
            taking = Deliveries(self.layers, onto.layers, cores, onto.over_time, onto.kept, room)
            opened.enter_context(reading(self.network, self.layers, taking, rectify=taking))
            answers: Answers = []
            yield partial(self._take, onto, taking, answers)
            _note_answers(answers, onto)

    def _take(self, onto: ScanPart, taking: Deliveries, answers: Answers, batch: Batch) -> None:
        onto.skipped.update(batch.skipped)
        if not len(batch.examples):
            return
        self._note_inputs(batch, onto)
        for rows in taking.passes(batch.examples, batch.classes, self._seen(batch)):
            # Made anew for each pass: the first thing a model does may be to overwrite its input.
            told = partial(named, self.source.examples, batch.examples[rows])
            with taking.within_memory():
                inputs = self.source.kind.inputs(batch, self.device, self.dtype)[rows]
                companions = batch.companion_inputs(self.device, self.dtype)
                with naming_failures(self.network, told, inputs), accompanied(self.network, companions, rows):
                    output = self.network(inputs)
                if self.answers and not taking.again:
                    found = next(iter(tensors_in(output)), None)
                    if found is not None and found.ndim == 2 and len(found) == len(inputs):
                        onto.outputs = found.shape[1]
                        answers.append((batch.examples[rows], found.argmax(1)))

    def passed(self, taking: Deliveries, batch: Batch, rows: slice) -> None:
        """One pass over these rows of a batch, whose maps are delivered, if they fit into memory; see `Deliveries.passes`."""
        with taking.within_memory(), accompanied(self.network, batch.companion_inputs(self.device, self.dtype), rows):
            self.network(self.source.kind.inputs(batch, self.device, self.dtype)[rows])

    def _seen(self, batch: Batch) -> Seen:
        counted = counted_of(batch)
        brief = counted is not None and counted.last - counted.first < self.least
        return Seen(counted, None if self.tokens is None else self.tokens.places(batch.values), brief, {})

    def merge(self, left: ScanPart, right: ScanPart) -> ScanPart:
        """See `torchlurk.jobs.Fold`. A part may come from where another copy of the source was read."""
        self._learn(right)
        return left.merge(right)

    def restored(self, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> ScanPart:
        """The part that was saved as `arrays`; classes that only reading tells are known to the source again."""
        part = ScanPart.from_arrays(arrays)
        self._learn(part)
        return part

    def _learn(self, part: ScanPart) -> None:
        if isinstance(self.source, DatasetSource):
            self.source.learn(part.classes)

    @property
    def shard_size(self) -> int:
        """A whole number of batches near `about` examples, so that a shard's cut does not cut a batch."""
        return self.batch_size * max(1, round(self.about / self.batch_size))

    def pieces(self, within: Shard, done: Sequence[Shard] = ()) -> list[Shard]:
        """What is left to do of the examples `within`."""
        return remaining(within, done, self.shard_size)

    def _note_inputs(self, batch: Batch, onto: ScanPart) -> None:
        onto.seen += len(batch.examples)
        onto.classes[batch.examples] = batch.classes
        if self.source.kind.name != "pictures":
            return
        rows = np.flatnonzero(np.isin(batch.examples, self.sample[:: max(1, len(self.sample) // INPUT_SAMPLE)]))
        if len(rows):
            onto.inputs.add(batch.values[torch.from_numpy(rows)], self.source.preprocessing)


def _settled(part: ScanPart, like: ScanPart) -> ScanPart:
    """An empty part, with the pivots of another."""
    with torch.inference_mode():  # in which the parts grow
        for name, layer in part.layers.items():
            layer.moments.pivot.copy_(like.layers[name].moments.pivot)
    return part


def _note_answers(answers: Answers, onto: ScanPart) -> None:
    if answers:
        examples = np.concatenate([some for some, _ in answers])
        onto.answers[examples] = torch.cat([found for _, found in answers]).cpu().numpy()


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _layer_names(arrays: Mapping[str, np.ndarray], kept: str) -> list[str]:
    return list(dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith(f"{kept}/")))
