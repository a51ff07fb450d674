"""From a source to batches: reading ahead in threads, in order, in bounded memory, and onto the device."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.inputs.source import Item, Source, same, spread
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.records import Preprocessing

BATCHES_AHEAD = 2
"""How many batches are being read while one is worked on; more when batches are too small to keep all threads busy."""

PIECE = 16
"""At most so many examples are read by a thread in one go: that is how long closing can take."""

MOST_WORKERS = 32
"""Threads beyond this many only wait for each other."""

REPEATED_EXAMPLES = 8
"""How many examples, spread over the data, are read twice to see whether they stay the same."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, in the order in which they were asked for; -1 is the class of one that has none.

    `pixels` are pictures before normalization, or the network's inputs as they are. `skipped` are those that could
    not be read, each with its reason; all of a batch may be, then its arrays have length 0.
    """

    examples: Int64[np.ndarray, " batch"]
    classes: Int64[np.ndarray, " batch"]
    pixels: UInt8[Tensor, "batch height width channel"] | Float32[Tensor, "batch channel height width"]
    skipped: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.examples)


def feed(source: Source, indices: Sequence[int], batch_size: int, workers: int | None = None) -> Iterator[Batch]:
    """The examples `indices` in batches of `batch_size`, the last may be shorter; what cannot be read is left out.

    Which examples share a batch depends on `indices` and `batch_size` alone: a skipped one is not replaced. Read ahead
    by `workers` threads (see `default_workers`), which end with the iterator, however that ends. Raises `DataError`
    where examples differ in shape.
    """
    workers = workers or default_workers(source)
    ahead = max(BATCHES_AHEAD, -(-2 * workers // batch_size))
    piece = min(PIECE, -(-batch_size // workers))
    starts = iter(range(0, len(indices), batch_size))
    stop = Event()
    pending: deque[list[Future[list[Item | str]]]] = deque()
    assembly = _Assembly(source)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="torchlurk-read")
    try:
        for start in range(0, len(indices), batch_size):
            while len(pending) <= ahead and (next_start := next(starts, None)) is not None:
                wanted = indices[next_start : next_start + batch_size]
                cuts = (wanted[cut : cut + piece] for cut in range(0, len(wanted), piece))
                pending.append([pool.submit(_read, source, cut, stop) for cut in cuts])
            read = [one for future in pending.popleft() for one in future.result()]
            yield assembly.batch(indices[start : start + batch_size], read)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def default_workers(source: Source) -> int:
    """One thread per core that this process may use; one alone for a user's data set, which need not bear several."""
    if isinstance(source, DatasetSource):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def _read(source: Source, indices: Sequence[int], stop: Event) -> list[Item | str]:
    """The items, or the reasons why they cannot be read; cut short once `stop` is set."""
    read: list[Item | str] = []
    for index in indices:
        if stop.is_set():
            break
        try:
            read.append(source.read(int(index)))
        except DataError as error:
            read.append(error.message)
    return read


class _Assembly:
    """Puts items together to batches, and knows the shape that all of them must have: that of the first."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._first: tuple[int, Item] | None = None

    def batch(self, indices: Sequence[int], read: Sequence[Item | str]) -> Batch:
        items: list[tuple[int, Item]] = []
        skipped: list[tuple[int, str]] = []
        for index, one in zip(indices, read, strict=True):
            if isinstance(one, str):
                skipped.append((int(index), one))
            else:
                self._check_shape(int(index), one)
                items.append((int(index), one))
        classes = [-1 if item.class_index is None else item.class_index for _, item in items]
        return Batch(
            np.array([index for index, _ in items], np.int64),
            np.array(classes, np.int64),
            self._stacked([item for _, item in items]),
            tuple(skipped),
        )

    def _stacked(self, items: Sequence[Item]) -> Tensor:
        if not items:
            first = self._first[1].pixels if self._first else np.zeros((0, 0, self._source.preprocessing.channels), np.uint8)
            return torch.as_tensor(np.array(first))[None][:0]
        pixels = [item.pixels for item in items]
        tensors = [one for one in pixels if isinstance(one, Tensor)]
        return torch.stack(tensors) if tensors else torch.from_numpy(np.stack(pixels))

    def _check_shape(self, index: int, item: Item) -> None:
        if self._first is None:
            self._first = index, item
        first, known = self._first
        if _shape(item) != _shape(known):
            raise DataError(
                f"examples differ in shape: {self._called(first)} is {_shape(known)}, {self._called(index)} {_shape(item)}",
                "give --resize and --crop, so that all inputs have one size",
            )

    def _called(self, index: int) -> str:
        return self._source.examples[index].path or f"example {index}"


def _shape(item: Item) -> str:
    """Width x height, channels and kind of value, as one reads them."""
    if isinstance(item.pixels, Tensor):
        channels, height, width = item.pixels.shape
        return f"{width}x{height} with {channels} float channels"
    height, width, channels = item.pixels.shape
    return f"{width}x{height} with {channels} channels"


def inputs_of(
    batch: Batch, preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "batch channel height width"]:
    """The batch as the network's input. Pictures travel as bytes and are normalized on the device, in float32."""
    pixels = batch.pixels.to(device)
    return (normalize(pixels, preprocessing) if pixels.dtype == torch.uint8 else pixels).to(dtype)


def check_repeatable(source: Source) -> str:
    """What to tell the user where a few spread examples are not the same when read twice; '' where they are."""
    chosen = spread(len(source.examples), REPEATED_EXAMPLES)
    changed = [index for index in chosen if not _reads_the_same(source, index)]
    if not changed:
        return ""
    return (
        f"{len(changed)} of {len(chosen)} examples were not the same when read a second time (random augmentation?); "
        "positions and crops then belong to other pictures than those shown: give the data set without it"
    )


def _reads_the_same(source: Source, index: int) -> bool:
    first, second = (_read(source, [index], Event())[0] for _ in range(2))
    return first == second if isinstance(first, str) or isinstance(second, str) else same(first, second)
