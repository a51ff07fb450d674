"""From a source to batches: reading ahead in threads, in order, in bounded memory, and onto the device."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.errors import DataError
from torchlurk.inputs.items import Batch, Item, same
from torchlurk.inputs.pictures.kind import Pictures
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.sources.encoded import EncodedPictures
from torchlurk.records import Preprocessing

BATCHES_AHEAD = 2
"""How many batches are being read while one is worked on; more when batches are too small to keep all threads busy."""

PIECE = 16
"""At most so many examples are read by a thread in one go: that is how long closing can take."""

MOST_WORKERS = 32
"""Threads beyond this many only wait for each other."""

REPEATED_EXAMPLES = 8
"""How many examples, spread over the data, are read twice to see whether they stay the same."""


ANYTIME = nullcontext()


def feed(source: Source, indices: Sequence[int], batch_size: int, workers: int | None = None) -> Iterator[Batch]:
    """The examples `indices` in batches of at most `batch_size`; what cannot be read is left out.

    Pictures come in the order of `indices`. Text and series are grouped, so that within a batch all have one length and one
    counted range, and nothing is padded: groups come in the order of their first example, examples keep theirs within a
    group. Which examples share a batch depends on `indices`, lengths and `batch_size` alone: a skipped one is not replaced.
    Examples whose further inputs differ in shape are then parted.
    Read ahead by `workers` threads (see `default_workers`), which end with the iterator, however that ends. Raises
    `DataError` where pictures differ in shape, or series in their number of channels.
    """
    alone = source.alone if workers is None and isinstance(source, DatasetSource) else ANYTIME
    workers = workers or default_workers(source)
    ahead = max(BATCHES_AHEAD, -(-2 * workers // batch_size))
    piece = min(PIECE, -(-batch_size // workers))
    stop = Event()
    pending: deque[tuple[Planned, list[Future[list[Item | str]]]]] = deque()
    assembly = _Assembly(source)
    planned = _plan(source, indices, batch_size)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="torchlurk-read")
    try:
        while True:
            while len(pending) <= ahead and (wanted := next(planned, None)) is not None:
                cuts = (wanted.indices[cut : cut + piece] for cut in range(0, len(wanted.indices), piece))
                pending.append((wanted, [pool.submit(_read, source, cut, stop, alone) for cut in cuts]))
            if not pending:
                return
            next_one, futures = pending.popleft()
            yield from assembly.batches(next_one, [one for future in futures for one in future.result()])
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Planned:
    """Which examples share a batch; `length` and `counted` are those of all of them, None for pictures."""

    indices: Sequence[int]
    length: int | None = None
    counted: tuple[int, int] | None = None


def _plan(source: Source, indices: Sequence[int], batch_size: int) -> Iterator[Planned]:
    for group in [Planned(indices)] if source.kind.name == "pictures" else _grouped(source, indices):
        for start in range(0, len(group.indices), batch_size):
            yield Planned(group.indices[start : start + batch_size], group.length, group.counted)


def _grouped(source: Source, indices: Sequence[int]) -> list[Planned]:
    """The examples by length and counted range; those whose length cannot be found out, as they cannot be read, together."""
    groups: dict[tuple[int, tuple[int, int]], list[int]] = {}
    lengths = source.lengths
    for index in indices:
        try:
            length = len(source.read(int(index)).values) if lengths is None else int(lengths[index])
            group = length, source.counted(int(index))
        except DataError:
            group = 0, (0, 0)
        groups.setdefault(group, []).append(index)
    return [Planned(inside, length, counted) for (length, counted), inside in groups.items()]


def default_workers(source: Source) -> int:
    """One thread per core that this process may use; one alone for a user's data set, which need not bear several."""
    if isinstance(source, DatasetSource):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def _read(
    source: Source, indices: Sequence[int], stop: Event, alone: AbstractContextManager[Any] = ANYTIME
) -> list[Item | str]:
    """The items, or the reasons why they cannot be read; cut short once `stop` is set. Each is read within `alone`: where there
    is one reader, another feed of the same source has to wait.
    """
    if isinstance(source, EncodedPictures) and source.decoder is not None:
        return [] if stop.is_set() else source.read_together([int(index) for index in indices], source.decoder)
    read: list[Item | str] = []
    for index in indices:
        if stop.is_set():
            break
        try:
            with alone:
                read.append(source.read(int(index)))
        except DataError as error:
            read.append(error.message)
    return read


class _Assembly:
    """Puts items together to batches, and knows the shape that all of them must have: that of the first."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._first: tuple[int, Item] | None = None

    def batches(self, planned: Planned, read: Sequence[Item | str]) -> Iterator[Batch]:
        """The items as one batch, or as several where their further inputs differ in shape; the first has what was skipped."""
        items: list[tuple[int, Item]] = []
        skipped: list[tuple[int, str]] = []
        for index, one in zip(planned.indices, read, strict=True):
            reason = one if isinstance(one, str) else _changed_length(one, planned.length)
            if reason or isinstance(one, str):
                skipped.append((int(index), reason))
            else:
                self._check_shape(int(index), one)
                items.append((int(index), one))
        alike: dict[tuple[object, ...], list[tuple[int, Item]]] = {}
        for index, item in items:
            shapes = tuple((name, tuple(one.shape), one.dtype) for name, one in item.companions.items())
            alike.setdefault(shapes, []).append((index, item))
        for number, some in enumerate(alike.values() or [[]]):
            yield self._batch(planned, some, skipped if number == 0 else ())

    def _batch(self, planned: Planned, items: Sequence[tuple[int, Item]], skipped: Sequence[tuple[int, str]]) -> Batch:
        classes = [-1 if item.class_index is None else item.class_index for _, item in items]
        first = items[0][1] if items else None
        return Batch(
            np.array([index for index, _ in items], np.int64),
            np.array(classes, np.int64),
            self._stacked([item for _, item in items]),
            tuple(skipped),
            planned.counted,
            {name: torch.stack([item.companions[name] for _, item in items]) for name in (first.companions if first else ())},
            first.parameter if first else "",
        )

    def _stacked(self, items: Sequence[Item]) -> Tensor:
        if not items:
            first = self._first[1].values if self._first else _nothing(self._source)
            return torch.as_tensor(first.copy() if isinstance(first, np.ndarray) else first)[None][:0]
        values = [item.values for item in items]
        tensors = [one for one in values if isinstance(one, Tensor)]
        return torch.stack(tensors) if tensors else torch.from_numpy(np.stack(values))

    def _check_shape(self, index: int, item: Item) -> None:
        if self._first is None:
            self._first = index, item
        first, known = self._first
        if _shape(item) != _shape(known):
            pictures = self._source.kind.name == "pictures"
            raise DataError(
                f"examples differ in shape: {self._called(first)} is {_shape(known)}, {self._called(index)} {_shape(item)}",
                "give --resize and --crop, so that all inputs have one size"
                if pictures
                else "give examples that all have the same channels",
            )

    def _called(self, index: int) -> str:
        return self._source.examples[index].path or f"example {index}"


def _nothing(source: Source) -> np.ndarray:
    """An item of the source's kind with no values in it."""
    if source.kind.name == "pictures":
        return np.zeros((0, 0, source.preprocessing.channels), np.uint8)
    return np.zeros(0, np.int64) if source.kind.name == "text" else np.zeros((0, 0), np.float32)


def _changed_length(item: Item, planned: int | None) -> str:
    """Why an item cannot go with the others of its batch: its length changed between two readings; '' where it can."""
    if planned is None or len(item.values) == planned:
        return ""
    return f"had {planned} steps when first read, then {len(item.values)}"


def _shape(item: Item) -> str:
    """What all examples must have in common, as one reads it: of a picture its width x height, channels and kind of value."""
    if isinstance(item.values, np.ndarray):
        height, width, channels = item.values.shape
        return f"{width}x{height} with {channels} channels"
    if item.values.ndim == 3:
        channels, height, width = item.values.shape
        return f"{width}x{height} with {channels} float channels"
    return f"a series of {item.values.shape[1]} channels" if item.values.ndim == 2 else "text"


def inputs_of(
    batch: Batch, preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "batch channel height width"]:
    """A batch of pictures as the network's input; `source.kind.inputs` does it for batches of every kind."""
    return Pictures(preprocessing).inputs(batch, device, dtype)


def read_twice(source: Source) -> list[tuple[Item | str, Item | str]]:
    """A few examples, spread over the data, each read twice: what was read, or why it cannot be."""
    chosen = spread(len(source.examples), REPEATED_EXAMPLES)
    return [(_read(source, [index], Event())[0], _read(source, [index], Event())[0]) for index in chosen]


def check_repeatable(pairs: Sequence[tuple[Item | str, Item | str]]) -> str:
    """What to tell the user where examples are not the same when read twice; '' where they are."""
    changed = [pair for pair in pairs if not _the_same(*pair)]
    if not changed:
        return ""
    return (
        f"{len(changed)} of {len(pairs)} examples changed when read a second time (random augmentation?), so "
        "positions and crops may not match the pictures shown: turn augmentation off"
    )


def _the_same(first: Item | str, second: Item | str) -> bool:
    return first == second if isinstance(first, str) or isinstance(second, str) else same(first, second)
